"""B19-B23: bytes that no client library would send. Each is refused at the door, and the connection is closed."""

import asyncio
import gzip
import time
from pathlib import Path

import pytest

from config import ChannelConfig
from tests.gateway.bad_input.rows import HOOK, RECEIVED, update
from tests.support.cast import Cast
from tests.support.gateway import BOT_SECRET, gateway_config, running_gateway
from tests.support.twilio import ACCOUNT, NUMBER, TOKEN
from tests.support.wire import TIMEOUT

_BODY = update(22)
_TARGET = f"POST {HOOK} HTTP/1.1\r\n".encode()
_HOST = b"Host: x\r\n"
_SIGNED = f"X-Telegram-Bot-Api-Secret-Token: {BOT_SECRET}\r\nContent-Type: application/json\r\n".encode()
_LENGTH = f"Content-Length: {len(_BODY)}\r\n".encode()
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
#: Far more than an honest refusal needs, on a machine that has other things to do.
_AT_ONCE = 2.0


def _with(*headers: bytes, body: bytes = _BODY, length: bytes = _LENGTH) -> bytes:
    return _TARGET + _HOST + _SIGNED + length + b"".join(headers) + b"\r\n" + body


async def _spoken(port: int, data: bytes) -> tuple[int, bytes]:
    """Status and all bytes until the gateway hangs up. Raises TimeoutError if it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(TIMEOUT):
            answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_with(_CHUNKED, body=b"0\r\n\r\n"), id="CL and TE"),
        pytest.param(_with(_LENGTH, body=b"0\r\n\r\n", length=_CHUNKED), id="TE and CL"),
        pytest.param(_with(b"Transfer-Encoding: identity\r\n", body=b"0\r\n\r\n", length=_CHUNKED), id="two TE"),
        pytest.param(_with(b"Transfer-Encoding: xchunked\r\n", length=b""), id="odd TE"),
        pytest.param(_with(b"Content-Length: 3\r\n"), id="two CL"),
        pytest.param(_with(_LENGTH), id="the same CL twice"),
        pytest.param(_with(length=b"Content-Length: 3, 3\r\n"), id="a list of CL"),
        pytest.param(_with(length=b"Content-Length: -5\r\n"), id="negative CL"),
        pytest.param(_with(length=b"Content-Length: +5\r\n"), id="signed CL"),
        pytest.param(_with(length=b"Content-Length: 0x5\r\n"), id="hexadecimal CL"),
        pytest.param(_with(length=b"Content-Length: " + b"9" * 30 + b"\r\n"), id="endless CL"),
        pytest.param(_with(body=b"-5\r\nabcde\r\n0\r\n\r\n", length=_CHUNKED), id="negative chunk"),
        pytest.param(_with(body=b"5;a=\n0\r\nabcde\r\n0\r\n\r\n", length=_CHUNKED), id="line feed in a chunk's extension"),
        pytest.param(_with().replace(b"\r\n", b"\n"), id="bare LF everywhere"),
        pytest.param((_TARGET + _HOST).replace(b"\r\n", b"\n") + _SIGNED + _LENGTH + b"\r\n" + _BODY, id="bare LF"),
        pytest.param(_with(b"X-A: a\rb\r\n"), id="bare CR"),
        pytest.param(_with(b"X-A: a\0b\r\n"), id="NUL in a value"),
        pytest.param(_with(b"X\0A: a\r\n"), id="NUL in a name"),
        pytest.param(_with(b"X-A: a\r\n b\r\n"), id="obs-fold"),
        pytest.param(_with(b"X-A : a\r\n"), id="space before the colon"),
        pytest.param(_TARGET + _SIGNED + _LENGTH + b"\r\n" + _BODY, id="no Host"),
        pytest.param(_with(b"Host: y\r\n"), id="two Hosts"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(_with(*(f"X-{number}: a\r\n".encode() for number in range(1000))), id="B23 1000 headers"),
        pytest.param(_with(b"Cookie: " + b"; ".join(b"c%d=x" % number for number in range(3000)) + b"\r\n"), id="B23 cookie bomb"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n", id="B23 an address of 20 kB"),
    ],
)
async def test_b22_b23_malformed_requests_are_refused_and_hung_up_on(
    stage: Cast, data: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = await _received(stage)
    status, answer = await _spoken(stage.gateway.port, data)
    assert status in {400, 431}
    # One answer: what follows is not taken for another request.
    assert answer.count(b"HTTP/1.") == 1
    assert await _received(stage) == before
    # Nothing of it comes back, or stays in the log.
    assert answer.endswith(b"\r\n\r\n")
    assert b"aiohttp" not in answer
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


async def test_b22_the_same_request_in_good_order_is_taken(stage: Cast) -> None:
    before = await _received(stage)
    assert (await _spoken(stage.gateway.port, _with(b"Connection: close\r\n")))[0] == 200
    assert await _received(stage) == before + 1


@pytest.mark.parametrize("path", [HOOK, "/api/v1/sessions", "/chat/v1/web/sessions"])
async def test_b19_a_second_encoding_does_not_slip_through(stage: Cast, path: str) -> None:
    """The parser unpacks by the last of two headers; whoever looks at the first one only is fooled."""
    body = gzip.compress(update(19))
    lines = b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nConnection: close\r\nOrigin: https://shop.example.org\r\n"
    head = _HOST + _SIGNED + lines + f"Content-Length: {len(body)}\r\n\r\n".encode()
    assert (await _spoken(stage.gateway.port, f"POST {path} HTTP/1.1\r\n".encode() + head + body))[0] == 415


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"".join(b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n' for _ in range(10_000)), id="10,000 fields"),
        pytest.param(b'--x\r\nContent-Disposition: form-data; name="' + b"n" * 1_000_000 + b'"\r\n\r\n1\r\n--x--', id="a long name"),
        pytest.param(b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\n" + b"1" * 1000, id="no end"),
    ],
)
async def test_b20_nothing_reads_multipart(stage: Cast, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    began = time.perf_counter()
    assert (await stage.gateway.request("POST", HOOK, data=body, headers=headers))[0] == 403
    for path in ("/me", "/conversations/x/messages"):
        method = "PATCH" if path == "/me" else "POST"
        assert (await stage.ada.call(method, path, body, headers=headers)).status == (413 if len(body) > 1024 * 1024 else 415)
    assert time.perf_counter() - began < _AT_ONCE


async def test_b21_a_form_with_too_many_fields_is_refused_before_it_is_read(tmp_path: Path) -> None:
    settings = {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER, "api_base": "http://127.0.0.1:9"}
    config = gateway_config(tmp_path, {"sms": ChannelConfig(kind="sms", settings=settings)})
    body = b"&".join(b"f%d=1" % number for number in range(100_000))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "AAAA"}
    async with running_gateway(config) as gateway:
        began = time.perf_counter()
        assert (await gateway.request("POST", "/webhooks/sms", data=body, headers=headers))[0] == 403
        assert (await gateway.request("POST", "/webhooks/sms", data=body * 2, headers=headers))[0] == 413
        assert (await gateway.request("POST", "/api/v1/sessions", data=body, headers=headers))[0] == 415
        assert time.perf_counter() - began < _AT_ONCE


async def _received(stage: Cast) -> int:
    return await stage.gateway.services.store.view(lambda tx: tx.stream.count(RECEIVED))
