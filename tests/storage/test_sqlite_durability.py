"""What "acknowledged" is worth on SQLite: the disk has it, also when disks and processes misbehave."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from storage import open_store, utc_now
from storage.errors import StorageError, Unavailable
from storage.protocol import WHOLE, Transaction
from storage.record import Appended
from storage.sqlite import open_sqlite
from storage.sqlite.store import SqliteStore
from tests.support.faulty_disk import FaultyDisk
from tests.support.rows import customer, entry

_WRITER = """
import asyncio, sys
from storage import open_store
from tests.support.rows import entry

async def main(path, first):
    store = await open_store(f"sqlite://{path}")
    async def caller(name):
        number = 0
        while True:
            key = f"{first}-{name}-{number}"
            [outcome] = await store.append([entry(key, data=b"x" * 2000)])
            sys.stdout.write(f"{key} {outcome.pos}\\n"); sys.stdout.flush()
            number += 1
    await asyncio.gather(*(caller(name) for name in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_the_writer_waits_for_the_disk(store: SqliteStore) -> None:
    async def work(tx: Transaction) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "wal_autocheckpoint")
        return {name: tx.sql.rows(f"PRAGMA {name}")[0][0] for name in names}  # type: ignore[attr-defined]

    assert await store.transact(work) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "wal_autocheckpoint": 0,
    }


async def test_each_commit_is_synced_and_callers_share_it(store: SqliteStore, disk: FaultyDisk) -> None:
    before = disk.syncs["-wal"]
    for number in range(20):
        await store.append([entry(f"one-{number}")])
    assert disk.syncs["-wal"] - before >= 20
    before = disk.syncs["-wal"]
    await asyncio.gather(*(store.append([entry(f"many-{number}")]) for number in range(400)))
    assert 2 <= disk.syncs["-wal"] - before <= 40


async def test_nobody_hears_of_success_before_the_disk_has_it(store: SqliteStore, disk: FaultyDisk) -> None:
    disk.sync_begun.clear()
    disk.may_sync.clear()
    append = asyncio.create_task(store.append([entry("a")]))
    transaction = asyncio.create_task(store.transact(lambda tx: tx.customers.put(customer())))
    assert await asyncio.to_thread(disk.sync_begun.wait, 30)
    await store.view(lambda tx: tx.stream.head())  # readers go on meanwhile
    assert not append.done()
    assert not transaction.done()
    disk.may_sync.set()
    assert await append == [Appended(1)]
    await transaction


async def test_too_many_waiting_are_refused_at_once(path: Path, disk: FaultyDisk) -> None:
    store = await open_sqlite(path, clock=utc_now, vfs=disk.name, bound=5)
    disk.sync_begun.clear()
    disk.may_sync.clear()
    first = asyncio.create_task(store.append([entry("first")]))
    assert await asyncio.to_thread(disk.sync_begun.wait, 30)
    waiting = [asyncio.create_task(store.append([entry(f"k{number}")])) for number in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="waiting for the disk"):
        await store.append([entry("too much")])
    disk.may_sync.set()
    await asyncio.gather(first, *waiting)
    assert len(await store.append([entry("again")])) == 1
    await store.close()


