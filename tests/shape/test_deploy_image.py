"""The image: built from what is there, from pinned bases, run by nobody in particular, and its health check tells the truth."""

import asyncio
import json
import os
import re
import socket
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import deploying
from tests.support.deploying import DEPLOY, ROOT
from tests.support.gateway import gateway_config, running_gateway

DOCKERFILE = deploying.instructions(DEPLOY / "Dockerfile")


def values(instruction: str) -> list[str]:
    return [rest for word, rest in DOCKERFILE if word == instruction]


def test_the_bases_are_pinned() -> None:
    arguments = dict(rest.split("=", 1) for rest in values("ARG"))
    stages: set[str] = set()
    for rest in values("FROM"):
        image, _, stage = rest.partition(" AS ")
        if image not in stages:
            image = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], image)
            tag = image.rpartition(":")[2]
            assert re.search(r"\d", tag), f"{image} has no version"
            assert "latest" not in tag
            assert "/" not in image.partition(":")[0].replace("valkey/", ""), "a host stands in no image's name"
        stages.add(stage)
    assert len(stages) >= 2, "what builds must not be what runs"


def test_nobody_in_particular_runs_it() -> None:
    last = [word for word, _ in DOCKERFILE]
    assert last.index("USER") > len(last) - 1 - last[::-1].index("FROM"), "the last stage has no USER"
    assert values("USER") == ["10001:10001"]
    assert "10001" in next(rest for rest in values("RUN") if "useradd" in rest)


def test_no_secret_is_built_in() -> None:
    for word, rest in DOCKERFILE:
        assert not (word in {"ENV", "ARG"} and re.search(r"password|token|secret|_key", rest, re.IGNORECASE)), rest
        assert word != "ADD", "COPY says what it does"
        assert not re.search(r"(curl|wget)[^|]*\|", rest), rest
    assert "apt-get" not in " ".join(values("RUN"))


def test_what_is_copied_is_there_and_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {name for rest in values("COPY") if not rest.startswith("--from") for name in rest.split()[:-1]}
    assert copied == let_in
    for name in copied:
        assert (ROOT / name).exists(), name
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(build["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    assert {build["project"]["readme"], *build["project"]["license-files"]} <= copied


def test_nothing_else_is_let_in() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "first everything is kept out"
    assert {"**/node_modules", "gateway/ui/dist"} <= set(lines[lines.index("!config") :]), "what was built here stays here"


def test_the_command_is_understood() -> None:
    entry, command = json.loads(values("ENTRYPOINT")[0]), json.loads(values("CMD")[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert entry[0] in project["scripts"]
    assert deploying.check_arguments([*entry[1:], *command]) == "serve"


def test_the_variables_are_settings() -> None:
    environment = {name: value for name, value in deploying.environment_of(DOCKERFILE).items() if name.startswith("SPORTELLO")}
    assert not deploying.unknown_variables(environment)
    deploying.load_variables(environment)
    assert environment["SPORTELLO__SERVER__PORT"] == values("EXPOSE")[0]
    assert values("VOLUME") == [environment["SPORTELLO__DATA_DIR"]]


async def health(port: int) -> int | None:
    text = values("HEALTHCHECK")[0].partition("CMD ")[2]
    program, *arguments = json.loads(text)
    assert program == "python"
    environment = {**os.environ, "SPORTELLO__SERVER__PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(30):
        return await process.wait()


async def test_the_health_check_is_content_with_a_running_gateway(tmp_path: Path) -> None:
    async with running_gateway(gateway_config(tmp_path, {})) as gateway:
        assert await health(gateway.port) == 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"], ids=["nobody", "503"])
async def test_the_health_check_notices(answer: bytes) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if not answer:
        listener.close()
        assert await health(port) == 1
        return
    async with await asyncio.start_server(refuse, sock=listener):
        assert await health(port) == 1
