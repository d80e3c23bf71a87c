"""PostgreSQL fails over: the primary dies, its synchronous standby takes over, and has all that was acknowledged.

What was being written at that moment is there or not, but once. An operator does the same with `synchronous_standby_names`.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import pytest

from storage import open_store
from storage.errors import Unavailable
from storage.protocol import WHOLE, Store
from storage.record import Appended, Duplicate
from tests.support.postgres import PostgresServer, run_sql
from tests.support.rows import entry

_SECONDS = 60.0


class Standby(PostgresServer):
    """A copy of ``primary`` that follows it."""

    def __init__(self, folder: Path, primary: PostgresServer) -> None:
        super().__init__(folder, durable=True)
        self._primary = primary

    def _initialise(self) -> None:
        program = self._bin / "pg_basebackup"
        if not program.exists():
            text = f"PROMOTION IS NOT TESTED: {program} is missing"
            if os.environ.get("CI") == "true":
                pytest.fail(text)
            sys.stderr.write(f"\n*** {text}\n")
            pytest.skip(text)
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._identity():
            os.chown(self._folder, self._identity()["user"], -1)
        source = f"host=127.0.0.1 port={self._primary.port} user=sportello application_name=standby"
        command = [str(program), "-D", str(self._data), "-d", source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        done = subprocess.run([*self._as_user(), *command], capture_output=True, check=False, cwd=self._folder, **self._identity())
        if done.returncode:
            raise AssertionError(f"pg_basebackup failed: {done.stderr.decode(errors='replace')}")

    async def promote(self) -> None:
        """Returns when it takes writes."""
        (row,) = await run_sql(self.url("postgres"), f"SELECT pg_promote(true, {_SECONDS:.0f}) AS done")
        assert row["done"]


@pytest.fixture
async def pair() -> AsyncIterator[tuple[PostgresServer, Standby, str]]:
    """(primary, its synchronous standby, name of a database)"""
    primary = PostgresServer(Path(tempfile.mkdtemp(prefix="sportello-pg-")), durable=True)
    standby = Standby(Path(tempfile.mkdtemp(prefix="sportello-pg-")), primary)
    try:
        await asyncio.to_thread(primary.start)
        name = (await primary.create()).rpartition("/")[2]
        await asyncio.to_thread(standby.start)
        await primary.admin("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        await primary.admin("SELECT pg_reload_conf()")
        await _until_synchronous(primary)
        yield primary, standby, name
    finally:
        standby.thaw()
        standby.remove()
        primary.remove()


async def _until_synchronous(primary: PostgresServer) -> None:
    deadline = monotonic() + _SECONDS
    while [row["sync_state"] for row in await run_sql(primary.url("postgres"), "SELECT sync_state FROM pg_stat_replication")] != ["sync"]:
        assert monotonic() < deadline
        await asyncio.sleep(0.02)


async def _until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + _SECONDS
    while not condition():
        assert monotonic() < deadline
        await asyncio.sleep(0.01)


class Load:
    """Sixteen callers who append; what was acknowledged, with its position, and what was not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = False
        self.acknowledged: dict[str, int] = {}
        self.refused: list[str] = []
        self._tasks = [asyncio.create_task(self._caller(name)) for name in range(16)]

    async def _caller(self, name: int) -> None:
        turn = 0
        while not self._stopped:
            turn += 1
            key = f"{name}-{turn}"
            try:
                self.acknowledged[key] = (await self._store.append([entry(key, partition=name)]))[0].pos
            except Unavailable:
                self.refused.append(key)
                await asyncio.sleep(0.02)

    async def end(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)


async def _holds_each_once(store: Store, load: Load) -> None:
    """What was acknowledged is where it was; what was not, and is delivered again, ends up there once, too."""
    events = await store.read(WHOLE, 0, 1_000_000)
    kept = {event.entry.key: event.pos for event in events}
    assert {key: kept.get(key) for key in load.acknowledged} == load.acknowledged
    assert set(kept) <= {*load.acknowledged, *load.refused}
    for key in load.refused:
        expected = Duplicate(kept[key]) if key in kept else Appended(await store.view(lambda tx: tx.stream.head()) + 1)
        assert await store.append([entry(key, partition=int(key.partition("-")[0]))]) == [expected]
    events = await store.read(WHOLE, 0, 1_000_000)
    assert [event.pos for event in events] == list(range(1, len(events) + 1))
    assert sorted(event.entry.key for event in events) == sorted([*load.acknowledged, *load.refused])
    assert await store.check() == []


async def test_the_standby_has_all_that_was_acknowledged_once(pair: tuple[PostgresServer, Standby, str]) -> None:
    primary, standby, name = pair
    store = await open_store(primary.url(name))
    load = Load(store)
    await _until(lambda: len(load.acknowledged) > 1_000)
    await asyncio.to_thread(primary.kill)
    await _until(lambda: bool(load.refused))
    await load.end()
    await store.close()
    await standby.promote()
    store = await open_store(standby.url(name))
    await _holds_each_once(store, load)
    await store.close()


async def test_nothing_is_acknowledged_that_the_standby_does_not_have(pair: tuple[PostgresServer, Standby, str]) -> None:
    primary, standby, name = pair
    store = await open_store(primary.url(name))
    load = Load(store)
    await _until(lambda: len(load.acknowledged) > 100)
    # It keeps its connection and says nothing. The primary waits for it, and whoever waits for the primary hears of no success.
    await asyncio.to_thread(standby.freeze)
    await _until(lambda: len(load.refused) >= 16 * 3)
    await asyncio.to_thread(primary.kill)
    await load.end()
    await store.close()
    await asyncio.to_thread(standby.thaw)
    await standby.promote()
    store = await open_store(standby.url(name))
    await _holds_each_once(store, load)
    await store.close()
