"""The containers: hardened alike, fit to each other, and started with what the program understands."""

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.load import load_config
from tests.support import deploying
from tests.support.deploying import DEPLOY

FILES = ("compose.yml", "compose.demo.yml")
COMPOSE: dict[str, Any] = deploying.load_yaml(DEPLOY / "compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = [name for name in SERVICES if name.startswith("gateway-")]
CADDY = (DEPLOY / "Caddyfile").read_text("utf-8")


def services() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file in FILES:
        for name, service in deploying.load_yaml(DEPLOY / file)["services"].items():
            yield file, name, service


ALL = [pytest.param(service, id=f"{file}-{name}") for file, name, service in services()]
OURS = [pytest.param(service, id=f"{file}-{name}") for file, name, service in services() if service["image"].startswith("sportello:")]


def environment(service: dict[str, Any]) -> dict[str, str]:
    """With ``${NAME:?…}`` filled in, and ``${NAME:-…}`` left out."""
    said = {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in service.get("environment", {}).items()}
    return {name: re.sub(r"\$\{\w+[^}]*\}", "chat.example.org", value) for name, value in said.items()}


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


@pytest.mark.parametrize("service", ALL)
def test_each_is_hardened(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    image, _, tag = service["image"].partition(":")
    assert tag, f"{image} has no tag"
    assert "latest" not in tag
    assert image.count("/") <= 1
    assert "." not in image, "a host stands in no image's name"


@pytest.mark.parametrize("name", SERVICES)
def test_each_has_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("service", OURS)
def test_ours_are_understood(service: dict[str, Any]) -> None:
    command = service.get("command") or ["serve"]
    assert deploying.check_arguments(command) == command[0]
    said = environment(service)
    assert not deploying.unknown_variables(said)
    deploying.load_variables(said)
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_what_is_named_is_declared_and_used() -> None:
    for kind in ("volumes", "networks", "configs", "secrets"):
        used: set[str] = set()
        for service in SERVICES.values():
            for one in service.get(kind, []):
                source = one["source"] if isinstance(one, dict) else one.partition(":")[0]
                used.add(source)
        assert used == set(COMPOSE[kind]), kind


def test_a_nodes_data_are_its_own() -> None:
    assert len(NODES) == 2
    volumes = [SERVICES[name]["volumes"] for name in NODES]
    data = deploying.environment_of(deploying.instructions(DEPLOY / "Dockerfile"))["SPORTELLO__DATA_DIR"]
    assert volumes == [[f"{name}:{data}"] for name in NODES]
    assert [environment(SERVICES[name])["SPORTELLO__NODE__ID"] for name in NODES] == NODES
    for name in NODES:
        assert "replicas" not in SERVICES[name]["deploy"], "replicas would share one spool"


def test_a_stop_has_time() -> None:
    for name in NODES:
        drain = float(environment(SERVICES[name])["SPORTELLO__SERVER__DRAIN"])
        assert seconds(SERVICES[name]["stop_grace_period"]) > drain + deploying.STOP_SECONDS
        asked = re.search(r"health_interval (\d+)s", CADDY)
        assert asked is not None
        assert drain > int(asked[1]), "Caddy has to notice that a node is leaving"


def test_nothing_but_the_door_is_open() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]
    assert COMPOSE["networks"]["data"] == {"internal": True}
    for name in ("postgres", "valkey"):
        assert SERVICES[name]["networks"] == ["data"]
    demo = deploying.load_yaml(DEPLOY / "compose.demo.yml")["services"]
    assert [port for service in demo.values() for port in service.get("ports", [])] == ["127.0.0.1:8080:8081"]


def test_who_waits_for_whom() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            known = SERVICES[other]
            if condition == "service_healthy":  # ours have it from their image
                assert "healthcheck" in known or known["image"].startswith("sportello:"), f"{name} waits for {other}"
            elif condition == "service_completed_successfully":
                assert known["restart"] == "no"
    for node in NODES:
        assert SERVICES[node]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert SERVICES[node]["depends_on"]["valkey"] == {"condition": "service_started"}, "nothing may wait for the bus to be well"


def test_the_database_promises_durability() -> None:
    assert "synchronous_commit=on" in SERVICES["postgres"]["command"]
    assert not re.search(r"fsync=off|full_page_writes=off", (DEPLOY / "compose.yml").read_text("utf-8"))
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_the_addresses_fit() -> None:
    script = (DEPLOY / "make-secrets.sh").read_text("utf-8")
    match = re.search(r"postgresql://(\w+):%s@(\w+)/(\w+)", script)
    assert match is not None
    user, host, database = match.groups()
    assert host in SERVICES
    assert SERVICES[host]["environment"] | {"POSTGRES_USER": user, "POSTGRES_DB": database} == SERVICES[host]["environment"]
    for name in NODES:
        said = environment(SERVICES[name])
        bus = re.fullmatch(r"redis://([\w-]+):6379/0", said["SPORTELLO__BUS__URL"])
        assert bus is not None
        assert bus[1] in SERVICES
        assert said["SPORTELLO__STORAGE__URL_FILE"].removeprefix("/run/secrets/") in SERVICES[name]["secrets"]
        assert said["SPORTELLO__SERVER__TRUSTED_PROXIES"] == COMPOSE["networks"]["front"]["ipam"]["config"][0]["subnet"]


def test_the_door_leads_to_the_nodes() -> None:
    port = deploying.environment_of(deploying.instructions(DEPLOY / "Dockerfile"))["SPORTELLO__SERVER__PORT"]
    found = re.search(r"reverse_proxy ([\w\-: ]+) \{", CADDY)
    assert found is not None
    assert found[1].split() == [f"{name}:{port}" for name in NODES]
    asked = re.search(r"health_uri (\S+)", CADDY)
    assert asked is not None
    assert asked[1] == "/readyz"
    hidden = re.search(r"@operators path (.+)", CADDY)
    assert hidden is not None
    assert {"/metrics", asked[1]} <= set(hidden[1].split()) <= deploying.paths()
    assert CADDY.count("{") == CADDY.count("}")


def test_the_door_and_the_nodes_know_the_same_origin_of_files() -> None:
    (site,) = re.findall(r"^(\{\$.*) \{$", CADDY, re.MULTILINE)
    assert site.split() == ["{$SPORTELLO_DOMAIN}", "{$SPORTELLO_FILES_ORIGIN}"]
    assert SERVICES["caddy"]["environment"]["SPORTELLO_FILES_ORIGIN"] == "${SPORTELLO_FILES_ORIGIN:-}"
    for name in NODES:
        assert SERVICES[name]["environment"]["SPORTELLO__MEDIA__ORIGIN"] == "${SPORTELLO_FILES_ORIGIN:-}"
        said = {**environment(SERVICES[name]), "SPORTELLO__MEDIA__ORIGIN": "https://files.example.org"}
        deploying.load_variables(said)


def test_the_door_lets_the_largest_file_in() -> None:
    found = re.search(r"max_size (\d+)MB", CADDY)
    assert found is not None
    config = load_config(None, {})
    room = int(found[1]) * 1_000_000
    assert config.media.max_bytes < room < 2 * config.media.max_bytes
    assert config.server.max_body < room


def test_the_demos_door_fits() -> None:
    demo = deploying.load_yaml(DEPLOY / "compose.demo.yml")["services"]
    _, outside, inside = demo["demo"]["ports"][0].split(":")
    assert demo["door"]["network_mode"] == "service:demo"
    assert demo["door"]["command"][-3:] == [f":{inside}", "--to", f"127.0.0.1:{outside}"], (
        "browsers say the port that the demo knows as its own"
    )


def test_secrets_are_made_once(tmp_path: Path) -> None:
    for name in ("make-secrets.sh", "sportello.example.toml"):
        (tmp_path / name).write_bytes((DEPLOY / name).read_bytes())
    script = tmp_path / "make-secrets.sh"

    def run() -> dict[str, str]:
        subprocess.run(["sh", script], check=True, capture_output=True, timeout=120)
        return {path.name: path.read_text("utf-8") for path in (tmp_path / "secrets").iterdir()}

    first = run()
    assert {Path(one["file"]).name for one in COMPOSE["secrets"].values()} == first.keys()
    assert re.fullmatch(r"[0-9a-f]{64}", first["postgres_password"])
    assert first["postgres_password"] in first["database_url"]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in (tmp_path / "secrets").iterdir()), "the containers' users read them"
    (tmp_path / "sportello.toml").write_text("# mine\n", "utf-8")
    assert run() == first
    assert (tmp_path / "sportello.toml").read_text("utf-8") == "# mine\n"


def test_what_an_installation_adds_stays_out_of_the_repository() -> None:
    ignored = (DEPLOY / ".gitignore").read_text("utf-8").splitlines()
    assert {"/secrets/", "/.env", "/sportello.toml"} <= set(ignored)
    for one in (*COMPOSE["configs"].values(), *COMPOSE["secrets"].values()):
        path = one["file"].removeprefix("./")
        assert (DEPLOY / path).exists() or any(f"/{path}".startswith(line) for line in ignored), path
