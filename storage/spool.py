"""Inbound events on this node's own disk while the database is away: what was put here is durable, and waits in order to be drained.

``spool_file`` opens the file, ``spool_thread`` writes it; here is what the event loop sees of it.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from storage.codec import Row, instant, micros
from storage.errors import StorageError, Unavailable
from storage.record import Entry, Spooled
from storage.spool_file import Opened, open_file, pack, set_aside, unpack
from storage.spool_thread import Job, Limits, SpoolThread, Work
from storage.sqlite.connection import Database, Sql, check_sqlite_version
from storage.sqlite.lock import FileLock, refuse_network

#: Bytes of events that :meth:`Spool.take` reads at a time.
_TAKE_BYTES: Final = 4 * 1024 * 1024
#: What a row needs beside its event, and how little room counts as none.
_ROW_BYTES: Final = 256
_FULL_BELOW: Final = 64 * 1024


class Lodged(NamedTuple):
    """One event in the spool; ``entry`` is None if its bytes have been damaged."""

    seq: int
    channel: str
    entry: Entry | None


async def open_spool(
    path: Path, limits: Limits, *, clock: Callable[[], datetime], on_fatal: Callable[[BaseException], None] | None = None, vfs: str = ""
) -> "Spool":
    """Open or make the spool at ``path``; what waits in it, waits on. ``Spool.opened`` tells if a damaged one had to be set aside.

    Raises Unavailable if another process has it or it cannot be used, SchemaError if it is newer than this program.
    """
    database = Database(path, vfs)
    lock = await asyncio.to_thread(_lock, database)
    try:
        opened = await asyncio.to_thread(open_file, database, clock)
    except BaseException:
        lock.release()
        raise
    return Spool(opened, lock, limits, on_fatal)


def _lock(database: Database) -> FileLock:
    check_sqlite_version()
    refuse_network(database.path)
    return FileLock(database.path)


class Spool:
    """Made by :func:`open_spool`; used from the event loop it was made in."""

    def __init__(self, opened: Opened, lock: FileLock, limits: Limits, on_fatal: Callable[[BaseException], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = lock
        self._on_fatal = on_fatal
        self._refusal: Unavailable | None = None
        self._waiting: Counter[str] = Counter(opened.waiting)
        #: Put, and not yet known to be durable.
        self._pending: Counter[str] = Counter()
        #: Everything up to here is in the database, or refused.
        self._done = 0
        self._filled = asyncio.Event()
        self._thread = SpoolThread(opened.sql, limits, lambda: self._done, self._written)
        self.path = opened.sql.database.path
        #: Tells it from other nodes' spools, over all restarts.
        self.id = opened.id
        self.opened = opened
        self.refused = 0
        if opened.waiting:
            self._filled.set()

    # --- putting ---------------------------------------------------------------------------------------------------------

    async def put(self, entries: Sequence[Entry]) -> list[Spooled]:
        """Keep all or none of them, behind everything that was put before; returns when the disk has them.

        Raises Unavailable if the spool or its disk is full, StorageError for an entry that no store would take.
        """
        rows = [_row(entry) for entry in entries]
        channels = [entry.channel for entry in entries]
        answer = self._submit(
            lambda sql: [Spooled(_insert(sql, row)) for row in rows],
            size=sum(len(row[-1]) + _ROW_BYTES for row in rows),
            settled=lambda kept: self._put(channels, kept=kept),
        )
        # From now on, not only once it is durable: what comes next must queue behind it.
        self._pending.update(channels)
        places: list[Spooled] = await answer
        return places

    def holds(self, channels: Iterable[str]) -> bool:
        """Does anything of these channels wait here? Then what comes next has to wait behind it."""
        return any(self._waiting[channel] > 0 or self._pending[channel] > 0 for channel in channels)

    def channels(self) -> frozenset[str]:
        """Those that it holds anything of, also what is not durable yet."""
        return frozenset(self.waiting) | frozenset(+self._pending)

    def size(self) -> int:
        """How many events it holds, also what is not durable yet."""
        return self._waiting.total() + self._pending.total()

    def _put(self, channels: Sequence[str], *, kept: bool) -> None:
        self._pending.subtract(channels)
        if kept:
            self._waiting.update(channels)
            self._filled.set()

    # --- draining --------------------------------------------------------------------------------------------------------

    async def filled(self, seconds: float) -> bool:
        """Wait until something waits here, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._filled.wait()
        return self._filled.is_set()

    async def take(self, limit: int) -> list[Lodged]:
        """The oldest ones that are not done, at most ``limit`` and about 4 MiB; they stay here until they are done."""
        rows: list[Row] = await self._submit(lambda sql: _read(sql, self._done, limit))
        return [Lodged(seq, channel, unpack(packed, crc)) for seq, channel, crc, packed in rows]

    def done(self, taken: Sequence[Lodged]) -> None:
        """They are in the database: what comes next may go there directly. In order, without gaps; then :meth:`sweep`."""
        if taken:
            self._done = taken[-1].seq
            self._waiting.subtract(one.channel for one in taken)
            if not self.waiting.total():
                self._filled.clear()

    async def sweep(self) -> None:
        """Remove from the disk what is done. If that fails, or we die before it, it is drained again, into duplicates."""
        await self._submit(lambda sql: sql.run("DELETE FROM waiting WHERE seq <= ?", (self._done,)))

    async def refuse(self, one: Lodged, why: str) -> None:
        """The database will not have this one: keep it apart, with the reason, until the next start tries it again."""

        def work(sql: Sql) -> None:
            sql.run("INSERT INTO refused SELECT seq, channel, key, at, crc, entry, ? FROM waiting WHERE seq = ?", (why, one.seq))
            sql.run("DELETE FROM waiting WHERE seq = ?", (one.seq,))

        await self._submit(work)
        self.refused += 1
        self.done([one])

    # --- figures ---------------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> Counter[str]:
        """How many events wait, by channel."""
        return +self._waiting

    @property
    def oldest(self) -> datetime | None:
        """When the oldest waiting one came; None if none waits."""
        oldest = self._thread.figures.oldest
        return None if oldest is None or not self._filled.is_set() else instant(oldest)

    @property
    def used(self) -> int:
        """Bytes."""
        return self._thread.figures.used

    @property
    def level(self) -> float:
        """From 0 to 1: how full it is, of what it may have and of what the disk has left."""
        used = self.used
        return used / (used + self._thread.room(used))

    @property
    def full(self) -> bool:
        """Can no more be put here?"""
        return self._refusal is not None or self._thread.room(self.used) < _FULL_BELOW

    def set_aside(self) -> list[Path]:
        """Damaged spools that somebody has to look at; the warning ends when they are removed."""
        return set_aside(self.path)

    async def close(self) -> None:
        """Finish what was begun, and close. What waits, waits for the next start."""
        self._refusal = self._refusal or Unavailable("the spool is closed")
        await asyncio.to_thread(self._thread.close)
        self._lock.release()

    # --- into the thread and back ----------------------------------------------------------------------------------------

    def _submit(self, work: Work, size: int = 0, settled: Callable[[bool], None] | None = None) -> asyncio.Future[Any]:
        if self._refusal is not None:
            raise Unavailable(*self._refusal.args)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._thread.submit(Job(answer, work, size, settled))
        return answer

    def _written(self, answers: Sequence[tuple[Job, Any]], fatal: Unavailable | None) -> None:
        self._loop.call_soon_threadsafe(self._settle, answers, fatal)

    def _settle(self, answers: Sequence[tuple[Job, Any]], fatal: Unavailable | None) -> None:
        for job, value in answers:
            failed = isinstance(value, BaseException)
            if job.settled is not None:
                job.settled(not failed)
            if job.answer.done():
                continue
            if failed:
                job.answer.set_exception(value)
            else:
                job.answer.set_result(value)
        if fatal is not None:
            self._refusal = fatal
            if self._on_fatal is not None:
                self._on_fatal(fatal)


def _row(entry: Entry) -> tuple[str, str, int, int, bytes]:
    if not entry.key:
        raise StorageError("only events with a key can wait in the spool: without one nobody could tell whether they were appended already")
    packed = pack(entry)
    return entry.channel, entry.key, micros(entry.at), zlib.crc32(packed), packed


def _insert(sql: Sql, row: tuple[str, str, int, int, bytes]) -> int:
    sql.run("INSERT INTO waiting (channel, key, at, crc, entry) VALUES (?, ?, ?, ?, ?)", row)
    return sql.connection.last_insert_rowid()


def _read(sql: Sql, after: int, limit: int) -> list[Row]:
    size, last = 0, after
    for seq, length in sql.rows("SELECT seq, length(entry) FROM waiting WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)):
        size += length
        if last > after and size > _TAKE_BYTES:
            break
        last = seq
    return sql.rows("SELECT seq, channel, crc, entry FROM waiting WHERE seq > ? AND seq <= ? ORDER BY seq", (after, last))
