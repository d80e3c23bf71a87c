"""The chart: its values, their schema and its templates agree, and what the templates name exists.

Rendering needs helm and is done where it is installed; the rest is read from the templates' text.
"""

import copy
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.load import load_config
from tests.support import deploying
from tests.support.deploying import DEPLOY, ROOT

CHART = DEPLOY / "helm" / "sportello"
VALUES: dict[str, Any] = deploying.load_yaml(CHART / "values.yaml")
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
TEMPLATES = sorted((CHART / "templates").iterdir())
MANIFESTS = [path for path in TEMPLATES if path.suffix == ".yaml"]
TEXT = "\n".join(path.read_text("utf-8") for path in TEMPLATES)
#: What has to be said at an installation.
SAID = {"publicUrl": "https://chat.example.org"}
#: Filled by whoever installs; their keys are not ours.
FREE = {"env", "nodeSelector", "podAnnotations", "secret.settings", "service.annotations", "ingress.annotations"}


def leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and value and name not in FREE and not name.endswith(("resources", "tokenSecret")):
            yield from leaves(value, name)
        else:
            yield name, value


def schema_at(path: str) -> dict[str, Any]:
    found = SCHEMA
    for part in path.split("."):
        found = found["properties"][part]
        if "$ref" in found:
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]]
    return found


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    out = copy.deepcopy(values)
    for key, value in more.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def env_names() -> list[str]:
    return re.findall(r"\bSPORTELLO__[A-Z_]+[A-Z]\b", TEXT)


def test_the_chart_is_of_this_version() -> None:
    chart = deploying.load_yaml(CHART / "Chart.yaml")
    assert chart["appVersion"] == tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert chart["name"] == CHART.name


def test_the_values_fit_their_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(merged(VALUES, SAID))


@pytest.mark.parametrize(
    "wrong",
    [
        {"publicUrl": ""},
        {"publicUrl": "http://chat.example.org"},
        {"publicURL": "https://chat.example.org"},
        {"image": {"tag": "latest"}},
        {"groups": {"all": {"role": "boss"}}},
        {"env": {"LOG_LEVEL": "debug"}},
        {"env": {"SPORTELLO__MEDIA__MAX_BYTES": 10485760}},
        {"secret": {"settings": {"SPORTELLO__CHANNELS__BOT__TOKEN": "bot-token"}}},
        {"terminationGracePeriodSeconds": 10},
    ],
    ids=str,
)
def test_what_cannot_be_right_is_refused(wrong: dict[str, Any]) -> None:
    assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(merged(merged(VALUES, SAID), wrong)))


