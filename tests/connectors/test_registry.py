"""Which connectors there are, and that nothing heavy is loaded before its time."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from connectors import registry
from connectors.contract import Connector
from connectors.errors import ConnectorError, UnknownConnector


def test_built_in_kinds_are_listed() -> None:
    assert set(registry.BUILT_IN) <= set(registry.kinds())


def test_a_built_in_connector() -> None:
    found = registry.load_connector("telegram")
    assert isinstance(found, Connector)
    assert found.kind == "telegram"
    assert found is registry.load_connector("telegram")


@pytest.mark.parametrize("kind", ["", "fax", "Telegram", "connectors.telegram", "../telegram"])
def test_an_unknown_kind_names_those_that_are_there(kind: str) -> None:
    with pytest.raises(UnknownConnector, match=f"installed: {', '.join(registry.kinds())}"):
        registry.load_connector(kind)


def test_no_sdk_before_a_channel_uses_it() -> None:
    """In a fresh interpreter: the registry knows all kinds and has imported none."""
    code = (
        "import sys; from connectors import registry; registry.kinds(); "
        "sdks = ['telegram', 'twilio', 'imapclient', 'aiosmtplib', *(f'connectors.{kind}' for kind in registry.BUILT_IN)]; "
        "bad = [name for name in sdks if name in sys.modules]; "
        "assert not bad, bad; registry.load_connector('telegram'); assert 'telegram' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def offer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = EntryPoints([EntryPoint(name=name, value=value, group=registry.GROUP)])

    def entry_points(**wanted: Any) -> EntryPoints:
        return points.select(**wanted)

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_a_strangers_connector_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "telegram2", "connectors.telegram:CONNECTOR")
    assert "telegram2" in registry.kinds()
    with pytest.raises(ConnectorError, match="'telegram2' calls itself 'telegram'"):
        registry.load_connector("telegram2")


def test_what_is_no_connector_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "odd", "connectors.text:split")
    with pytest.raises(ConnectorError, match="gives a function, not a"):
        registry.load_connector("odd")


def test_ours_wins_over_a_stranger_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "telegram", "connectors.text:split")
    assert registry.load_connector("telegram").kind == "telegram"
