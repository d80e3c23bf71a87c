"""The reference is generated, and what is in the repository is current."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import fields

from config import ChannelConfig, Config, load_config
from config.load import SECTIONS
from config.reference import own_groups, render_environment
from connectors.registry import BUILT_IN, load_connector
from gateway.channels import plan_channels
from gateway.cli.reference import all_groups, generated_texts

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["config/README.md", "deploy/env.example"])
def test_the_generated_texts_are_current(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == generated_texts(ROOT)[ROOT / name], "run: make docs"


def test_every_setting_has_help() -> None:
    for group in all_groups():
        assert group.about
        for setting in group.settings:
            assert setting.help, setting.key


def test_every_field_is_in_the_reference() -> None:
    keys = {setting.key for group in own_groups() for setting in group.settings}
    expected = {f"{name}.{info.name}" for name, type_ in SECTIONS.items() for info in fields(type_)}
    expected |= {f"channels.<id>.{info.name}" for info in fields(ChannelConfig) if info.name != "settings"}
    assert keys == expected | {"data_dir"}
    assert {info.name for info in fields(Config)} == {*SECTIONS, "data_dir", "channels", "sources"}


def test_the_connectors_settings_are_in_the_reference() -> None:
    keys = {setting.key for group in all_groups() for setting in group.settings}
    for kind in BUILT_IN:
        for info in fields(load_connector(kind).settings):
            assert f"channels.my_{kind}.{info.encode_name}" in keys


def test_the_environment_file_with_its_defaults_means_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {}
    for line in render_environment(own_groups()).splitlines():
        name, found, value = line.removeprefix("# ").partition("=")
        if found and name.startswith("SPORTELLO__") and "__CHANNELS__" not in name and not name.endswith("_FILE"):
            environment[name] = value
    assert len(environment) > 10
    said, default = load_config(None, environment), load_config(None, {})
    assert msgspec.structs.replace(said, sources={}) == default


def test_the_example_is_valid() -> None:
    planned = plan_channels(load_config(ROOT / "deploy" / "sportello.example.toml", {}))
    assert [(plan.id, plan.connector.kind) for plan in planned] == [("web", "webchat"), ("bot", "telegram")]
