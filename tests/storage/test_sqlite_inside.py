"""Inside the embedded store: keys whose hashes collide, and what the tables themselves refuse."""

from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import apsw
import pytest

from storage.codec import instant, micros
from storage.dedup import dedup_hash
from storage.protocol import WHOLE, Slots, Store, Transaction
from storage.record import Appended, Duplicate, OutboxItem, Priority
from storage.sqlite.store import SqliteStore
from tests.support.rows import NOW, entry, item


async def _plant(store: SqliteStore, number: int, pos: int) -> None:
    """Let a hash be taken by another event."""

    async def work(tx: object) -> None:
        tx.sql.run("INSERT INTO dedup VALUES (?, ?)", (number, pos))  # type: ignore[attr-defined]

    await store.transact(work)


async def test_colliding_hashes_are_told_apart_by_their_keys(store: SqliteStore) -> None:
    await store.append([entry("other")])
    for step in range(3):
        await _plant(store, dedup_hash("tg", "a") + step, 1)
    assert await store.append([entry("b"), entry("a"), entry("a")]) == [Appended(2), Appended(3), Duplicate(3)]
    assert await store.append([entry("a"), entry("other")]) == [Duplicate(3), Duplicate(1)]


def test_the_hash_never_changes() -> None:
    """Every database holds hashes of the past: another function would let all of it in again."""
    assert dedup_hash("telegram", "update:1") == 2587687825178456270
    assert dedup_hash("ab", "c") != dedup_hash("a", "bc")
    assert all(-(2**63) <= dedup_hash("tg", str(number)) < 2**63 for number in range(1000))


async def test_the_tables_themselves_refuse_what_must_not_be(store: SqliteStore, path: Path) -> None:
    await store.append([entry("a")])

    async def put(tx: object) -> None:
        for number in (1, 2):
            await tx.outbox.put(item(number))  # type: ignore[attr-defined]

    await store.transact(put)
    connection = apsw.Connection(str(path))
    for statement in (
        "INSERT INTO dedup SELECT hash, 2 FROM dedup",
        "INSERT INTO queue VALUES ('que_x', 'x', 0, 1)",
        "UPDATE outbox SET status = 'sending'",
        "UPDATE event SET partition = 16",
        "UPDATE event SET at = 'yesterday'",
    ):
        with pytest.raises(apsw.ConstraintError):
            connection.execute(statement)
    connection.close()


async def test_nobody_is_woken_for_what_was_rolled_back(store: SqliteStore) -> None:
    await store.append([entry("a")])

    async def fail(tx: Transaction) -> None:
        await tx.stream.append([entry("b"), entry("c")])
        raise LookupError

    with pytest.raises(LookupError):
        await store.transact(fail)
    began = monotonic()
    await store.wait(WHOLE, 1, 0.2)
    assert monotonic() - began > 0.1
    assert await store.append([entry("b")]) == [Appended(2)]


def test_times_are_exact() -> None:
    for at in (NOW, NOW.replace(year=1969), NOW.replace(year=9999), NOW.replace(microsecond=999_999)):
        assert instant(micros(at)) == at


def test_it_is_a_store(store: SqliteStore) -> None:
    """The type checker compares every signature with the protocol."""
    checked: Store = store
    assert isinstance(checked, SqliteStore)


async def test_what_waits_in_one_channel_is_no_work_for_the_others(store: SqliteStore) -> None:
    async def fill(tx: Transaction) -> None:
        for number in range(1, 2001):
            await tx.outbox.put(item(number, conversation_id=f"cnv_{number}", channel="sms", priority=Priority(number % 2)))
        await tx.outbox.put(item(3000, conversation_id="cnv_3000"))

    await store.transact(fill)
    thousands: list[None] = []

    def step() -> bool:
        thousands.append(None)
        return False

    async def work(tx: Any) -> tuple[list[OutboxItem], datetime | None]:
        tx.sql.connection.set_progress_handler(step, 1000)
        try:
            claimed = await tx.outbox.claim(NOW, {"tg": Slots(9, 9)}, {"tg", "sms"})
            return claimed, await tx.outbox.next_due(frozenset({"sms"}))
        finally:
            tx.sql.connection.set_progress_handler(None)

    claimed, due = await store.transact(work)
    assert [one.message_id for one in claimed] == ["msg_3000"]
    assert due is None
    assert len(thousands) < 3, "the machine's steps, in thousands: each of the others was looked at"
