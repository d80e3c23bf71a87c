"""Settings: errors name the key and hide the value."""

from typing import Any

import pytest

from config import ConfigError
from connectors.sms import Settings as SmsSettings
from connectors.twilio.account import base_of, credentials
from connectors.whatsapp_twilio import Settings as WhatsappSettings
from tests.support.settings import settings_of
from tests.support.twilio import ACCOUNT, NUMBER, SERVICE, TOKEN, sms_settings

GOOD: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account_sid": "canary"}, "account_sid must be AC and 32 hexadecimal digits"),
        ({"account_sid": "AC" + "g" * 32}, "account_sid must be AC and 32 hexadecimal digits"),
        ({"auth_token": ""}, "auth_token is required"),
        ({"auth_token": 5}, "channels.shop.auth_token"),
        ({"number": ""}, "number or messaging_service_sid is required"),
        ({"number": "canary canary"}, "number must be like +39351000000"),
        ({"number": "12"}, "number must be like +39351000000"),
        ({"messaging_service_sid": "canary"}, "messaging_service_sid must be MG and 32"),
        ({"rest_key_sid": "SK" + "0" * 32}, "rest_key_sid and rest_key_secret belong together"),
        ({"rest_key_sid": "canary", "rest_key_secret": "x"}, "rest_key_sid must be SK and 32"),
        ({"subaccounts": {"canary": "x"}}, "subaccounts must name each sub-account by its SID"),
        ({"subaccounts": {"AC" + "1" * 32: ""}}, "subaccounts must name each sub-account by its SID"),
        ({"api_base": "ftp://canary"}, "api_base must be an http(s) address"),
        ({"api_base": "https://u:canary@x"}, "api_base must be an http(s) address"),
        ({"rcs_agent": "canary"}, "rcs_agent must be rcs:"),
        ({"mms": "canary"}, "channels.shop.mms"),
        ({"prot": 1}, "channels.shop.prot"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings_of(SmsSettings, {**GOOD, **changes})
    assert message in str(error.value)
    assert "canary" not in str(error.value)


def test_whatsapp_wants_a_phone() -> None:
    settings_of(WhatsappSettings, GOOD)
    for number in ("88202", "SHOP", f"whatsapp:{NUMBER}"):
        with pytest.raises(ConfigError, match="without whatsapp: before it"):
            settings_of(WhatsappSettings, {**GOOD, "number": number})


@pytest.mark.parametrize("number", [NUMBER, "88202", "SHOP", "My Shop-1"])
def test_senders_of_sms(number: str) -> None:
    assert settings_of(SmsSettings, {**GOOD, "number": number}).number == number


def test_nothing_shows_a_secret() -> None:
    found = settings_of(
        SmsSettings,
        {**GOOD, "secondary_auth_token": "canary-2", "subaccounts": {"AC" + "1" * 32: "canary-3"}, "webhook_shared_key": "canary-4"},
    )
    assert "canary" not in f"{found} {found!r}"


def test_an_api_key_opens_the_interface_instead_of_the_token() -> None:
    assert credentials(sms_settings()) == (ACCOUNT, TOKEN)
    key = "SK" + "0" * 32
    assert credentials(sms_settings(rest_key_sid=key, rest_key_secret="canary-key")) == (key, "canary-key")
    assert sms_settings(number="", messaging_service_sid=SERVICE).messaging_service_sid == SERVICE


@pytest.mark.parametrize(
    ("base", "product", "address"),
    [
        ("https://api.twilio.com", "api", "https://api.twilio.com"),
        ("https://api.twilio.com/", "content", "https://content.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "messaging", "https://messaging.dublin.ie1.twilio.com"),
        ("http://127.0.0.1:8082", "content", "http://127.0.0.1:8082"),
        ("http://127.0.0.1:8082/sms/", "api", "http://127.0.0.1:8082/sms"),
    ],
)
def test_where_the_products_are(base: str, product: str, address: str) -> None:
    assert base_of(base, product) == address
