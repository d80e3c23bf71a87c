"""A server that dies, freezes, is slow, or whose answer is lost: nothing acknowledged is lost, and everybody hears in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import asyncpg
import pytest

from storage import open_store, utc_now
from storage.errors import StorageError, Unavailable
from storage.protocol import WHOLE, Store, Transaction
from storage.record import Appended, Duplicate, Node
from tests.support.postgres import PostgresServer, driver_url, own_server
from tests.support.rows import customer, entry


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that syncs, and may be killed."""
    yield from own_server(durable=True)


@pytest.fixture
async def url(server: PostgresServer) -> AsyncIterator[str]:
    made = await server.create()
    yield made
    await server.drop(made)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = await open_store(url)
    yield opened
    await opened.close()


async def _again(store: Store, key: str) -> Appended | Duplicate:
    """Append until the database is back."""
    deadline = monotonic() + 60
    while True:
        try:
            return (await store.append([entry(key)]))[0]
        except Unavailable:
            assert monotonic() < deadline
            await asyncio.sleep(0.02)


async def _until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 60
    while not condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_kill_9_under_load_loses_nothing(server: PostgresServer, store: Store) -> None:
    acknowledged: dict[str, int] = {}
    refused: list[str] = []
    stop = False

    async def caller(name: int) -> None:
        turn = 0
        while not stop:
            turn += 1
            key = f"{name}-{turn}"
            try:
                acknowledged[key] = (await store.append([entry(key, partition=name)]))[0].pos
            except Unavailable:
                refused.append(key)
                await asyncio.sleep(0.02)

    callers = [asyncio.create_task(caller(name)) for name in range(16)]
    for _ in range(3):
        known = len(acknowledged)
        await _until(lambda known=known: len(acknowledged) > known + 300)  # type: ignore[misc]
        refused.clear()
        await asyncio.to_thread(server.kill)
        await _until(lambda: bool(refused))
        await asyncio.to_thread(server.start)
    known = len(acknowledged)
    await _until(lambda: len(acknowledged) > known + 100)
    stop = True
    await asyncio.gather(*callers)
    events = await store.read(WHOLE, 0, 1_000_000)
    assert [event.pos for event in events] == list(range(1, len(events) + 1))
    kept = {event.entry.key: event.pos for event in events}
    assert len(kept) == len(events)
    assert {key: kept.get(key) for key in acknowledged} == acknowledged
    assert await store.check() == []


async def test_it_reconnects_by_itself(server: PostgresServer, store: Store) -> None:
    await store.append([entry("a")])
    await store.view(lambda tx: tx.stream.head())
    await asyncio.to_thread(server.restart)
    # Dead connections that nobody has noticed yet: made again without anybody hearing of it.
    assert await store.append([entry("b")]) == [Appended(2)]
    assert await store.view(lambda tx: tx.stream.head()) == 2
    await store.transact(lambda tx: tx.customers.put(customer()))
    assert await store.lease("a", [("tick", 0)], 60) == {("tick", 0): 1}


async def test_a_server_that_is_away_is_known_to_be(server: PostgresServer, store: Store) -> None:
    await asyncio.to_thread(server.kill)
    began = monotonic()
    for call in (
        store.append([entry("a")]),
        store.transact(lambda tx: tx.settings.put("a", "b")),
        store.view(lambda tx: tx.stream.head()),
        store.lease("a", [("tick", 0)], 60),
        store.read(WHOLE, 0, 1),
    ):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await call
    assert monotonic() - began < 20
    await store.wait(WHOLE, 0, 0.01)
    await asyncio.to_thread(server.start)
    assert await _again(store, "a") == Appended(1)


