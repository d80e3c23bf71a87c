"""What no well-behaved client sends: wrong origins, and frames that break the protocol."""

import pytest

from tests.support.cast import Cast, Shopper
from tests.support.gateway import SHOP
from tests.support.wire import RawSocket

_FOREIGN = ("https://evil.example", "null", "http://localhost:3000", "https://shop.example.org.evil.com", "")


def _upgrade(origin: str) -> dict[str, str]:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    return {**headers, "Origin": origin} if origin else headers


@pytest.mark.parametrize("origin", _FOREIGN)
async def test_foreign_origins_are_refused_before_the_upgrade(origin: str, stage: Cast) -> None:
    cookie = {"Cookie": stage.ada.cookie_header["Cookie"]}
    feed = await stage.gateway.request("GET", "/api/v1/feed", headers={**_upgrade(origin), **cookie})
    chat = await stage.gateway.request("GET", "/chat/v1/web/socket", headers=_upgrade(origin))
    assert (feed[0], chat[0]) == (403, 403)
    assert (await stage.gateway.request("GET", "/api/v1/feed", headers={"Accept": "text/event-stream", "Origin": SHOP, **cookie}))[0] == 403


async def _chat(stage: Cast) -> RawSocket:
    shopper = Shopper(stage.gateway)
    await shopper.begin()
    socket = await RawSocket.connect(stage.gateway.port, "/chat/v1/web/socket", {"Origin": SHOP})
    socket.frame(b'{"type":"hello","token":"%b"}' % shopper.token.encode())
    return socket


async def test_malformed_frames_end_the_connection(stage: Cast) -> None:
    socket = await _chat(stage)
    socket.frame(b"x" * (1024 * 1024 + 1))
    assert await socket.close_code() == 1009

    socket = await _chat(stage)
    for _ in range(64):
        socket.frame(b"x" * 2048, opcode=1, final=False)
        socket.frame(b"x" * 2048, opcode=0, final=False)
    assert await socket.close_code() in (1002, 1009)

    socket = await _chat(stage)
    for number in range(64):
        socket.frame(b"x" * 2048, opcode=0 if number else 1, final=False)
    assert await socket.close_code() == 1009

    socket = await _chat(stage)
    socket.frame(b"\xff\xfe")
    assert await socket.close_code() == 1007

    socket = await _chat(stage)
    socket.frame(b"{}", reserved=0x40)
    assert await socket.close_code() == 1002

    socket = await _chat(stage)
    socket.frame(b"{}", opcode=2)
    assert await socket.close_code() == 1003

    socket = await _chat(stage)
    for _ in range(200):
        socket.frame(b"{}")
    assert await socket.close_code() == 1008

    socket = await _chat(stage)
    for _ in range(200):
        socket.frame(b"", opcode=9)
    assert await socket.close_code() == 1008


async def test_the_first_frame_must_be_hello(stage: Cast) -> None:
    for frame in (b"{}", b'{"type":"hello"}', b'{"type":"message","token":"x"}', b"[" * 10_000, b'{"type":"hello","token":"x.y.z"}'):
        socket = await RawSocket.connect(stage.gateway.port, "/chat/v1/web/socket", {"Origin": SHOP})
        socket.frame(frame)
        assert await socket.close_code() == 4401


async def test_a_feed_takes_small_frames_only_and_obeys_none(stage: Cast) -> None:
    headers = stage.ada.cookie_header
    socket = await RawSocket.connect(stage.gateway.port, "/api/v1/feed", headers)
    socket.frame(b"x" * 5000)
    assert await socket.close_code() == 1009
    socket = await RawSocket.connect(stage.gateway.port, "/api/v1/feed", headers)
    for _ in range(100):
        socket.frame(b"{}")
    assert await socket.close_code() == 1008
    async with stage.ada.feed() as frames:
        await frames.send({"type": "subscribe", "conversation": "GENERAL"})
        assert (await frames.next())["code"] == "read_only"
