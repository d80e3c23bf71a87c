"""Settings of channels: errors name the key and hide the value."""

from typing import Any

import msgspec
import pytest

from config import ConfigError
from connectors.telegram import Settings
from connectors.telegram.settings import accepted_secrets, bot_id
from tests.support.settings import settings_of

TOKEN = "123456789:AAcanary-canary"
GOOD: dict[str, Any] = {"token": TOKEN, "secret_token": "abc"}


def test_good_settings() -> None:
    found = settings_of(Settings, GOOD)
    assert (found.token.reveal(), found.mode, bot_id(found)) == (TOKEN, "webhook", "123456789")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": 5}, "channels.shop.token"),
        ({"token": None}, "channels.shop.token"),
        ({"mode": "canary"}, "channels.shop.mode"),
        ({"prot": 1}, "channels.shop.prot"),
        ({"bot_username": "canary" * 20}, "channels.shop.bot_username"),
        ({"token": "canary"}, "token must look like 123456789:AA…, as @BotFather gave it"),
        ({"secret_token": "canary é"}, "secret_token must be 1 to 256 of A-Z a-z 0-9 _ -"),
        ({"secret_token": "canary-" * 50}, "secret_token must be 1 to 256 of A-Z a-z 0-9 _ -"),
        ({"secret_token": ""}, "secret_token is required for mode webhook; make one with: openssl rand -hex 32"),
        ({"api_base": "ftp://canary"}, "api_base must be an http(s) address without user, query and fragment"),
        ({"api_base": "https://u:canary@x"}, "api_base must be an http(s) address without user, query and fragment"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings_of(Settings, {**GOOD, **changes})
    assert message in str(error.value)
    assert "canary" not in str(error.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"channels\.shop\.token"):
        settings_of(Settings, {})


def test_the_poll_needs_no_secret_and_knows_its_own() -> None:
    """Requests made by our own long poll carry a secret that only the token's owner can compute."""
    one = settings_of(Settings, {"token": TOKEN, "mode": "poll"})
    other = settings_of(Settings, {"token": TOKEN + "x", "mode": "poll"})
    (first,), (second,) = accepted_secrets(one), accepted_secrets(other)
    assert first == accepted_secrets(one)[0]
    assert first != second
    assert TOKEN not in first.reveal()


def test_nothing_shows_a_secret() -> None:
    found = settings_of(Settings, GOOD)
    assert "canary" not in f"{found} {found!r} {found.token}"
    with pytest.raises(TypeError):
        msgspec.json.encode(found)
