"""Settings of channels: errors name the key and hide the value."""

from typing import Any

import jsonschema
import msgspec
import pytest

from config import Secret
from connectors import registry
from connectors.settings import BadSettings, decode_settings, settings_schema
from connectors.telegram import Settings
from connectors.telegram.settings import accepted_secrets, bot_id

TOKEN = "123456789:AAcanary-canary"
GOOD: dict[str, Any] = {"token": TOKEN, "secret_token": "abc"}


def test_good_settings() -> None:
    found = decode_settings(Settings, GOOD, "channels.shop")
    assert (found.token.reveal(), found.mode, bot_id(found)) == (TOKEN, "webhook", "123456789")
    assert decode_settings(Settings, {**GOOD, "token": Secret(TOKEN)}) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": 5}, "channels.shop.token: expected str, got int"),
        ({"token": None}, "channels.shop.token: expected str, got NoneType"),
        ({"mode": "canary"}, "channels.shop.mode: not one of the allowed values"),
        ({"prot": 1}, "channels.shop.prot: unknown setting"),
        ({"bot_username": "canary" * 20}, "channels.shop.bot_username: expected str of length <= 64"),
        ({"token": "canary"}, "channels.shop: token must look like 123456789:AA…, as @BotFather gave it"),
        ({"secret_token": "canary é"}, "channels.shop: secret_token must be 1 to 256 of A-Z a-z 0-9 _ -"),
        ({"secret_token": "canary" * 50}, "channels.shop: secret_token must be 1 to 256 of A-Z a-z 0-9 _ -"),
        ({"secret_token": ""}, "channels.shop: secret_token is required for mode webhook; make one with: openssl rand -hex 32"),
        ({"api_base": "ftp://canary"}, "channels.shop: api_base must be an http(s) address without user, query and fragment"),
        ({"api_base": "https://u:canary@x"}, "channels.shop: api_base must be an http(s) address without user, query and fragment"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSettings) as error:
        decode_settings(Settings, {**GOOD, **changes}, "channels.shop")
    assert str(error.value) == message
    assert "canary" not in repr(error.value)
    assert error.value.__cause__ is None


def test_a_missing_key_is_named() -> None:
    with pytest.raises(BadSettings, match=r"^channels\.shop\.token: is missing$"):
        decode_settings(Settings, {}, "channels.shop")


def test_the_poll_needs_no_secret_and_knows_its_own() -> None:
    """Requests made by our own long poll carry a secret that only the token's owner can compute."""
    one = decode_settings(Settings, {"token": TOKEN, "mode": "poll"})
    other = decode_settings(Settings, {"token": TOKEN + "x", "mode": "poll"})
    (first,), (second,) = accepted_secrets(one), accepted_secrets(other)
    assert first == accepted_secrets(one)[0]
    assert first != second
    assert TOKEN not in first.reveal()


def test_nothing_shows_a_secret() -> None:
    found = decode_settings(Settings, GOOD)
    assert "canary" not in f"{found} {found!r} {found.token}"
    with pytest.raises(TypeError):
        msgspec.json.encode(found)


@pytest.mark.parametrize("kind", ["telegram"])
def test_the_schema_marks_secrets(kind: str) -> None:
    """C01: exported for forms; every secret is write-only."""
    connector = registry.load_connector(kind)
    schema = settings_schema(connector.settings)
    jsonschema.Draft202012Validator.check_schema(schema)
    properties = schema["$defs"]["Settings"]["properties"]
    secrets = {name for name, item in properties.items() if item.get("writeOnly")}
    assert secrets == {"token", "secret_token", "previous_secret_token"}
    jsonschema.validate(GOOD, schema)


class Nested(msgspec.Struct, forbid_unknown_fields=True):
    ports: list[int] = []
    verbose: bool = False
    raw: object = None


def test_numbers_may_come_as_strings_and_paths_are_whole() -> None:
    assert decode_settings(Nested, {"ports": ["80"], "verbose": "true"}) == Nested(ports=[80], verbose=True)
    with pytest.raises(BadSettings, match=r"^channels\.x\.ports\[1\]: expected int"):
        decode_settings(Nested, {"ports": [1, "no"]}, "channels.x")
    with pytest.raises(BadSettings, match=r"^nonsense: unknown setting$"):
        decode_settings(Nested, {"nonsense": 1})


def test_a_type_that_no_file_can_hold_is_the_authors_mistake() -> None:
    class Odd(msgspec.Struct):
        thing: Exception

    with pytest.raises(NotImplementedError, match="Exception"):
        decode_settings(Odd, {"thing": 1})
    with pytest.raises(TypeError, match="Exception"):
        settings_schema(Odd)
