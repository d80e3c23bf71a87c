"""Credentials are of a type that cannot be printed, everywhere in the settings."""

import re
from collections.abc import Iterator

import pytest
from msgspec import Struct, inspect
from msgspec.structs import fields

from config import Secret
from config.load import SECTIONS
from connectors.registry import BUILT_IN, load_connector

#: A field with such a name holds a credential; ``secret_token`` and the like do too.
SUSPICIOUS = re.compile(r"token|secret|password|passphrase|api_?key|private_?key|credential", re.IGNORECASE)


def settings() -> Iterator[tuple[str, type[Struct]]]:
    yield from SECTIONS.items()
    for kind in BUILT_IN:
        yield kind, load_connector(kind).settings


def is_secret(annotation: object) -> bool:
    info = inspect.type_info(annotation)
    while isinstance(info, inspect.Metadata):
        info = info.type
    return isinstance(info, inspect.CustomType) and info.cls is Secret


@pytest.mark.parametrize(("name", "type_"), list(settings()), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_called_a_secret_is_one(name: str, type_: type[Struct]) -> None:
    for info in fields(type_):
        if SUSPICIOUS.search(info.name):
            assert is_secret(info.type), f"{name}.{info.name} must be a config.Secret"


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("canary-1234")
    for shown in (str(secret), repr(secret), f"{secret}", f"{secret!r:>30}", str([secret]), str({"x": secret})):
        assert "canary" not in shown
    assert secret.reveal() == "canary-1234"
    assert secret.matches("canary-1234")
    assert not secret.matches("canary-1234é")