async def test_a_slow_database_holds_up_no_append_for_long(url: str, store: Store) -> None:
    async with _head_held(url):
        began = monotonic()
        outcomes = await asyncio.gather(*(store.append([entry(f"{number}")]) for number in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert 0.5 < monotonic() - began < 20
        assert await store.view(lambda tx: tx.stream.head()) == 0  # reading goes on
    assert isinstance(await _again(store, "0"), Appended)


async def test_a_frozen_server_holds_up_no_append_for_long(server: PostgresServer, store: Store) -> None:
    await store.append([entry("before")])
    server.freeze()
    try:
        began = monotonic()
        with pytest.raises(Unavailable):
            await store.append([entry("meanwhile")])
        assert monotonic() - began < 20
    finally:
        server.thaw()
    assert (await _again(store, "meanwhile")).pos == 2
    assert await _again(store, "before") == Duplicate(1)


async def test_a_frozen_server_holds_up_nobody_for_long(server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.postgres.reader.VIEW_SECONDS", 0.6)
    monkeypatch.setattr("storage.postgres.reader.SMALL_SECONDS", 0.6)
    monkeypatch.setattr("storage.postgres.store.FUNCTION_SECONDS", 0.6)
    store = await open_store(url)
    await store.transact(lambda tx: tx.settings.put("a", "before"))
    assert await store.lease("one", [("tick", 0)], 60) == {("tick", 0): 1}

    frozen = asyncio.Event()

    async def in_the_middle(tx: Transaction) -> int:
        await tx.stream.head()
        server.freeze()
        frozen.set()
        return await tx.stream.head()

    try:
        half_done = asyncio.create_task(store.view(in_the_middle))
        await asyncio.wait_for(frozen.wait(), 30)
        began = monotonic()
        calls: list[Awaitable[Any]] = [
            half_done,
            store.view(lambda tx: tx.stream.head()),
            store.transact(lambda tx: tx.settings.put("a", "meanwhile")),
            store.lease("one", [("tick", 0)], 60),
            store.beat(Node(id="one", roles=("edge",), since=utc_now()), 3),
        ]
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Unavailable)] == []
        # A statement that is not answered, and a new connection that is not either.
        assert monotonic() - began < 20
        await asyncio.sleep(max(0.0, 5 - (monotonic() - began)))
    finally:
        server.thaw()

    async def again(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async with asyncio.timeout(30):
            while True:
                try:
                    return await call()
                except Unavailable:
                    await asyncio.sleep(0.02)

    assert await again(lambda: store.view(lambda tx: tx.settings.get("a"))) == "before"
    await again(lambda: store.transact(lambda tx: tx.settings.put("a", "after")))
    assert await store.view(lambda tx: tx.settings.get("a")) == "after"
    assert await again(lambda: store.lease("one", [("tick", 0)], 60)) == {("tick", 0): 1}
    assert [node.id for node in await store.beat(Node(id="one", roles=("edge",), since=utc_now()), 3)] == ["one"]
    await store.close()


async def test_a_lost_answer_to_a_commit_is_no_success_and_no_second_event(url: str) -> None:
    async with _proxy(url) as (through, cut_at):
        store = await open_store(through)
        await store.append([entry("a")])
        cut_at.add(b"COMMIT\0")
        with pytest.raises(Unavailable, match="happened or not"):
            await store.append([entry("b")])
        with pytest.raises(Unavailable, match="happened or not"):
            await store.transact(lambda tx: tx.settings.put("a", "b"))
        cut_at.clear()
        assert await _again(store, "b") == Duplicate(2)
        assert await store.view(lambda tx: tx.settings.get("a")) == "b"
        await store.close()


async def test_closing_while_the_server_is_away(server: PostgresServer, url: str) -> None:
    store = await open_store(url)
    await store.append([entry("a")])
    await asyncio.to_thread(server.kill)
    late = asyncio.create_task(store.append([entry("b")]))
    await asyncio.sleep(0)
    began = monotonic()
    await store.close()
    assert monotonic() - began < 30
    with suppress(StorageError):
        await late
    await asyncio.to_thread(server.start)


@asynccontextmanager
async def _head_held(url: str) -> AsyncIterator[None]:
    """Somebody has the head and does not let go."""
    connection = await asyncpg.connect(driver_url(url))
    try:
        await connection.execute("BEGIN; SELECT 1 FROM head FOR UPDATE")
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def _proxy(url: str) -> AsyncIterator[tuple[str, set[bytes]]]:
    """A way to the server that passes on what contains a word of the set, and is cut before the answer."""
    host, _, port = url.partition("@")[2].partition("/")[0].partition(":")
    cut_at: set[bytes] = set()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        back_reader, back_writer = await asyncio.open_connection(host, int(port))

        async def back() -> None:
            while data := await back_reader.read(65536):
                writer.write(data)

        backward = asyncio.create_task(back())
        try:
            while data := await reader.read(65536):
                cuts = any(word in data for word in cut_at)
                if cuts:
                    backward.cancel()
                    await asyncio.wait([backward])
                back_writer.write(data)
                if cuts:
                    await back_reader.read(1)  # the server has done it
                    break
        finally:
            backward.cancel()
            await asyncio.wait([backward])
            writer.close()
            back_writer.close()
            running.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield url.replace(f"{host}:{port}", address), cut_at
    finally:
        listening.close()
        if running:
            await asyncio.wait(running, timeout=5)
