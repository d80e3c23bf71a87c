"""The back-ends that the one contract suite runs over; a new one is a new entry of ``_BACKENDS``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from storage import open_store, utc_now
from storage.bus import Bus
from storage.buses import open_bus
from storage.errors import Unavailable
from storage.protocol import Store
from storage.record import Appended, Duplicate, Entry
from storage.relay import relay_once
from storage.spool import Spool, open_spool
from storage.spool_thread import Limits
from tests.support.post import running
from tests.support.postgres import fresh_database
from tests.support.redis import RedisServer, running_server

FLUSH_EVERY: Final = 0.02


@asynccontextmanager
async def _sqlite(_request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite://{tmp_path}/contract.db")
    yield opened
    await opened.close()


@asynccontextmanager
async def _postgres(request: pytest.FixtureRequest, _tmp_path: Path, bus: Bus | None = None) -> AsyncIterator[Store]:
    # Asked for here, so that no server is started for the other back-ends.
    async with fresh_database(request.getfixturevalue("postgres_server")) as url:
        opened = await open_store(url, bus=bus)
        yield opened
        await opened.close()


@asynccontextmanager
async def _with_redis(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Reads come from the mirror as soon as the relay has filled it."""
    server: RedisServer = request.getfixturevalue("valkey")
    await server.flush()
    async with contextlib.AsyncExitStack() as stack:
        bus = await open_bus(server.url)
        stack.push_async_callback(bus.close)
        store = await stack.enter_async_context(_postgres(request, tmp_path, bus))
        await stack.enter_async_context(running(lambda: _relay(store, bus)))
        yield store


@asynccontextmanager
async def _with_redis_flushed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """The mirror is emptied again and again while the test runs."""
    async with _with_redis(request, tmp_path) as store:
        enough = asyncio.Event()
        flushing = asyncio.create_task(_flush(request.getfixturevalue("valkey"), enough))
        try:
            yield store
        finally:
            enough.set()  # the client library may forget that it was cancelled
            await flushing


@asynccontextmanager
async def _through_spool(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Every append waits in the spool first, as if the database had just been away."""
    async with _postgres(request, tmp_path) as store:
        spool = await open_spool(tmp_path / "spool.db", Limits(1 << 30, 0), clock=utc_now)
        yield _Spooled(store, spool)
        await spool.close()


class _Spooled:
    """A store before which everything passes through a spool."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self._draining = asyncio.Lock()
        self._outcomes: dict[int, Appended | Duplicate | BaseException] = {}
        self._begun: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        if any(not entry.key for entry in entries):
            return await self._store.append(entries)  # what comes from outside always has a key
        task = asyncio.create_task(self._pass(entries))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return await task

    async def close(self) -> None:
        if self._begun:
            await asyncio.wait(self._begun)
        await self._store.close()

    async def _pass(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        places = await self._spool.put(entries)
        async with self._draining:
            while taken := await self._spool.take(200):
                for one in taken:
                    assert one.entry is not None
                    try:
                        (self._outcomes[one.seq],) = await self._store.append([one.entry])
                    except Exception as error:  # noqa: BLE001 - it is the caller's
                        self._outcomes[one.seq] = error
                self._spool.done(taken)
        found = [self._outcomes.pop(place.seq) for place in places]
        for outcome in found:
            if isinstance(outcome, BaseException):
                raise outcome
        return found  # type: ignore[return-value]


async def _relay(store: Store, bus: Bus) -> None:
    with contextlib.suppress(Unavailable):  # a test may close the store
        while True:
            if not await relay_once(store, bus):
                await asyncio.sleep(0.001)


async def _flush(server: RedisServer, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await server.flush()
        await asyncio.sleep(FLUSH_EVERY)


_BACKENDS: Final[dict[str, Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[Store]]]] = {
    "sqlite": _sqlite,
    "postgres": _postgres,
    "postgres+redis": _with_redis,
    "postgres+redis flushed": _with_redis_flushed,
    "spool": _through_spool,
}


@pytest.fixture(scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """One for all tests here; each flushes it first."""
    async with running_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=list(_BACKENDS))
async def store(request: pytest.FixtureRequest, tmp_path: Path, valkey: RedisServer) -> AsyncIterator[Store]:
    del valkey  # an asynchronous fixture cannot be asked for later
    async with _BACKENDS[request.param](request, tmp_path) as opened:
        yield opened
