"""No form of a secret gets through; innocent text does."""

import base64
import json
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest

from config import Secret
from gateway.redact import Redactor, values_of
from tests.support.canary import forms, search_text

SECRETS = [
    "700000001:canary-TOKEN-9f3a",
    "canary-/SECRET+77 é",
    'canary-with "quotes" \\ and\nlines',
    "AbC123",
    "canary-" + "x" * 200,
]
REDACTOR = Redactor(Secret(value) for value in SECRETS)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_form_of_a_secret_is_left(secret: str) -> None:
    wrapped = {
        "plain": f"a {secret} b",
        "basic pair": "Basic " + base64.b64encode(f"AC0123:{secret}".encode()).decode(),
        "basic pair, other length": "Basic " + base64.b64encode(f"user@example.org:{secret}".encode()).decode(),
        "XOAUTH2": base64.b64encode(f"user=a@b.c\1auth=Bearer {secret}\1\1".encode()).decode(),
        "url-safe base64": base64.urlsafe_b64encode(secret.encode()).decode(),
        "address": f"https://x.example/bot{quote(secret, safe='')}/getMe?a=1",
        "form": urlencode({"token": secret, "b": "c"}),
        "plus": quote_plus(secret),
        "lower-case percent": re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
        "json": json.dumps({"a": secret}),
        "json, not ascii": json.dumps({"a": secret}, ensure_ascii=False),
        "json in json": json.dumps({"b": json.dumps({"a": secret})}),
        "json in json, not ascii": json.dumps({"b": json.dumps({"a": secret}, ensure_ascii=False)}),
        "json with escaped slashes": json.dumps({"a": secret}).replace("/", "\\/"),
        "hex": secret.encode().hex(),
    }
    for name, text in wrapped.items():
        if len(secret) >= 8 or "base64" not in name:
            hidden = REDACTOR.text(text)
            assert search_text(hidden, {"secret": secret}) == [], name
            assert "SECRET" not in hidden, name
            assert "quotes" not in hidden, name


def test_the_search_finds_what_the_redactor_would_have_to_hide() -> None:
    """Otherwise the test before would prove nothing."""
    for secret in SECRETS:
        for name, form in forms(secret).items():
            assert search_text(f"...{form}...", {"secret": secret}), name


def test_what_no_setting_knows_is_found_by_its_place() -> None:
    lines = {
        '{"access_token": "EAAGfresh", "expires_in": 3600}': "EAAGfresh",
        '{"a": "{\\"refresh_token\\": \\"1//fresh\\"}"}': "1//fresh",
        "grant_type=x&client_secret=fresh-one&code=1": "fresh-one",
        "https://graph.example/v1?access_token=EAAGfresh&x=1": "EAAGfresh",
        "https://api.telegram.org/bot123:fresh/getFile": "123:fresh",
        "the token 123456789:AAfreshfreshfreshfreshfreshfreshfresh": "AAfresh",
        "Authorization: Bearer fresh.one-1": "fresh.one-1",
        "imap://user:fresh@mail.example": "fresh",
        "gw_abcdefgh_fresh": "fresh",
    }
    for line, secret in lines.items():
        assert secret not in Redactor().text(line), line


def test_innocent_text_stays_as_it_is() -> None:
    for text in (
        "Ciao, siete aperti alle 19:30?",
        '{"update_id": 700000001, "text": "my token of love = 5"}',
        "a@b.example",
        "https://x.y/z?q=1",
    ):
        assert REDACTOR.text(text) == text


def test_what_was_cut_within_a_credential_shows_no_half_of_it() -> None:
    redactor = Redactor([Secret("canary-of-thirty-characters-01")])
    assert redactor.words("you sent canary-of-thirty-char") == "you sent ********"
    assert redactor.words("you sent canary-of-thirty-characters-01") == "you sent ********"
    # So short a beginning is a word like others.
    assert redactor.words("look at the canar") == "look at the canar"


def test_of_headers_that_authenticate_only_the_length_is_kept() -> None:
    names = [
        "Authorization",
        "Cookie",
        "X-Hub-Signature-256",
        "X-Twilio-Signature",
        "X-Telegram-Bot-Api-Secret-Token",
        "X-Api-Key",
        "Set-Cookie",
        "X-Visitor",
        "X-User",
    ]
    shown = REDACTOR.headers({**dict.fromkeys(names, "12345"), "Content-Type": "text/plain", "X-Note": SECRETS[0]})
    assert {shown[name.lower()] for name in names} == {"(5 characters, hidden)"}
    assert shown["content-type"] == "text/plain"
    assert shown["x-note"] == "********"
    # Whoever writes headers cuts them.
    assert REDACTOR.headers({"X-Note": f"you sent {SECRETS[0][:-3]}"}) == {"x-note": "you sent ********"}


def test_the_password_in_an_address_is_a_secret_of_its_own() -> None:
    assert values_of([Secret("postgresql://shop:canary-word-1@db/x"), Secret("short"), Secret("")]) == {
        "postgresql://shop:canary-word-1@db/x",
        "canary-word-1",
    }
