"""Visitors who want too much, or do not read what they are sent."""

import asyncio
import contextlib

import msgspec
import pytest

from connectors.content import Text
from connectors.event import Status
from connectors.identity import Identity
from gateway.web import live
from storage.record import Author, AuthorKind, Entry, Message, MessageKind
from tests.support.cast import Cast, Frames, Shopper, say
from tests.support.gateway import SHOP
from tests.support.waiting import until
from tests.support.wire import RawSocket

_PIECES = 400


async def test_new_chats_from_one_address_are_slowed_down(cast: Cast) -> None:
    """C1: whoever asks for visitors without end gets a while to wait; those who have a token go on."""
    assert (await cast.cleo.begin()).status == 201
    for _ in range(200):
        answer = await Shopper(cast.gateway).begin()
        if answer.status != 201:
            break
    assert (answer.status, answer.code) == (429, "too_many_visitors")
    assert int(answer.headers["Retry-After"]) > 0
    assert await cast.cleo.say("Hello") > 0


async def test_a_visitor_who_does_not_read_is_cut_and_the_other_tab_gets_all(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: a bounded queue, then the connection is dropped; the page resyncs."""
    monkeypatch.setattr(live, "SEND_SECONDS", 2.0)
    services = cast.gateway.services
    async with cast.cleo.open() as quick:
        before = services.hub.subscribers
        slow = await RawSocket.connect(cast.gateway.port, "/chat/v1/web/socket", {"Origin": SHOP})
        slow.frame(msgspec.json.encode({"type": "hello", "token": cast.cleo.token}))
        await until(lambda: services.hub.subscribers == before + 1)
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        reading = asyncio.create_task(_read(quick))
        for number in range(_PIECES):
            await services.store.append([_line(cast, number)])
        assert await reading == [f"msg_{number}" for number in range(_PIECES)]
        await until(lambda: services.hub.subscribers == before)
        assert await say(quick, "still here") > 0
    slow.writer.close()
    with contextlib.suppress(ConnectionError):
        await slow.writer.wait_closed()


async def _read(window: Frames) -> list[str]:
    found: list[str] = []
    while len(found) < _PIECES:
        frame = await window.next()
        found += [frame["id"]] if frame["type"] == "message" else []
    return found


def _line(cast: Cast, number: int) -> Entry:
    now = cast.gateway.services.clock()
    message = Message(
        id=f"msg_{number}",
        pos=number + 1,
        conversation_id="cnv_none",
        customer_id="cus_none",
        kind=MessageKind.OUTBOUND,
        author=Author(kind=AuthorKind.AGENT, name="Sue"),
        parts=(Text(text="x" * 50_000),),
        at=now,
        received_at=now,
        status=Status.SENT,
    )
    identity = str(Identity("visitor", "web", cast.cleo.visitor_id))
    return Entry(type="message.added", data=msgspec.json.encode({"message": message}), partition=0, at=now, identity=identity)