def test_the_schema_knows_every_value_and_no_other() -> None:
    for path, _ in leaves(VALUES):
        assert schema_at(path) is not None

    def check(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        if "$ref" in schema:
            schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, path
        assert schema["properties"].keys() == values.keys(), path
        for key, inner in schema["properties"].items():
            if isinstance(values[key], dict):
                check(inner, values[key], f"{path}.{key}")

    check({"additionalProperties": False, **SCHEMA}, VALUES, "values")


def test_what_templates_read_is_a_value() -> None:
    for path in re.findall(r"\.Values\.([\w.]+)", TEXT):
        found: Any = VALUES
        for part in path.split("."):
            assert part in found, f".Values.{path}"
            found = found[part]
    for group in VALUES["groups"].values():
        for path in re.findall(r"\$set\.([\w.]+)", TEXT):
            found = group
            for part in path.split("."):
                assert part in found, f"$set.{path}"
                found = found[part]


def test_every_value_is_read() -> None:
    read = {
        *re.findall(r"\.Values\.([\w.]+)", TEXT),
        *(f"groups.{group}.{path}" for group in VALUES["groups"] for path in re.findall(r"\$set\.([\w.]+)", TEXT)),
    }
    for path, _ in leaves(VALUES):
        assert any(path == one or one.startswith(f"{path}.") or (path.startswith(f"{one}.") and one != "groups") for one in read), path


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_actions_are_balanced(path: Path) -> None:
    text = re.sub(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert text.count("{{") == text.count("}}")
    opened = len(re.findall(r"\{\{-?\s*(?:if|range|with|define)\b", text))
    assert opened == len(re.findall(r"\{\{-?\s*end\b", text))
    defined = set(re.findall(r'define "([^"]+)"', TEXT))
    assert set(re.findall(r'include "([^"]+)"', text)) <= defined


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_what_is_left_without_actions_is_yaml(path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(skeleton(path)) if document]
    assert documents
    for document in documents:
        assert {"apiVersion", "kind", "metadata"} <= document.keys()


def skeleton(path: Path) -> str:
    """Lines that are only actions go, actions within a line become a word."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not re.fullmatch(r"\s*(\{\{.*?\}\}\s*)+", line)]
    return re.sub(r"\{\{.*?\}\}", "1", "\n".join(lines))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(skeleton(path)):
            if document and document["kind"] in {"StatefulSet", "Job"}:
                yield document["kind"], document["spec"]["template"]["spec"]


def test_nodes_and_migration_are_hardened() -> None:
    assert sorted(kind for kind, _ in pods()) == ["Job", "StatefulSet"]
    for helper, keys in (
        ("podSecurity", ("runAsNonRoot: true", "runAsUser: 10001", "type: RuntimeDefault")),
        ("containerSecurity", ("allowPrivilegeEscalation: false", "readOnlyRootFilesystem: true", "drop: [ALL]")),
    ):
        body = re.search(rf'define "sportello.{helper}" -\}}\}}(.*?)\{{\{{- end', TEXT, re.DOTALL)
        assert body is not None
        assert all(key in body[1] for key in keys)
        assert TEXT.count(f'include "sportello.{helper}"') == 2
    for _, pod in pods():
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert "resources" in container


def test_what_is_started_is_understood() -> None:
    assert 'args: ["serve", "--role", {{ $set.role | quote }}, "--processes", {{ $set.processes | quote }}]' in TEXT
    for group in VALUES["groups"].values():
        assert deploying.check_arguments(["serve", "--role", group["role"], "--processes", str(group["processes"])]) == "serve"
    assert 'args: ["migrate"]' in TEXT
    assert deploying.check_arguments(["migrate"]) == "migrate"
    assert len(re.findall(r"\bargs:", TEXT)) == 2
    assert env_names()
    assert not deploying.unknown_variables(env_names())


def test_the_configuration_is_one(tmp_path: Path) -> None:
    file = tmp_path / "sportello.toml"
    file.write_text(VALUES["config"], "utf-8")
    config = load_config(file, {})
    assert "web" in config.channels
    folders = {
        mount["name"]: mount["mountPath"] for _, pod in pods() for container in pod["containers"] for mount in container["volumeMounts"]
    }
    image = deploying.instructions(DEPLOY / "Dockerfile")
    assert folders["config"] == [rest for word, rest in image if word == "WORKDIR"][-1], "where the program finds its file"
    assert folders["data"] == deploying.environment_of(image)["SPORTELLO__DATA_DIR"]
    assert f"subPath: {folders['config']}" not in TEXT


def test_probes_ask_what_they_mean() -> None:
    node = next(pod for kind, pod in pods() if kind == "StatefulSet")["containers"][0]
    asked = {name: node[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert asked == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(asked.values()) <= deploying.paths()
    port = deploying.environment_of(deploying.instructions(DEPLOY / "Dockerfile"))["SPORTELLO__SERVER__PORT"]
    assert [str(one["containerPort"]) for one in node["ports"]] == [port]


def test_a_stop_has_time() -> None:
    assert VALUES["terminationGracePeriodSeconds"] >= VALUES["drainSeconds"] + deploying.STOP_SECONDS + 5


def test_a_spool_outlives_its_pod_and_has_room() -> None:
    (nodes,) = (document for document in yaml.safe_load_all(skeleton(CHART / "templates" / "nodes.yaml")) if document)
    assert nodes["kind"] == "StatefulSet"
    assert nodes["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert [one["metadata"]["name"] for one in nodes["spec"]["volumeClaimTemplates"]] == ["data"]
    number, unit = re.fullmatch(r"(\d+)([MGT]i)", VALUES["spool"]["size"]).groups()  # type: ignore[union-attr]
    size = int(number) << {"Mi": 20, "Gi": 30, "Ti": 40}[unit]
    kept_free = deploying.default_of("spool", "min_free_percent")
    assert isinstance(kept_free, int)
    assert size * (100 - kept_free) / 100 > VALUES["spool"]["maxBytes"]


HELM = pytest.mark.skipif(shutil.which("helm") is None, reason="no helm here")
SPLIT = {
    "groups": {"all": {"enabled": False}}
    | {name: {"enabled": True, "autoscaling": {"enabled": True}} for name in ("edge", "router", "sender")}
}
EVERYTHING = {
    "ingress": {"enabled": True, "className": "nginx"},
    "serviceMonitor": {"enabled": True},
    "env": {"SPORTELLO__MEDIA__MAX_BYTES": "10485760"},
    "secret": {"settings": {"SPORTELLO__CHANNELS__BOT__TOKEN_FILE": "bot-token"}},
    "image": {"digest": "sha256:" + "a" * 64, "pullSecrets": [{"name": "registry"}]},
    "networkPolicy": {"from": [{"namespaceSelector": {}}]},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "shop", "operator": "Exists"}],
    "spool": {"storageClass": "fast"},
}


@HELM
@pytest.mark.parametrize("more", [{}, SPLIT, EVERYTHING], ids=["plain", "split", "everything"])
def test_helm_renders_it(more: dict[str, Any], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(SAID | more), "utf-8")
    done = subprocess.run(["helm", "template", "shop", CHART, "--values", values], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    kinds = [document["kind"] for document in yaml.safe_load_all(done.stdout) if document]
    assert kinds.count("StatefulSet") == (3 if more is SPLIT else 1)
    for document in yaml.safe_load_all(done.stdout):
        if document and document["kind"] == "StatefulSet":
            for one in document["spec"]["template"]["spec"]["containers"][0]["env"]:
                assert isinstance(one.get("value", ""), str)
