"""Thousands who come back at once cost the database a few transactions together, and not some each."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.hub import Hub
from gateway.together import SHARE, Together
from gateway.wiring import open_gateway
from storage.errors import Conflict, Unavailable
from storage.protocol import Store, Transaction
from storage.record import Entry, Recorded
from tests.support.cast import Cast
from tests.support.gateway import gateway_config
from tests.support.post import running
from tests.support.waiting import eventually

T = TypeVar("T")
_AT = datetime(2026, 11, 1, tzinfo=UTC)


class Counted:
    """A store that counts how often it is looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.looks = 0

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        self.looks += 1
        return await self._store.view(work)

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        self.looks += 1
        return await self._store.read(partition, after, limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    async with open_gateway(gateway_config(tmp_path, {}), workers=False) as services:
        yield Counted(services.store)


async def _head(tx: Transaction) -> int:
    return await tx.stream.head()


async def test_many_share_few_snapshots(store: Counted) -> None:
    together = Together(store.view, at_once=2)
    assert await asyncio.gather(*(together(_head) for _ in range(10 * SHARE))) == [0] * 10 * SHARE
    assert store.looks <= 11


async def test_who_asks_again_at_once_is_answered_too(store: Counted) -> None:
    together = Together(store.view)
    async with asyncio.timeout(60):
        for _ in range(20):
            await together(_head)


async def test_nobody_sees_a_snapshot_from_before_they_asked(store: Counted) -> None:
    together = Together(store.view)
    for number in range(1, 30):
        others = [asyncio.create_task(together(_head)) for _ in range(3)]
        await asyncio.sleep(0)
        await store.append([Entry(type="test.counted", data=b"{}", partition=0, at=_AT)])
        assert await together(_head) == number
        await asyncio.gather(*others)


async def test_one_failure_is_one_callers(store: Counted) -> None:
    async def fail(tx: Transaction) -> int:
        await tx.stream.head()
        raise Conflict("mine")

    async def break_(tx: Transaction) -> int:
        raise ZeroDivisionError(str(tx))

    together = Together(store.view)
    answers = await asyncio.gather(*(together(work) for work in (_head, fail, _head, break_, _head)), return_exceptions=True)
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [0, Conflict, 0, ZeroDivisionError, 0]


async def test_an_outage_is_everybodys() -> None:
    async def away(work: Any) -> None:
        await asyncio.sleep(0)
        raise Unavailable(f"away: {work.__name__}")

    answers = await asyncio.gather(*(Together(away)(_head) for _ in range(3)), return_exceptions=True)
    together = Together(away)
    answers += await asyncio.gather(*(together(_head) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 6
    assert len({id(answer) for answer in answers}) == 6


async def test_writing_together_is_answered_after_the_commit(store: Counted) -> None:
    together = Together(store.transact)

    async def note(number: int) -> None:
        await together(lambda tx: tx.settings.put(f"n{number}", "x"))
        assert await store.view(lambda tx: tx.settings.get(f"n{number}")) == "x"

    await asyncio.gather(*(note(number) for number in range(50)))


async def test_feeds_that_come_back_with_cursors_close_together_share_the_reading(store: Counted) -> None:
    await store.append([Entry(type="test.counted", data=b"{}", partition=0, at=_AT, queues=("*",)) for _ in range(300)])
    hub = Hub(store)

    async def follow(after: int) -> list[int]:
        found: list[int] = []
        async with contextlib.aclosing(hub.follow(after)) as batches:
            async for batch in batches:
                found += [recorded.pos for recorded in batch]
                if found[-1] == 301:
                    break
        return found

    async with running(hub.run):
        feeds = [asyncio.create_task(follow(after)) for after in range(100, 300)]
        await eventually(_value(lambda: hub.subscribers), lambda number: number == 200)
        looks = store.looks
        await store.append([Entry(type="test.counted", data=b"{}", partition=0, at=_AT, queues=("*",))])
        for after, found in zip(range(100, 300), await asyncio.gather(*feeds), strict=True):
            assert found == list(range(after + 1, 302))
    # The hub's own first looks, and one read back for all.
    assert looks <= 5


async def test_who_comes_from_far_behind_reads_by_themselves_and_misses_nothing(store: Counted) -> None:
    await store.append([Entry(type="test.counted", data=b"{}", partition=0, at=_AT, queues=("*",)) for _ in range(2500)])
    hub = Hub(store)
    async with running(hub.run):
        for after in (0, 700, 1499, 1500, 1501, 2499):
            found: list[int] = []
            async with contextlib.aclosing(hub.follow(after)) as batches:
                while not found or found[-1] < 2500:
                    found += [recorded.pos for recorded in await asyncio.wait_for(anext(batches), 60)]
            assert found == list(range(after + 1, 2501))


async def test_an_agents_feed_asks_the_database_at_most_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    services = cast.gateway.services
    pos = await services.store.view(_head)
    await eventually(_value(lambda: services.hub.pos), lambda at: at >= pos)
    looks = 0
    inner, direct = services.looks._run, type(services.store).view

    async def look(work: Any) -> Any:
        nonlocal looks
        looks += 1
        return await inner(work)

    async def view(store: Any, work: Any) -> Any:
        nonlocal looks
        looks += 1
        return await direct(store, work)

    monkeypatch.setattr(services.looks, "_run", look)
    monkeypatch.setattr(type(services.store), "view", view)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(cast.ada.feed(pos))
        # The workers look, too, now and then.
        assert looks <= 10 + 5


def _value(look: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    async def found() -> T:
        return look()

    return found
