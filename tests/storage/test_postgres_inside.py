"""What only PostgreSQL can get wrong: many nodes at once, text that it cannot hold, poolers."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

from connectors.content import Text
from storage import open_store
from storage.dedup import dedup_hash
from storage.errors import Conflict, StorageError, Unavailable
from storage.local_bus import LocalBus
from storage.postgres import open_postgres
from storage.postgres.connection import Sql, parse_url
from storage.postgres.stream import PostgresStream
from storage.protocol import WHOLE, Slots, Store, Transaction
from storage.record import Appended, Duplicate, OutboxItem, Priority, Recorded
from storage.told import MIRRORED, encode_heads
from tests.support.postgres import ForeignServer, PostgresServer, driver_url, fresh_database, run_sql
from tests.support.rows import ALL, NOW, conversation, customer, entry, item, known, message, one_conversation


@pytest.fixture
async def url(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server) as made:
        yield made


@asynccontextmanager
async def in_transaction(url: str, statement: str) -> AsyncIterator[Any]:
    """Somebody has done this, and has not committed."""
    connection = await asyncpg.connect(driver_url(url))
    try:
        await connection.execute(f"BEGIN; {statement}")
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = await open_store(url)
    yield opened
    await opened.close()


@pytest.fixture
async def other(url: str) -> AsyncIterator[Store]:
    """Another node."""
    opened = await open_store(url)
    yield opened
    await opened.close()


async def test_the_order_of_positions_is_that_of_commits(store: Store, other: Store) -> None:
    """Eight writers on two nodes, and a reader on each with nothing but a cursor, who must miss nothing."""
    running = 8

    async def writer(name: int) -> None:
        nonlocal running
        node, dice = (store, other)[name % 2], random.Random(name)
        for turn in range(30):
            entries = [entry(f"{name}-{turn}-{index}", partition=dice.randrange(16)) for index in range(dice.randint(1, 5))]
            if dice.random() < 0.5:
                await node.append(entries)
            else:
                await node.transact(lambda tx, entries=entries: tx.stream.append(entries))  # type: ignore[misc]
        running -= 1

    async def reader(node: Store) -> list[Recorded]:
        seen: list[Recorded] = []
        while True:
            last_round = running == 0
            events = await node.read(WHOLE, seen[-1].pos if seen else 0, 50)
            seen += events
            if last_round and not events:
                return seen

    reading = [asyncio.create_task(reader(node)) for node in (store, other)]
    await asyncio.gather(*(writer(name) for name in range(8)))
    first, second = await reading[0], await reading[1]
    assert first == second
    assert [event.pos for event in first] == list(range(1, len(first) + 1))
    newest: dict[int, int] = {}
    for event in first:
        assert event.prev_pos == newest.get(event.entry.partition, 0)
        newest[event.entry.partition] = event.pos
    assert len({event.entry.key for event in first}) == len(first)
    assert await store.view(lambda tx: tx.stream.heads()) == newest


async def test_the_same_message_on_two_nodes_is_one(store: Store, other: Store) -> None:
    outcomes = [
        found for calls in [await asyncio.gather(*((store, other)[n % 2].append([entry("same")]) for n in range(30)))] for found in calls
    ]
    assert outcomes.count([Appended(1)]) == 1
    assert outcomes.count([Duplicate(1)]) == 29


async def test_a_taken_hash_is_no_duplicate(store: Store, url: str) -> None:
    await store.append([entry("first")])
    for step in range(3):
        await run_sql(url, f"INSERT INTO dedup VALUES ({dedup_hash('tg', 'a') + step}, 1)")  # noqa: S608  # our own number
    assert await store.append([entry("a"), entry("b"), entry("a")]) == [Appended(2), Appended(3), Duplicate(2)]
    assert await store.append([entry("a")]) == [Duplicate(2)]


async def test_another_node_is_heard_of_without_a_bus(store: Store, other: Store) -> None:
    waiting = asyncio.create_task(store.wait(3, 0, 60))
    began = monotonic()
    await asyncio.sleep(0)
    await other.append([entry("a", partition=3)])
    await waiting
    assert monotonic() - began < 30


async def test_a_bus_tells_of_commits_and_serves_what_is_mirrored(url: str) -> None:
    class Mirror(LocalBus):
        def __init__(self) -> None:
            super().__init__()
            self.followed = ""

        def follow(self, log: str) -> None:
            self.followed = log

        async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
            del partition, limit
            return [Recorded(pos=after + 1, prev_pos=after, entry=entry("from the mirror"))] if after < 1 else []

    bus = Mirror()
    store, other = await open_postgres(url, clock=lambda: NOW, bus=bus), await open_postgres(url, clock=lambda: NOW, bus=bus)
    assert bus.followed
    waiting = asyncio.create_task(store.wait(WHOLE, 0, 60))
    await other.append([entry("a"), entry("b")])
    await waiting
    assert [event.entry.key for event in await store.read(WHOLE, 0, 5)] == ["a", "b"]
    bus.tell(MIRRORED, b"nonsense")
    bus.tell(MIRRORED, encode_heads({0: 1}))
    await asyncio.sleep(0)
    assert [event.entry.key for event in await store.read(WHOLE, 0, 5)] == ["from the mirror"]
    assert [event.entry.key for event in await store.read(WHOLE, 1, 5)] == ["b"]
    await asyncio.gather(store.close(), other.close())


async def test_text_that_postgresql_cannot_hold_is_kept(store: Store) -> None:
    strange = "a\0b\1c\x010\x011\0\0 \1"

    async def work(tx: Transaction) -> None:
        await tx.customers.put(customer(name=strange))
        await tx.customers.put_identity(known(name=strange))
        await tx.conversations.insert(conversation(preview=strange, thread=strange))
        await tx.messages.insert(message(1, parts=(Text(text=strange),), problem=strange, reactions={strange: (strange,)}))

    await store.transact(work)
    found = await store.view(lambda tx: tx.customers.get("cus_1"))
    assert found is not None
    assert found.name == strange
    assert [line.preview for line in await store.view(lambda tx: tx.conversations.by_thread("tg", strange))] == [strange]
    (line,) = await store.view(lambda tx: tx.messages.of_customer("cus_1", ALL, 0, 0, 10))
    assert (line.parts, line.problem, line.reactions) == ((Text(text=strange),), strange, {strange: (strange,)})
    assert await store.append([entry(strange), entry("a\x010")]) == [Appended(1), Appended(2)]
    assert [event.entry.key for event in await store.read(WHOLE, 0, 9)] == [strange, "a\x010"]


async def test_half_a_surrogate_pair_and_a_number_too_large_are_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="surrogate"):
        await store.transact(lambda tx: tx.customers.put(customer(name="\ud800")))
    with pytest.raises(StorageError, match="64 bits"):
        await store.transact(lambda tx: tx.stream.mark_reprocessed(2**63))
    with pytest.raises(StorageError, match="too long"):
        await store.transact(lambda tx: tx.settings.put("x" * 1_000 + random.Random(1).randbytes(9_000).hex(), "y"))


async def test_a_swallowed_refusal_does_not_commit_half(store: Store) -> None:
    """After some errors PostgreSQL goes on with nothing; a function that does not care must not count as done."""

    async def work(tx: Transaction) -> None:
        await tx.settings.put("a", "b")
        with pytest.raises(Conflict):
            await tx.conversations.insert(conversation())
        await tx.settings.put("c", "d")
        with pytest.raises(Conflict):
            await tx.customers.put_identity(known(customer_id="nobody"))

    with pytest.raises(Conflict):
        await store.transact(work)
    assert await store.view(lambda tx: tx.settings.get("a")) == ""


async def test_two_nodes_that_want_all_duties_at_once(store: Store, other: Store) -> None:
    """No deadlock, and no duty has two owners, whatever the order in which they ask."""
    duties = [(consumer, number) for consumer in ("router", "sender") for number in range(16)]

    async def node(name: str, at: Store) -> None:
        dice = random.Random(name)
        for _ in range(25):
            wanted = dice.sample(duties, 24)
            held = await at.lease(name, wanted, 60)
            assert set(held) <= set(wanted)
            for duty, epoch in held.items():
                assert owners.setdefault((duty, epoch), name) == name
            mine = {partition: epoch for (consumer, partition), epoch in held.items() if consumer == "router"}
            await at.transact(lambda tx, mine=mine: tx.stream.guard("router", mine))  # type: ignore[misc]
            await at.release(name, dict(dice.sample(sorted(held.items()), len(held) // 2)))

    owners: dict[tuple[tuple[str, int], int], str] = {}
    await asyncio.gather(node("a", store), node("b", other))


async def test_a_lease_is_not_taken_while_somebody_works_under_it(store: Store, other: Store, url: str) -> None:
    duty = ("router", 3)
    epoch = (await store.lease("a", [duty], 60))[duty]
    async with in_transaction(url, "SELECT 1") as connection:
        await PostgresStream(Sql(connection, parse_url(url)), None).guard("router", {3: epoch})
        assert await store.lease("a", [duty], 0.001) == {duty: epoch}  # can be prolonged, or cut short
        await asyncio.sleep(0.01)
        assert await other.lease("b", [duty], 60) == {}  # it is over, and yet held until the commit
    assert await other.lease("b", [duty], 60) == {duty: epoch + 1}


async def test_leases_do_not_wait_for_the_head(store: Store, url: str) -> None:
    async with in_transaction(url, "SELECT 1 FROM head FOR UPDATE"):
        assert await store.lease("a", [("router", 0)], 60) == {("router", 0): 1}


async def test_behind_a_pooler_nothing_outlives_a_transaction(url: str) -> None:
    store = await open_store(url + "&pgbouncer=true")
    await store.transact(one_conversation)
    await store.append([entry("a"), entry("b")])
    await store.lease("a", [("router", 0)], 60)
    found = []

    async def look(tx: Transaction) -> None:
        sql = tx.sql  # type: ignore[attr-defined]
        found.extend(await sql.rows("SELECT name FROM pg_prepared_statements"))
        await sql.rows("SELECT 1 WHERE 1 = ?", (1,))
        found.extend(await sql.rows("SELECT name FROM pg_prepared_statements WHERE name != ''"))
        found.extend(await sql.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))

    await store.transact(look)
    assert found == []
    await store.close()


async def test_a_file_goes_in_and_comes_out(store: Store, other: Store, tmp_path: Path) -> None:
    assert store.vault is not None
    assert other.vault is not None
    for size in (3_000_000, 0):
        data = random.Random(size).randbytes(size)
        digest = hashlib.sha256(data).hexdigest()
        source, target = tmp_path / "in", tmp_path / f"out-{size}"
        source.write_bytes(data)
        await asyncio.gather(store.vault.put(digest, source), other.vault.put(digest, source))
        await store.vault.put(digest, source)
        assert await other.vault.fetch(digest, target)
        assert target.read_bytes() == data
    assert not await store.vault.fetch("0" * 64, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


async def test_too_many_writes_are_refused(url: str) -> None:
    store = await open_postgres(url, clock=lambda: NOW, bound=5)
    outcomes = await asyncio.gather(*(store.append([entry(f"{number}")]) for number in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 15
    await store.close()


async def test_the_key_of_an_event_is_unique_in_the_database_itself(store: Store, url: str) -> None:
    """The lock of the head keeps programs of ours from trying; the database refuses whoever tries all the same."""
    await store.append([entry("a")])
    ((hash_, pos),) = await run_sql(url, "SELECT hash, pos FROM dedup")
    with pytest.raises(asyncpg.UniqueViolationError):
        await run_sql(url, f"INSERT INTO dedup (hash, pos) VALUES ({hash_}, {pos + 1})")  # noqa: S608


async def test_what_waits_in_one_channel_is_no_work_for_the_others(store: Store, url: str) -> None:
    async def fill(tx: Transaction) -> None:
        for number in range(1, 1001):
            await tx.outbox.put(item(number, conversation_id=f"cnv_{number}", channel="sms", priority=Priority(number % 2)))
        await tx.outbox.put(item(3000, conversation_id="cnv_3000"))

    await store.transact(fill)
    await run_sql(url, "ANALYZE outbox")

    async def rows_read(tx: Any) -> int:
        (row,) = await tx.sql.rows("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'outbox'", ())
        return int(row[0])

    async def work(tx: Any) -> tuple[list[OutboxItem], datetime | None, int]:
        before = await rows_read(tx)
        claimed = await tx.outbox.claim(NOW, {"tg": Slots(9, 9)}, {"tg", "sms"})
        due = await tx.outbox.next_due(frozenset({"sms"}))
        return claimed, due, await rows_read(tx) - before

    claimed, due, read = await store.transact(work)
    assert [one.message_id for one in claimed] == ["msg_3000"]
    assert due is None
    assert read < 50