async def test_a_full_disk_refuses_and_recovers(store: SqliteStore, disk: FaultyDisk) -> None:
    await store.append([entry("before")])
    disk.full = True
    outcomes = await asyncio.gather(
        *(store.append([entry(f"k{number}")]) for number in range(5)),
        store.transact(lambda tx: tx.customers.put(customer())),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 6
    assert "full" in str(outcomes[0])
    assert [event.entry.key for event in await store.read(WHOLE, 0, 10)] == ["before"]
    disk.full = False
    assert await store.append([entry("k3"), entry("before")]) == [Appended(2), *await store.append([entry("before")])]
    assert await store.view(lambda tx: tx.customers.get("cus_1")) is None
    assert await store.check() == []


async def test_work_cannot_swallow_an_outage(store: SqliteStore) -> None:
    """SQLite gives the whole transaction up when its file may not grow; nothing after that may be written or acknowledged."""

    async def limit(tx: Transaction, pages: int) -> None:
        tx.sql.rows(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    async def work(tx: Transaction) -> None:
        for number in range(500):
            with suppress(StorageError):
                await tx.stream.append([entry(f"k{number}", data=b"x" * 4000)])

    await store.transact(lambda tx: limit(tx, 1))  # SQLite takes it as "no more than there are"
    with pytest.raises(Unavailable, match="full"):
        await store.transact(work)
    await store.transact(lambda tx: limit(tx, 1_000_000))
    assert await store.view(lambda tx: tx.stream.head()) == 0
    assert await store.append([entry("k1")]) == [Appended(1)]


async def test_a_failed_sync_ends_the_store(path: Path, disk: FaultyDisk) -> None:
    """The kernel may have dropped the pages: to sync again could report success for nothing."""
    told: list[BaseException] = []
    store = await open_sqlite(path, clock=utc_now, vfs=disk.name, on_fatal=told.append)
    await store.append([entry("before")])
    disk.sync_fails = True
    waiting = asyncio.create_task(store.wait(WHOLE, 1, 60))
    outcomes = await asyncio.gather(*(store.append([entry(f"k{number}")]) for number in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
    disk.sync_fails = False  # too late
    await waiting
    assert len(told) == 1
    assert "the disk failed" in str(told[0])
    for call in (store.append([entry("later")]), store.read(WHOLE, 0, 1), store.transact(lambda tx: tx.customers.put(customer()))):
        with pytest.raises(Unavailable, match="the process must end"):
            await call
    await store.close()
    again = await open_sqlite(path, clock=utc_now)
    assert "before" in [event.entry.key for event in await again.read(WHOLE, 0, 10)]
    assert await again.check() == []
    await again.close()


async def test_a_caller_who_goes_away_harms_nobody(store: SqliteStore, disk: FaultyDisk) -> None:
    disk.sync_begun.clear()
    disk.may_sync.clear()
    calls = [asyncio.create_task(store.append([entry(f"k{number}")])) for number in range(6)]
    assert await asyncio.to_thread(disk.sync_begun.wait, 30)
    calls[0].cancel()
    calls[3].cancel()
    disk.may_sync.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False, False, True, False, False]
    assert await store.view(lambda tx: tx.stream.head()) == 6


async def test_the_log_is_copied_back_and_does_not_grow_for_ever(store: SqliteStore, path: Path, disk: FaultyDisk) -> None:
    before = disk.syncs["database"]
    for number in range(60):
        await store.append([entry(f"{number}-{index}", data=b"x" * 8000) for index in range(50)])
    assert path.with_name(path.name + "-wal").stat().st_size < 12 * 1024 * 1024
    assert disk.syncs["database"] > before


@pytest.mark.crash
async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    acknowledged: dict[str, int] = {}
    for turn in range(10):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(path), str(turn), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
        )
        assert process.stdout is not None
        # Killed in the middle of its work, each time a little later.
        lines = [await process.stdout.readline() for _ in range(30 + 40 * turn)]
        process.kill()
        lines += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
        for line in lines:
            if line.endswith(b"\n"):
                key, pos = line.split()
                acknowledged[key.decode()] = int(pos)
    assert len(acknowledged) > 10 * 30
    store = await open_store(f"sqlite://{path}")
    events = await store.read(WHOLE, 0, 1_000_000)
    kept = {event.entry.key: event.pos for event in events}
    assert [event.pos for event in events] == list(range(1, len(events) + 1))
    assert {key: kept.get(key) for key in acknowledged} == acknowledged
    assert await store.check() == []
    await store.close()


async def test_a_view_waits_for_no_commit(store: SqliteStore, disk: FaultyDisk) -> None:
    disk.sync_begun.clear()
    disk.may_sync.clear()
    append = asyncio.create_task(store.append([entry("a")]))
    assert await asyncio.to_thread(disk.sync_begun.wait, 30)
    began = monotonic()
    for _ in range(20):
        assert await store.read(0, 0, 10) == []
    assert monotonic() - began < 30
    disk.may_sync.set()
    await append
