"""Signatures, the handshake, the envelope, times."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.meta.simulator import escaped
from connectors.meta.webhook import Entry, each, entries, fragment_key, handshake, unix_time, verify
from tests.support.graph import APP_SECRET, VERIFY_TOKEN, make_settings, signed_headers

BODY = escaped({"object": "page", "entry": [{"id": "1", "text": "è 👋 a/b"}]})


def request(
    body: bytes = BODY, headers: dict[str, str] | None = None, query: dict[str, str] | None = None, method: str = "POST"
) -> Request:
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    url = "https://shop.example.org/webhooks/wa"
    return Request(method=method, url=url, headers=lowered, body=body, query=query or {}, received_at=datetime(2026, 11, 21, tzinfo=UTC))


def test_w1_the_raw_bytes_are_signed() -> None:
    """W1: Meta escapes non-ASCII and slashes; who serialises again gets other bytes, and another signature."""
    assert b"\\u00e8" in BODY
    assert b"a\\/b" in BODY
    assert verify(request(headers=signed_headers(BODY)), make_settings())
    again = json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode()
    assert not verify(request(again, headers=signed_headers(BODY)), make_settings())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        "sha1=00",
        "sha256=" + "0" * 64,
        "é" * 71,
        "\udce9",
        signed_headers(BODY, "canary-another")["X-Hub-Signature-256"],
        "x" * 10_000,
    ],
)
def test_w1_anything_else_is_wrong(header: str) -> None:
    assert not verify(request(headers={"x-hub-signature-256": header}), make_settings())


def test_w1_the_prefix_and_the_old_header_do_not_do() -> None:
    right = signed_headers(BODY)["X-Hub-Signature-256"]
    assert not verify(request(headers={"x-hub-signature-256": right.removeprefix("sha256=")}), make_settings())
    assert not verify(request(headers={"x-hub-signature": right}), make_settings())
    assert not verify(request(), make_settings())
    assert not verify(request(query={"x-hub-signature-256": right}), make_settings())


def test_w1_both_secrets_are_right_while_it_is_reset() -> None:
    settings = make_settings(app_secret="canary-new-app-0123456789", previous_app_secret=APP_SECRET)
    for secret, right in (("canary-new-app-0123456789", True), (APP_SECRET, True), ("canary-another", False)):
        assert verify(request(headers=signed_headers(BODY, secret)), settings) is right


def test_w1_without_a_secret_nobody_is_right() -> None:
    settings = make_settings()
    msgspec.structs.force_setattr(settings, "app_secret", type(settings.app_secret)(""))
    assert not verify(request(headers=signed_headers(BODY, "")), settings)


ASKED = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}


@pytest.mark.parametrize(
    ("method", "changes", "answer"),
    [
        ("GET", {}, b"1158201444"),
        ("POST", {}, None),
        ("GET", {"hub.mode": "unsubscribe"}, None),
        ("GET", {"hub.verify_token": ""}, None),
        ("GET", {"hub.verify_token": VERIFY_TOKEN[:-1]}, None),
        ("GET", {"hub.verify_token": VERIFY_TOKEN.upper()}, None),
        ("GET", {"hub.verify_token": "\udce9"}, None),
        ("GET", {"hub.challenge": ""}, None),
        ("GET", {"hub.challenge": "1" * 128}, b"1" * 128),
        ("GET", {"hub.challenge": "1" * 129}, None),
        ("GET", {"hub.challenge": "\udce9"}, None),
        ("GET", {"hub.challenge": "<script>alert(1)</script>"}, None),
    ],
)
def test_w1_the_challenge_is_repeated_to_who_knows_the_token(method: str, changes: dict[str, str], answer: bytes | None) -> None:
    assert handshake(request(query={**ASKED, **changes}, method=method), make_settings()) == answer


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"object":"page"}', b'{"object":"user","entry":[{}]}', b"\xff", b"[" * 100_000]
)
def test_what_has_no_envelope_is_a_bad_payload(body: bytes) -> None:
    with pytest.raises(BadPayload):
        entries(body, ("page", "instagram"))


def test_one_broken_element_spoils_no_other() -> None:
    """W2."""
    found = entries(b'{"object":"page","entry":[{"id":"1"},{"id":2},{"id":"3","time":"x"}]}', ("page",))
    read = [one for _, one in each(found, msgspec.json.Decoder(Entry))]
    assert [isinstance(one, BadPayload) for one in read] == [False, True, False]
    assert isinstance(read[1], BadPayload)
    assert "$.id" in str(read[1])


def test_keys_of_fragments_are_of_their_bytes() -> None:
    assert fragment_key("x", b"{}") == fragment_key("x", Raw(b"{}")) != fragment_key("x", b"{ }")
    assert fragment_key("x", b"{}") != fragment_key("y", b"{}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1795200000", datetime(2026, 11, 20, 18, 40, tzinfo=UTC)),
        (1795200000, datetime(2026, 11, 20, 18, 40, tzinfo=UTC)),
        ("1795200000123", datetime(2026, 11, 20, 18, 40, 0, 123000, tzinfo=UTC)),
        (1795200000123, datetime(2026, 11, 20, 18, 40, 0, 123000, tzinfo=UTC)),
        (0, None),
        ("", None),
        (None, None),
        ("yesterday", None),
        (-5, None),
        ("nan", None),
        ("inf", None),
        (1e300, None),
        ("9" * 400, None),
    ],
)
def test_w6_times_are_seconds_or_milliseconds_as_text_or_number(value: Any, expected: datetime | None) -> None:
    assert unix_time(value) == expected
