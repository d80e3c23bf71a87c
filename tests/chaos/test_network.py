"""PostgreSQL behind a bad network: an answer that never comes is no success, no loss and no second event."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from storage import open_store
from storage.errors import Unavailable
from storage.protocol import WHOLE, Store
from storage.record import Appended, Duplicate
from tests.chaos.proxy import PG_COMMIT, ChaosProxy, Trap, Way, chaos_proxy
from tests.support.postgres import ForeignServer, PostgresServer, driver_url, fresh_database
from tests.support.rows import entry


@pytest.fixture
async def url(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server) as made:
        yield made


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[ChaosProxy]:
    async with chaos_proxy(urlsplit(url).port or 5432, urlsplit(url).hostname or "127.0.0.1") as opened:
        yield opened


@pytest.fixture
async def store(url: str, proxy: ChaosProxy) -> AsyncIterator[Store]:
    parts = urlsplit(url)
    opened = await open_store(urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}")))
    yield opened
    proxy.clear()
    await opened.close()


async def again(store: Store, key: str) -> Appended | Duplicate:
    """Append until the database is there."""
    deadline = monotonic() + 30
    while True:
        try:
            return (await store.append([entry(key)]))[0]
        except Unavailable:
            assert monotonic() < deadline
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("trap", "done"),
    [
        pytest.param(Trap(Way.UP, pattern=PG_COMMIT), False, id="the commit is lost"),
        pytest.param(Trap(Way.UP, pattern=PG_COMMIT, deliver=True), True, id="the commit arrives and nobody hears of it"),
        pytest.param(Trap(Way.DOWN, pattern=PG_COMMIT), True, id="the answer is lost"),
    ],
)
async def test_a_connection_that_breaks_at_the_commit(store: Store, proxy: ChaosProxy, trap: Trap, *, done: bool) -> None:
    await store.append([entry("before")])
    proxy.lay(trap)
    with pytest.raises(Unavailable):
        await store.append([entry("m")])
    assert trap.sprung.is_set()
    assert await again(store, "m") == (Duplicate(2) if done else Appended(2))
    assert [event.entry.key for event in await store.read(WHOLE, 0, 10)] == ["before", "m"]


async def test_connections_that_break_again_and_again_lose_and_repeat_nothing(store: Store, proxy: ChaosProxy) -> None:
    acknowledged: list[str] = []

    async def caller(name: int) -> None:
        for turn in range(25):
            await again(store, f"{name}-{turn}")
            acknowledged.append(f"{name}-{turn}")

    callers = asyncio.gather(*(caller(name) for name in range(4)))
    for number in range(400, 40_000, 1700):
        if callers.done():
            break
        trap = proxy.lay(Trap(Way.UP, at=number))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(trap.sprung.wait(), 0.5)
        proxy.traps.clear()
        proxy.reset()
    await callers
    events = await store.read(WHOLE, 0, 1000)
    assert sorted(event.entry.key for event in events) == sorted(acknowledged)
    assert [event.pos for event in events] == list(range(1, len(events) + 1))
    assert proxy.accepted > 5


@pytest.mark.parametrize("way", [Way.UP, Way.DOWN])
async def test_a_network_that_goes_silent_holds_nobody_up_for_long(store: Store, proxy: ChaosProxy, way: Way) -> None:
    await store.append([entry("before")])
    proxy.suffer(mute=frozenset({way}))
    began = monotonic()
    with pytest.raises(Unavailable):
        await store.append([entry("m")])
    assert monotonic() - began < 20
    proxy.clear()
    proxy.reset()
    await again(store, "m")
    assert [event.entry.key for event in await store.read(WHOLE, 0, 10)] == ["before", "m"]


async def test_no_connection_is_left_for_us(tmp_path: Path) -> None:
    """Somebody else holds all of them: refused in time, no crash, and it goes on when there is room."""
    server = PostgresServer(tmp_path / "pg", settings={"max_connections": "12", "superuser_reserved_connections": "0"})
    await asyncio.to_thread(server.start)
    held: list[asyncpg.Connection] = []
    try:
        store = await open_store(await server.create())
        await store.append([entry("before")])
        pids = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        first = await asyncpg.connect(driver_url(server.url("postgres")))
        held.append(first)
        await first.execute(pids)
        while len(held) < 40:
            try:
                held.append(await asyncpg.connect(driver_url(server.url("postgres"))))
            except asyncpg.TooManyConnectionsError:
                break
        began = monotonic()
        outcomes = await asyncio.gather(*(store.append([entry(f"{number}")]) for number in range(5)), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
        assert monotonic() - began < 20
        for connection in held:
            await connection.close()
        held.clear()
        await again(store, "after")
        assert refused
        assert await store.check() is not None
        await store.close()
    finally:
        for connection in held:
            await connection.close()
        await asyncio.to_thread(server.remove)
