"""What is offered for deployment fits the program that it starts: the systemd unit, and what nothing else looks at."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from config import load_config
from gateway.__main__ import build_app
from gateway.cli.common import Common
from tests.support import deploying
from tests.support.deploying import DEPLOY

READMES = (DEPLOY / "README.md", DEPLOY.parent / "README.md")


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "sportello.service", "utf-8")
    return parser


@pytest.mark.parametrize(("key", "name"), [("ExecStart", "serve"), ("ExecStartPre", "check")])
def test_the_units_commands_are_understood(key: str, name: str) -> None:
    program, *arguments = shlex.split(unit()["Service"][key])
    assert program == "/opt/sportello/bin/sportello"
    command, bound, _ = build_app().parse_args(arguments, exit_on_error=False, print_error=False)
    assert command.__name__ == name
    common = bound.arguments["common"]
    assert isinstance(common, Common)
    assert common.config == Path("/etc/sportello/sportello.toml")


def test_the_units_variables_are_settings() -> None:
    text = (DEPLOY / "sportello.service").read_text("utf-8")
    named = re.findall(r"^#? ?Environment=(\w+)=(\S+)$", text, re.MULTILINE)
    assert ("SPORTELLO__DATA_DIR", "/var/lib/sportello") in named
    assert not deploying.unknown_variables(name for name, _ in named)
    name, _, value = unit()["Service"]["Environment"].partition("=")
    assert load_config(None, {name: value}).data_dir == value


def test_what_the_units_comments_load_is_what_they_read() -> None:
    text = (DEPLOY / "sportello.service").read_text("utf-8")
    loaded = set(re.findall(r"LoadCredential=([\w-]+):", text))
    assert loaded == set(re.findall(r"=%d/([\w-]+)", text))


def test_the_unit_waits_longer_than_a_stop_takes() -> None:
    assert int(unit()["Service"]["TimeoutStopSec"]) > deploying.STOP_SECONDS


def test_the_unit_starts_again_whatever_happened() -> None:
    assert unit()["Service"]["Restart"] == "always"
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "sportello.service").read_text("utf-8").replace("/opt/sportello/bin/sportello", "/bin/true")
    copy = tmp_path / "sportello.service"
    copy.write_text(text, "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60, check=False)
    if "Failed to" in done.stderr and "manager" in done.stderr.lower():
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_the_commands_in_the_texts_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    known = deploying.commands()
    named = re.findall(r"(?<![\w./=:-])(?:\.venv/bin/)?sportello ([a-z]+)(?: ([a-z]+))?", _code(text))
    assert named
    for name, second in named:
        assert name in known, f"sportello {name}"
        if name in {"agent", "token", "channel", "node", "outbox"} and second:
            assert second in deploying.commands(known[name]), f"sportello {name} {second}"


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_what_the_texts_link_to_is_there(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text):
        assert (path.parent / target).exists(), target
    for name in re.findall(r"`(deploy/[\w./-]+)`", text):
        assert (DEPLOY.parent / name).exists() or name.startswith("deploy/secrets") or name in {"deploy/.env", "deploy/sportello.toml"}, (
            name
        )


def test_the_variables_and_metrics_in_the_manual_are_there() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8")
    assert not deploying.unknown_variables(re.findall(r"SPORTELLO__\w+", text))
    known = deploying.metrics().keys()
    assert {name for name in re.findall(r"`(sportello_\w+)`", text) if name not in known} == set()


def _code(text: str) -> str:
    """Code blocks and code spans of a Markdown text."""
    blocks = re.findall(r"^```.*?^```|^ {4}\S.*?$", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])
