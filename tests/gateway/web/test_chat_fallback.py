"""Web chat C4: the line holds, and where WebSockets are blocked there is another one with the same frames, intake and limits."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from gateway.web import live
from tests.support.cast import Cast, Shopper, say
from tests.support.gateway import SHOP, gateway_config, running_gateway
from tests.support.visitor import call, events, lines


async def test_there_and_back_without_a_websocket(cast: Cast) -> None:
    """C4: fallback SSE; C3: an ack per message, a repeated id is one message, replay after a position."""
    frame = {"type": "message", "id": "uuid-0001", "text": "Hello from behind a proxy"}
    async with events(cast.cleo) as stream:
        first = await call(cast.cleo, "POST", "frames", frame)
        assert [item["type"] for item in first.json["items"]] == ["ack"]
        assert (await call(cast.cleo, "POST", "frames", frame)).json == first.json
        shown = await stream.of("message")
        assert (shown["mine"], shown["client_id"]) == (True, "uuid-0001")
        conversation = (await cast.sue.get("/conversations")).json["items"][0]
        await cast.ada.post(f"/conversations/{conversation['id']}/accept")
        await cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "Good morning"})
        answered = await stream.until(lambda one: one["type"] == "message" and not one["mine"])
        assert answered["parts"] == [{"type": "text", "text": "Good morning"}]
    async with events(cast.cleo, shown["pos"]) as stream:
        assert [item["parts"][0]["text"] for item in stream.seen[-1]["items"]] == ["Good morning"]
    assert [line["parts"][0]["text"] for line in await lines(cast, cast.cleo, 2) if line["kind"] == "inbound"] == [frame["text"]]


async def test_a_socket_and_a_stream_show_the_same_once(cast: Cast) -> None:
    """C3, C4: two tabs, one of them behind a proxy."""
    await cast.cleo.begin()
    async with cast.cleo.open() as socket, events(cast.cleo) as stream:
        await say(socket, "from the socket")
        assert (await stream.of("message"))["parts"][0]["text"] == "from the socket"
        await call(cast.cleo, "POST", "frames", {"type": "message", "id": "uuid-0002", "text": "from the stream"})
        await socket.until(lambda one: one["type"] == "message" and one["parts"][0]["text"] == "from the stream")
        assert [frame["type"] for frame in stream.seen].count("message") == 1


async def test_what_is_wrong_is_said_as_on_a_socket(cast: Cast) -> None:
    """C1, C4: same checks and limits: frames, sizes, rates."""
    wrong = await call(cast.cleo, "POST", "frames", {"type": "message", "id": "uuid-0001", "text": ""})
    assert [(item["type"], item["code"], item["id"]) for item in wrong.json["items"]] == [("error", "bad_frame", "uuid-0001")]
    # Only the gateway may say who is identified, and what a file is.
    forged = {"type": "identify", "id": "uuid-0001", "name": "Amy"}
    assert (await call(cast.cleo, "POST", "frames", forged)).json["items"][0]["code"] == "bad_frame"
    made_up = {"type": "message", "id": "uuid-0001", "files": [{"id": "med_1", "mime": "image/png"}]}
    assert (await call(cast.cleo, "POST", "frames", made_up)).json["items"][0]["code"] == "bad_frame"
    assert (await call(cast.dan, "POST", "frames", b" " * 70_000, Content_Type="application/json")).code == "too_large"
    codes = [(await call(cast.dan, "POST", "frames", {"type": "typing"})).status for _ in range(60)]
    assert 429 in codes
    # One visitor's haste is no other's.
    assert (await call(cast.cleo, "POST", "frames", {"type": "typing"})).status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "events"), ("POST", "frames"), ("POST", "files"), ("POST", "identify")])
async def test_only_with_a_token_of_this_chat_in_the_header(cast: Cast, method: str, path: str) -> None:
    """C1, C4: the token is never in an address, and a page that is not allowed gets nothing."""
    other = Shopper(cast.gateway, channel="web2", origin="https://other.example.org")
    await other.begin()
    await cast.cleo.begin()
    body = b"{}" if method == "POST" else None
    for token in ("", "x", other.token, cast.cleo.token[:-2] + "AA"):
        answer = await call(cast.cleo, method, path, body, token=token)
        assert (answer.status, answer.code) == (401, "bad_token")
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert (await call(cast.cleo, method, f"{path}?token={cast.cleo.token}", body)).code == "token_in_url"
    stranger = Shopper(cast.gateway, origin="https://evil.example.org", token=cast.cleo.token)
    answer = await call(stranger, method, path, body)
    assert (answer.code, "Access-Control-Allow-Origin" in answer.headers) == ("bad_origin", False)
    status, headers, _ = await cast.gateway.request("OPTIONS", f"/chat/v1/web/{path}", headers={"Origin": SHOP})
    assert status == 204
    assert "authorization" in headers["Access-Control-Allow-Headers"]


async def test_the_gateways_own_page_is_known_without_an_origin(tmp_path: Path) -> None:
    """C1, C4: browsers send none with a GET to the same site; only where that page may chat at all."""
    for demo, status in ((True, 200), (False, 403)):
        async with running_gateway(gateway_config(tmp_path), demo=demo) as gateway:
            shopper = Shopper(gateway)
            await shopper.begin()
            headers = {"Authorization": f"Bearer {shopper.token}", "Sec-Fetch-Site": "same-origin"}
            async with gateway.http.get(f"{gateway.url}/chat/v1/web/events", headers=headers) as response:
                assert response.status == status
            async with gateway.http.get(
                f"{gateway.url}/chat/v1/web/events", headers={**headers, "Sec-Fetch-Site": "cross-site"}
            ) as response:
                assert response.status == 403


async def test_a_silent_stream_gets_pings(stage: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: a heartbeat below 30 s."""
    assert live.PING_SECONDS < 30
    monkeypatch.setattr(live, "PING_SECONDS", 0.02)
    async with events(Shopper(stage.gateway)) as stream:
        await stream.of("ping")


async def test_a_stop_ends_the_stream_and_closes_the_socket_with_1012(tmp_path: Path) -> None:
    """C4: 1012 on deploy; a stream just ends, and the page comes back to either."""
    async with contextlib.AsyncExitStack() as house:
        gateway = await house.enter_async_context(running_gateway(gateway_config(tmp_path)))
        shopper = Shopper(gateway)
        async with aiohttp.ClientSession() as http:
            outside = replace(gateway, http=http)
            visitor = Shopper(outside, token="")
            assert (await shopper.begin()).status == 201
            visitor.token = shopper.token
            async with visitor.open() as window, events(visitor) as stream:
                code, _ = await asyncio.gather(window.closed(), house.aclose())
                assert code == 1012
                with pytest.raises(AssertionError, match="the stream ended"):
                    await stream.of("message")
