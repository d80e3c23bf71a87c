"""The command line: what it prints, what it refuses, and that it works beside a running gateway."""

import asyncio
import io
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest
import structlog

from gateway.__main__ import main
from gateway.admin import SOCKET
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SPORTELLO")}


class Done:
    """A command that has ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


async def start(arguments: Sequence[str], folder: Path, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(folder: Path, *arguments: str, stdin: str = "", **environment: str) -> Done:
    process = await start(arguments, folder, **environment)
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """A command in this very process, which saves a second for each; not for those that run while a loop does."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SPORTELLO") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def run_here(*arguments: str, stdin: str = "", **environment: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO(stdin))
            for name, value in {"COLUMNS": "200", **environment}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(arguments)
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, said.out, said.err)

    yield run_here
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


async def ready(process: asyncio.subprocess.Process) -> str:
    """The address in the line that says so."""
    assert process.stderr is not None
    seen = ""
    async with asyncio.timeout(60):
        while line := (await process.stderr.readline()).decode():
            seen += line
            if '"event":"ready"' in line and (found := re.search(r'"url":"([^"]+)"', line)):
                return found[1]
    raise AssertionError(seen)


async def stop(process: asyncio.subprocess.Process) -> int:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(15):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


def left_over(folder: Path, working: Path) -> list[Path]:
    return [path for path in (folder, *working.iterdir()) if path.exists()]


def test_help_names_every_command(run: Run) -> None:
    done = run("--help")
    assert done.status == 0
    for name in ("serve", "demo", "migrate", "check", "doctor", "agent", "token", "channel", "reprocess", "settings"):
        assert name in done.out


def test_a_mistyped_command_is_told_what_it_may_have_meant(run: Run) -> None:
    done = run("srve")
    assert done.status == 2
    assert 'Did you mean "serve"' in done.err


def test_check_is_content(run: Run) -> None:
    done = run("check", "--config", str(ROOT / "deploy" / "sportello.example.toml"))
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("OK: 2 channels.")
    assert "bot (telegram): https://chat.example.org/webhooks/bot" in done.out


def test_check_names_file_line_and_key_of_every_channel_and_no_secret(tmp_path: Path, run: Run) -> None:
    (tmp_path / "sportello.toml").write_text(
        '[channels.one]\nkind = "telegram"\ntokn = "1:canary-one"\n\n[channels.two]\nkind = "telegramm"\n\n'
        '[channels.three]\nkind = "telegram"\ntoken = "canary-three"\nsecret_token = "x"\n',
        "utf-8",
    )
    done = run("check")
    assert done.status == 1
    assert "canary" not in done.out + done.err
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert lines[0] == "sportello: sportello.toml, line 3: channels.one.tokn: there is no such setting. Did you mean 'token'?"
    assert any(line.startswith("sportello: sportello.toml, line 1: channels.one.token: is missing") for line in lines)
    assert any(line.startswith("sportello: sportello.toml, line 6: channels.two.kind: there is no connector 'telegramm'") for line in lines)
    assert any(line.startswith("sportello: sportello.toml, line 8: channels.three: token must look like") for line in lines)


def test_an_agent_is_added_listed_and_given_a_link_and_a_token_without_a_running_gateway(run: Run) -> None:
    added = run("agent", "add", "ada@example.org", "--name", "Ada", "--role", "admin", "--queue", "General")
    assert added.status == 0, added.err
    assert re.search(r"^http://127\.0\.0\.1:8080/inbox/#login=[\w-]{43}$", added.out, re.MULTILINE)
    assert "ada@example.org  Ada   admin" in (run("agent", "list")).out

    token = run("token", "add", "ada@example.org", "--label", "export")
    secret = re.search(r"^gw_\S+$", token.out, re.MULTILINE)
    assert secret is not None
    listed = run("token", "list")
    assert secret[0] not in listed.out
    token_id = re.search(r"^tok_\w+", listed.out, re.MULTILINE)
    assert token_id is not None
    assert (run("token", "remove", token_id[0])).status == 0
    again = run("token", "remove", token_id[0])
    assert (again.status, "there is no token" in again.err) == (1, True)


def test_passwords_come_by_standard_input_and_are_checked(run: Run) -> None:
    run("agent", "add", "ada@example.org", "--name", "Ada")
    short = run("agent", "password", "ada@example.org", "--password-stdin", stdin="short\n")
    assert (short.status, short.err) == (1, "sportello: The password needs at least 12 characters.\n")
    silent = run("agent", "password", "ada@example.org")
    assert "give it on standard input" in silent.err
    good = run("agent", "password", "ada@example.org", "--password-stdin", stdin="a long enough password\n")
    assert good.status == 0
    assert "a long enough" not in good.out + good.err
    nobody = run("agent", "password", "eve@example.org", "--password-stdin", stdin="a long enough password\n")
    assert nobody.err == "sportello: there is no agent eve@example.org: see sportello agent list\n"


