"""Visitors' tokens: genuine, for this channel, of this time, and nothing else."""

import base64
from datetime import UTC, datetime

import msgspec
import pytest

from config import Secret
from connectors.contract import Request
from connectors.webchat import CONNECTOR, Settings
from connectors.webchat.visitor import TOKEN_SECONDS, Visitor, _mac, read_jwt, read_token, sign_token

SECRET = Secret("canary-visitors-long-enough-0123456789")
NOW = 1_800_000_000
CLEO = Visitor(visitor="cleo", channel="web", iat=NOW)


def _request(token: str, url: str = "https://gw.example/chat/v1/web/socket") -> Request:
    return Request(method="POST", url=url, headers={"x-visitor": token}, body=b"{}", received_at=datetime.fromtimestamp(NOW, UTC))


def test_a_genuine_token_is_read() -> None:
    token = sign_token(CLEO, SECRET)
    assert read_token(token, SECRET, "web", NOW) == CLEO
    assert CONNECTOR.verify(_request(token), Settings(secret=SECRET))


def test_one_changed_byte_is_refused() -> None:
    token = sign_token(CLEO, SECRET)
    for index in range(len(token)):
        for other in "Ab.é\udcff":
            changed = token[:index] + other + token[index + 1 :]
            if changed != token:
                assert read_token(changed, SECRET, "web", NOW) is None
    for changed in (token + "A", token + "=", "\ufeff" + token, token[:-1], "", ".", "..", token.upper(), token + "\n"):
        assert read_token(changed, SECRET, "web", NOW) is None


@pytest.mark.parametrize("iat", [NOW + 3600, NOW - TOKEN_SECONDS, NOW - TOKEN_SECONDS - 360, -1])
def test_a_token_of_another_time_is_refused(iat: int) -> None:
    token = sign_token(Visitor(visitor="cleo", channel="web", iat=iat), SECRET)
    assert read_token(token, SECRET, "web", NOW) is None
    assert not CONNECTOR.verify(_request(token), Settings(secret=SECRET))


@pytest.mark.parametrize("payload", [b'{"visitor":"c","channel":"web"}', b'{"visitor":"c","channel":"web","iat":1e9999}', b"[]", b"\xff"])
def test_a_signed_payload_that_is_no_visitor_is_refused(payload: bytes) -> None:
    body = "a." + base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    assert read_token(f"{body}.{_mac(body, SECRET)}", SECRET, "web", NOW) is None


def test_another_channel_or_secret_is_refused() -> None:
    token = sign_token(CLEO, SECRET)
    assert read_token(token, SECRET, "web2", NOW) is None
    assert read_token(token, Secret("canary-other-visitors-0123456789abcdef"), "web", NOW) is None
    assert read_token(sign_token(CLEO, Secret("")), Secret(""), "web", NOW) is None
    assert not CONNECTOR.verify(_request(token, "https://gw.example/webhooks/web"), Settings(secret=SECRET))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "\udcff" * 3, "x" * 5000, "e30.e30.e30"])
def test_a_jwt_that_is_none_is_a_reason_and_no_exception(token: str) -> None:
    assert isinstance(read_jwt(token, SECRET, "web", NOW), str)


def test_a_token_tells_nothing_but_the_visitor() -> None:
    payload = sign_token(CLEO, SECRET).split(".")[1]
    decoded = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="))
    assert decoded == {"visitor": "cleo", "channel": "web", "iat": NOW}
