"""The hub: whoever joins gets what lies between their own reading and the shared one, once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.hub import KEPT, CursorLost, Hub, Newest, Overrun
from gateway.wiring import open_gateway
from storage.protocol import Store
from storage.record import Entry, Recorded
from tests.support.gateway import gateway_config

_AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_gateway(gateway_config(tmp_path, {}), workers=False) as services:
        yield services.store


@contextlib.asynccontextmanager
async def _running(hub: Hub) -> AsyncIterator[Hub]:
    task = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _append(store: Store, count: int, hub: Hub) -> int:
    """Append, and wait until the hub has handed it out."""
    entries = [Entry(type="test.counted", data=b"{}", partition=0, at=_AT, queues=("*",)) for _ in range(count)]
    last = (await store.append(entries))[-1].pos
    async with asyncio.timeout(60):
        while True:
            if hub.pos >= last:
                return last
            await asyncio.sleep(0.005)


async def _joined(hub: Hub) -> None:
    """Wait until somebody hears what comes, and does not read it by themselves."""
    async with asyncio.timeout(60):
        while not hub.subscribers:  # noqa: ASYNC110  the hub has no event for it
            await asyncio.sleep(0.005)


def _positions(batch: list[Recorded]) -> list[int]:
    return [recorded.pos for recorded in batch]


async def test_what_comes_between_reading_and_joining_is_not_lost(store: Store) -> None:
    async with _running(Hub(store)) as hub:
        await _append(store, 3, hub)
        async with contextlib.aclosing(hub.follow(0)) as feed:
            assert _positions(await anext(feed)) == [1, 2, 3]
            # What it was given came from memory; these come while it does not listen.
            await _append(store, 2, hub)
            assert _positions(await asyncio.wait_for(anext(feed), 60)) == [4, 5]
            joined = asyncio.ensure_future(anext(feed))
            await _append(store, 1, hub)
            assert _positions(await asyncio.wait_for(joined, 60)) == [6]
        assert hub.subscribers == 0


async def test_a_burst_beyond_the_buffer_is_caught_up_from_the_store(store: Store) -> None:
    async with _running(Hub(store, buffer=10)) as hub:
        await _append(store, 1, hub)
        async with contextlib.aclosing(hub.follow(1)) as feed:
            joined = asyncio.ensure_future(anext(feed))
            await _append(store, 1, hub)
            found = _positions(await asyncio.wait_for(joined, 60))
            await _append(store, 40, hub)
            while len(found) < 41:
                found += _positions(await asyncio.wait_for(anext(feed), 60))
        assert found == list(range(2, 43))


async def test_who_is_hopelessly_behind_is_told_so(store: Store) -> None:
    async with _running(Hub(store, buffer=10, max_behind=20)) as hub:
        await _append(store, 30, hub)
        with pytest.raises(CursorLost, match="behind"):
            await anext(hub.follow(5))
        with pytest.raises(CursorLost, match="ahead"):
            await anext(hub.follow(31))
        async with contextlib.aclosing(hub.follow(30)) as feed:
            joined = asyncio.ensure_future(anext(feed))
            await _joined(hub)
            await _append(store, 1, hub)
            assert _positions(await asyncio.wait_for(joined, 60)) == [31]
            await _append(store, 40, hub)
            with pytest.raises(Overrun):
                await asyncio.wait_for(anext(feed), 60)


def _events(first: int, last: int) -> list[Recorded]:
    entry = Entry(type="test.counted", data=b"{}", partition=0, at=_AT)
    return [Recorded(pos=pos, prev_pos=pos - 1, entry=entry) for pos in range(first, last + 1)]


def test_what_is_kept_of_the_newest_has_no_hole() -> None:
    newest = Newest()
    newest.begin(10)
    newest.add(_events(11, 13))
    newest.put_before(_events(5, 8))  # the mirror gave less than was asked for: 9 and 10 are missing
    assert (newest.start, newest.pos) == (10, 13)
    newest.put_before(_events(7, 10))
    assert (newest.start, [one.pos for one in newest.after(6)]) == (6, list(range(7, 14)))
    newest.add(_events(14, 13 + KEPT))
    assert (newest.start, newest.pos, len(newest.after(newest.start))) == (13, 13 + KEPT, KEPT)
