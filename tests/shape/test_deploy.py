"""What is offered for deployment fits the program that it starts."""

import configparser
import shlex
from pathlib import Path

import pytest

from config import load_config
from gateway.__main__ import build_app
from gateway.cli.common import Common

ROOT = Path(__file__).parents[2]


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "deploy" / "sportello.service", "utf-8")
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
    name, _, value = unit()["Service"]["Environment"].partition("=")
    assert load_config(None, {name: value}).data_dir == value


def test_the_unit_waits_longer_than_a_stop_takes() -> None:
    assert int(unit()["Service"]["TimeoutStopSec"]) > 10
