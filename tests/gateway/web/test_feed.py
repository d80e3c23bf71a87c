"""The live feed: every event once and in order, from any position, and only for those who may see it at that moment."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from gateway.web import live
from gateway.work.actor import GATEWAY
from routing.command import SetMember
from storage.record import Entry
from tests.support.cast import Cast, Frames, Shopper
from tests.support.gateway import RunningGateway, gateway_config, running_gateway
from tests.support.wire import RawSocket


async def _append(gateway: RunningGateway, count: int, queue: str, first: int = 0, size: int = 2) -> None:
    """Derived events that everybody in a queue may see."""
    store, now = gateway.services.store, gateway.services.clock()
    filler = "x" * size
    entries = [
        Entry(type="test.counted", data=b'{"n":%d,"x":"%b"}' % (number, filler.encode()), partition=number % 16, at=now, queues=(queue,))
        for number in range(first, first + count)
    ]
    await store.append(entries)


async def _numbers(frames: Frames, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        frame = await frames.next()
        assert frame["type"] != "resync_required", frame
        if frame["type"] == "test.counted":
            found.append(frame["data"]["n"])
    return found


async def test_a_resumed_feed_has_no_hole_and_no_repeat(cast: Cast) -> None:
    total, step = 3000, 50

    async def write() -> None:
        for first in range(0, total, step):
            await _append(cast.gateway, step, cast.general.id, first)
            await asyncio.sleep(0)

    head = await cast.gateway.services.store.view(lambda tx: tx.stream.head())
    writer = asyncio.create_task(write())
    after = head
    found: list[int] = []
    while len(found) < total:
        async with cast.ada.feed(after) as frames:
            for _ in range(min(317, total - len(found))):
                frame = await frames.next()
                assert frame["pos"] > after
                after = frame["pos"]
                found.append(frame["data"]["n"])
    await writer
    assert found == list(range(total))


async def test_who_is_not_a_member_sees_nothing(cast: Cast) -> None:
    async with cast.ada.feed() as ada, cast.ben.feed() as ben, cast.sue.feed() as sue:
        await cast.conversation()
        await _append(cast.gateway, 1, cast.returns.id)
        assert (await ada.of("message.added"))["data"]["message"]["parts"] == [{"type": "text", "text": "Hello"}]
        await sue.of("test.counted")
        await ben.of("test.counted")
    assert {frame["type"] for frame in ben.seen} == {"hello", "test.counted"}
    assert {"message.received", "chat.started"}.isdisjoint(frame["type"] for frame in sue.seen)
    assert "test.counted" not in {frame["type"] for frame in ada.seen}


async def test_who_leaves_a_queue_sees_no_more_of_it(cast: Cast) -> None:
    conversation = await cast.conversation()
    async with cast.ada.feed() as ada, cast.sue.feed() as sue:
        assert (await cast.sue.call("DELETE", f"/queues/{cast.general.id}/members/{cast.ada.id}")).status == 204
        await ada.of("queue.member_removed")
        await _append(cast.gateway, 3, cast.general.id)
        await sue.of("test.counted")
        await cast.sue.call("PUT", f"/queues/{cast.general.id}/members/{cast.ada.id}")
        await ada.of("resync_required")
        await _append(cast.gateway, 1, cast.general.id, 7)
        assert await _numbers(ada, 1) == [7]
        assert (await cast.ada.get(f"/conversations/{conversation['id']}")).status == 200


async def test_logging_out_ends_the_feed(cast: Cast) -> None:
    async with cast.ada.feed() as ada, cast.sue.feed() as sue:
        assert (await cast.ada.call("DELETE", "/sessions")).status == 204
        assert await ada.closed() == 4401
        await _append(cast.gateway, 1, cast.general.id)
        assert await _numbers(sue, 1) == [0]
    assert "credential.ended" not in {frame["type"] for frame in sue.seen}


async def test_a_disabled_agent_is_out(cast: Cast) -> None:
    async with cast.ada.feed() as ada:
        assert (await cast.amy.call("PATCH", f"/agents/{cast.ada.id}", {"disabled": True})).status == 200
        assert await ada.closed() == 4401
    assert (await cast.ada.get("/me")).status == 401


async def test_a_new_role_counts_at_once(cast: Cast) -> None:
    async with cast.ben.feed() as ben:
        assert (await cast.amy.call("PATCH", f"/agents/{cast.ben.id}", {"role": "supervisor"})).status == 200
        await ben.of("resync_required")
        await _append(cast.gateway, 1, cast.general.id)
        assert await _numbers(ben, 1) == [0]


async def test_a_ticket_opens_one_feed_once(cast: Cast) -> None:
    ticket = (await cast.ada.post("/feed-tickets")).json["ticket"]
    url = f"{cast.gateway.url}/api/v1/feed"
    async with cast.gateway.http.ws_connect(url) as socket:
        frames = Frames(socket)
        await frames.send({"ticket": ticket})
        await frames.of("hello")
        await _append(cast.gateway, 1, cast.general.id)
        assert await _numbers(frames, 1) == [0]
        await cast.ada.call("DELETE", "/sessions")
        assert await frames.closed() == 4401
    for first in ({"ticket": ticket}, {"ticket": ""}, {"token": "gw_x_y"}, {}, {"ticket": "x", "scope": "all"}):
        async with cast.gateway.http.ws_connect(url) as socket:
            frames = Frames(socket)
            await frames.send(first)
            assert await frames.closed() == 4401
            assert frames.seen == []
    async with cast.gateway.http.ws_connect(url) as socket:
        frames = Frames(socket)
        await frames.send({"token": cast.ada.token})
        await frames.of("hello")


async def test_who_says_nothing_is_hung_up(stage: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HELLO_SECONDS", 0.05)
    async with stage.gateway.http.ws_connect(f"{stage.gateway.url}/api/v1/feed") as socket:
        assert await Frames(socket).closed() == 4401


async def test_a_cursor_from_the_future_means_load_everything_anew(cast: Cast) -> None:
    async with cast.ada.feed(10**9) as ada:
        await ada.of("resync_required")
        await _append(cast.gateway, 1, cast.general.id)
        assert await _numbers(ada, 1) == [0]


async def test_server_sent_events_carry_the_same(cast: Cast) -> None:
    await cast.conversation()
    head = await cast.gateway.services.store.view(lambda tx: tx.stream.head())
    headers = {**cast.ada.cookie_header, "Accept": "text/event-stream", "Last-Event-ID": str(head)}
    async with cast.gateway.http.get(f"{cast.gateway.url}/api/v1/feed?after=1", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert json.loads((await response.content.readline()).removeprefix(b"data: ")) == {"type": "hello", "pos": head}
        await response.content.readline()
        await _append(cast.gateway, 1, cast.general.id)
        assert await response.content.readline() == b"id: %d\n" % (head + 1)
        frame = json.loads((await response.content.readline()).removeprefix(b"data: "))
        assert (frame["type"], frame["pos"], frame["data"]["n"]) == ("test.counted", head + 1, 0)


async def test_a_client_that_does_not_read_is_cut_and_nobody_waits(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SEND_SECONDS", 2.0)
    slow = await RawSocket.connect(cast.gateway.port, "/api/v1/feed", cast.ada.cookie_header)
    slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
    async with cast.ada.feed() as quick:
        reading = asyncio.create_task(_numbers(quick, 400))
        for first in range(0, 400, 20):
            await _append(cast.gateway, 20, cast.general.id, first, size=50_000)
        assert await reading == list(range(400))
        async with asyncio.timeout(20):
            while True:
                if cast.gateway.services.hub.subscribers == 1:
                    break
                await asyncio.sleep(0.02)
    slow.writer.close()
    with contextlib.suppress(ConnectionError):
        await slow.writer.wait_closed()


async def test_a_stopping_gateway_says_come_back(tmp_path: Path) -> None:
    async with running_gateway(gateway_config(tmp_path)) as gateway:
        shopper = Shopper(gateway)
        await shopper.begin()
        socket = await gateway.http.ws_connect(f"{gateway.url}/chat/v1/web/socket", headers={"Origin": shopper.origin})
        frames = Frames(socket)
        await frames.send({"type": "hello", "token": shopper.token})
        await frames.of("history")
        closing = asyncio.create_task(frames.closed())
    assert await closing == 1012


async def test_the_router_and_the_api_announce_members(cast: Cast) -> None:
    async with cast.ada.feed() as ada:
        gone = SetMember(id="cmd_x", actor=GATEWAY, queue_id=cast.returns.id, agent_id=cast.ben.id, member=False)
        await cast.gateway.services.router.handle(gone)
        frame = await ada.of("queue.member_removed")
        assert frame["data"] == {"queue_id": cast.returns.id, "agent_id": cast.ben.id}