async def test_the_same_commands_work_while_the_gateway_runs_and_a_second_gateway_is_refused(tmp_path: Path) -> None:
    process = await start(["serve", "--port", "0"], tmp_path, SPORTELLO__DATA_DIR="data", SPORTELLO__LOG__FORMAT="json")
    try:
        url = await ready(process)
        path = tmp_path / "data" / SOCKET
        assert path.stat().st_mode & 0o777 == 0o600
        added = await command(tmp_path, "agent", "add", "ada@example.org", "--name", "Ada", "--role", "admin", "--data-dir", "data")
        found = re.search(rf"{re.escape(url)}/inbox/#login=(\S+)", added.out)
        assert found is not None, added.err
        headers = {"Origin": url, "Idempotency-Key": "one"}
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{url}/api/v1/sessions/link", json={"token": found[1]}, headers=headers) as answer:
                assert answer.status == 201
            async with http.post(
                f"{url}/api/v1/sessions/link", json={"token": found[1]}, headers={**headers, "Idempotency-Key": "two"}
            ) as answer:
                assert answer.status == 401

        second = await command(tmp_path, "serve", "--port", "0", "--data-dir", "data")
        assert second.status == 1
        assert f"is in use by process {process.pid}" in second.err
        assert "Traceback" not in second.err
        checked = await command(tmp_path, "doctor", "--data-dir", "data")
        assert "in use by the running gateway" in checked.out
    finally:
        assert await stop(process) == 0
    assert not path.exists()


def test_a_port_in_use_is_one_clear_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        for arguments in (["serve", "--port", str(port)], ["demo", "--port", str(port), "--fresh"]):
            done = run(*arguments)
            assert done.status == 1
            assert done.err.startswith(f"sportello: cannot listen on 127.0.0.1:{port} (address already in use): choose another port")
            assert done.err.count("\n") == 1


def test_doctor_finds_what_is_wrong_and_says_what_to_do(tmp_path: Path, run: Run) -> None:
    run("migrate", "--data-dir", "data")
    key = tmp_path / "data" / "secret.key"
    key.write_text("0" * 64, "ascii")
    key.chmod(0o644)
    (tmp_path / "data" / "sportello.db").write_bytes(b"this is no database at all, but a letter to somebody" * 40)
    done = run("doctor", "--data-dir", "data", HTTP_PROXY="http://proxy.example.org")
    assert done.status == 1
    assert "FAIL  secret key: others may read data/secret.key\n      Run: chmod 600 data/secret.key" in done.out
    assert "FAIL  database: " in done.out
    assert "WARN  proxy: HTTP_PROXY is set" in done.out
    assert "OK    python" in done.out


def test_migrate_twice_does_nothing_the_second_time(run: Run) -> None:
    first = run("migrate", "--data-dir", "data")
    assert "applied 0001" in first.out
    second = run("migrate", "--data-dir", "data")
    assert "is up to date" in second.out


def test_channel_list_and_connect(run: Run) -> None:
    configuration = ["--config", str(ROOT / "deploy" / "sportello.example.toml")]
    listed = run("channel", "list", *configuration)
    assert re.search(r"^bot\s+telegram\s+yes\s+https://chat\.example\.org/webhooks/bot$", listed.out, re.MULTILINE)
    needless = run("channel", "connect", "web", *configuration)
    assert "needs no preparation" in needless.err
    unknown = run("channel", "connect", "wb", *configuration)
    assert unknown.err == "sportello: there is no channel 'wb'; configured: web, bot\n"
    away = {"SPORTELLO__CHANNELS__BOT__API_BASE": "http://127.0.0.1:9"}
    answer = run("channel", "connect", "bot", *configuration, **away)
    assert "replace-me" not in answer.out + answer.err
    assert answer.out


def test_a_connectors_cases_are_found_beside_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = run("connector", "test", "telegram")
    assert (missing.status, "sample.py is missing" in missing.err) == (1, True), missing.err
    monkeypatch.chdir(ROOT)
    done = run("connector", "test", "telegram", "--only", "C01")
    assert (done.status, done.out.splitlines()[-1]) == (0, "telegram: 1 passed"), done.err


def test_settings_and_wrong_crash_order(run: Run) -> None:
    assert "| `port` | whole number | `8080` |" in (run("settings")).out
    assert "# SPORTELLO__SERVER__PORT=8080" in (run("settings", "--format", "env")).out
    done = run("serve", "--port", "0", SPORTELLO_CRASH_AT="x")
    assert done.status == 1
    assert "SPORTELLO_CRASH_AT must be" in done.err


async def test_the_demo_shows_its_pages_and_leaves_nothing_when_fresh(tmp_path: Path) -> None:
    process = await start(["demo", "--port", "0", "--fresh"], tmp_path)
    assert process.stdout is not None
    try:
        text = ""
        async with asyncio.timeout(60):
            while "Try this" not in text:
                line = (await process.stdout.readline()).decode()
                assert line, (await process.communicate())[1].decode()
                text += line
        url = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert url is not None
        folder = re.search(r"kept in (\S+)\.", text)
        assert folder is not None
        async with aiohttp.ClientSession() as http:
            control = f"{url[0]}/sim/telegram/control"
            async with http.post(f"{control}/users", json={"first_name": "Cleo"}) as answer:
                user = (await answer.json())["user_id"]
            async with http.post(f"{control}/users/{user}/message", json={"text": "hello"}) as answer:
                assert answer.status < 300

            async def received() -> str:
                async with http.get(f"{url[0]}/metrics") as page:
                    return await page.text()

            await eventually(received, lambda page: 'sportello_inbound_total{channel="telegram",outcome="appended"} 1.0' in page)
    finally:
        assert await stop(process) == 0
    assert left_over(Path(folder[1]), tmp_path) == []
