"""Through a real PgBouncer in transaction mode: each transaction may get another session, and nothing notices."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from storage import migrate_store, open_store
from storage.errors import Conflict, StorageError, Superseded, Unavailable
from storage.protocol import WHOLE, Store, Transaction
from storage.record import Appended, Duplicate
from tests.support.pgbouncer import Pooler, pooler
from tests.support.postgres import ForeignServer, PostgresServer, driver_url, fresh_database
from tests.support.rows import customer, entry


@pytest.fixture(scope="module")
def pool(postgres_server: PostgresServer | ForeignServer) -> Iterator[Pooler]:
    if isinstance(postgres_server, ForeignServer):
        pytest.skip("the pooler needs a server of our own")
    with pooler(postgres_server.port) as running:
        yield running


@pytest.fixture
async def direct(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
async def store(direct: str, pool: Pooler) -> AsyncIterator[Store]:
    opened = await open_store(pool.url(direct))
    yield opened
    await opened.close()


async def test_an_empty_database_is_set_up_through_it(pool: Pooler, postgres_server: PostgresServer | ForeignServer) -> None:
    async with fresh_database(postgres_server, empty=True) as url:
        stores = await asyncio.gather(*(open_store(pool.url(url)) for _ in range(3)))
        assert [len(await one.view(lambda tx: tx.queues.all())) for one in stores] == [1] * 3
        await asyncio.gather(*(one.close() for one in stores))
        assert await migrate_store(pool.url(url)) == []


async def test_many_nodes_on_few_sessions_keep_one_order(direct: str, pool: Pooler) -> None:
    """More nodes than the pooler has connections to the server."""
    nodes = [await open_store(pool.url(direct)) for _ in range(5)]

    async def write(node: int) -> list[int]:
        found = []
        for turn in range(20):
            (place,) = await nodes[node].append([entry(f"{node}-{turn}", partition=node)])
            found.append(place.pos)
            await nodes[node].transact(lambda tx, name=f"{node}-{turn}": tx.settings.put(name, "x"))  # type: ignore[misc]
            assert await nodes[node].view(lambda tx, name=f"{node}-{turn}": tx.settings.get(name)) == "x"  # type: ignore[misc]
        return found

    places = await asyncio.gather(*(write(number) for number in range(5)))
    assert sorted(pos for some in places for pos in some) == list(range(1, 101))
    assert [one.pos for one in await nodes[0].read(WHOLE, 0, 1000)] == list(range(1, 101))
    assert await nodes[0].append([entry("0-0")]) == [Duplicate(places[0][0])]
    assert await nodes[0].check() == []
    await asyncio.gather(*(node.close() for node in nodes))


async def test_a_refused_step_leaves_the_rest_of_its_transaction(store: Store) -> None:
    first = customer()

    async def work(tx: Transaction) -> str:
        await tx.customers.put(first)
        await tx.settings.put("before", "x")
        with pytest.raises(StorageError):
            await tx.agents.set_password_hash("nobody", "x")
        await tx.settings.put("after", "x")
        return await tx.settings.get("before") + await tx.settings.get("after")

    assert await store.transact(work) == "xx"


async def test_a_lease_fences_through_it(direct: str, pool: Pooler) -> None:
    one, two = await open_store(pool.url(direct)), await open_store(pool.url(direct))
    assert await one.lease("one", [("router", 0)], 0.05) == {("router", 0): 1}
    await asyncio.sleep(0.1)
    assert await two.lease("two", [("router", 0)], 60) == {("router", 0): 2}
    with pytest.raises((Superseded, Conflict)):
        await one.transact(lambda tx: tx.stream.guard("router", {0: 1}))
    await two.transact(lambda tx: tx.stream.guard("router", {0: 2}))
    await asyncio.gather(one.close(), two.close())


async def test_files_pass_through_it(store: Store, tmp_path: Path) -> None:
    data = b"0123456789" * 300_000
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / "in").write_bytes(data)
    assert store.vault is not None
    await store.vault.put(sha256, tmp_path / "in")
    assert await store.vault.fetch(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


async def test_limits_hold_and_stay_in_their_transaction(direct: str, store: Store) -> None:
    """Who waits for a lock gives up in time; the session that it was goes to the next without our limits."""
    holder = await asyncpg.connect(driver_url(direct))
    await holder.execute("BEGIN; SELECT 1 FROM head FOR UPDATE")
    began = monotonic()
    with pytest.raises(Unavailable):
        await store.append([entry("held")])
    assert monotonic() - began < 20
    await holder.execute("ROLLBACK")
    await holder.close()
    async with asyncio.timeout(20):
        while True:
            try:
                (place,) = await store.append([entry("free")])
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    assert isinstance(place, Appended)


async def test_a_pooler_that_stops_answering_holds_nobody_up_for_long(direct: str, pool: Pooler) -> None:
    store = await open_store(pool.url(direct))
    await store.append([entry("before")])
    pool.freeze()
    try:
        began = monotonic()
        with pytest.raises(Unavailable):
            await store.append([entry("meanwhile")])
        assert monotonic() - began < 20
    finally:
        pool.thaw()
    async with asyncio.timeout(20):
        while True:
            try:
                (place,) = await store.append([entry("meanwhile")])
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    assert place.pos == 2
    await store.close()
