"""The thread that owns a spool's file: it makes everything that has queued durable with a single commit.

Smaller than the embedded store's writer, and of the same kind: no timer, a savepoint for each caller, and nobody is answered
before the commit has returned.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import apsw

from storage.errors import SchemaError, StorageError, Unavailable
from storage.spool_file import close_file
from storage.sqlite.connection import Sql, translate
from storage.sqlite.schema import roll_back

#: Callers whose events share one commit, and callers that may wait for the disk.
_BATCH: Final = 200
_BOUND: Final = 10_000
_CHECKPOINT_FRAMES: Final = 1_000
#: Pages that are given back to the disk at a time once nothing waits, and how many may stay.
_GIVE_BACK: Final = 2_000
_KEEP_PAGES: Final = 256

Work = Callable[[Sql], Any]


class Limits(NamedTuple):
    """How large a spool may become."""

    #: Bytes of the file.
    max_bytes: int
    #: Of the disk, in percent, that has to stay free.
    min_free_percent: int = 0


class Job(NamedTuple):
    answer: asyncio.Future[Any]
    work: Work
    #: Bytes that it adds.
    size: int = 0
    #: Called in the event loop before anybody hears of the outcome, also if whoever asked has gone.
    settled: Callable[[bool], None] | None = None


class Figures(NamedTuple):
    """What the file is like after a commit."""

    used: int
    oldest: int | None


class SpoolThread:
    """The thread that owns the file."""

    def __init__(
        self, sql: Sql, limits: Limits, done: Callable[[], int], deliver: Callable[[Sequence[tuple[Job, Any]], Unavailable | None], None]
    ) -> None:
        self._sql = sql
        self._limits = limits
        self._done = done
        self._deliver = deliver
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._frames = 0
        self._open = True
        self._fatal: Unavailable | None = None
        self.figures = self._measure()
        sql.connection.set_wal_hook(self._count_frames)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        if self._queue.qsize() >= _BOUND:
            raise Unavailable(f"{_BOUND} writes are waiting for the disk: try again in a second")
        self._queue.put(job)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def room(self, used: int) -> int:
        """Bytes that may still be added."""
        try:
            disk = os.statvfs(self._sql.database.path.parent)
        except OSError:
            return 0
        free = (disk.f_bavail - disk.f_blocks * self._limits.min_free_percent // 100) * disk.f_frsize
        return max(0, min(self._limits.max_bytes - used, free))

    def _run(self) -> None:
        while jobs := self._gather():
            answers = self._commit(jobs)
            self._deliver(answers, None)
            self._tidy()
        if self._fatal is None:
            with suppress(StorageError):
                close_file(self._sql)
        self._sql.connection.close()

    def _gather(self) -> list[Job]:
        jobs: list[Job] = []
        with suppress(Empty):
            while self._open and len(jobs) < _BATCH:
                job = self._queue.get(block=not jobs)
                if job is None:
                    self._open = False
                else:
                    jobs.append(job)
        return jobs

    def _commit(self, jobs: Sequence[Job]) -> list[tuple[Job, Any]]:
        """One transaction for all; a job that fails by itself does not harm the others."""
        if self._fatal is not None:
            return [(job, Unavailable(*self._fatal.args)) for job in jobs]
        try:
            self._sql.run("BEGIN IMMEDIATE")
            used = self._used()
            room = self.room(used)
            answers = []
            for job in jobs:
                value = self._attempt(job, room)
                if not isinstance(value, BaseException):
                    room -= job.size
                answers.append((job, value))
            if self._sql.broken is not None:
                raise self._sql.broken
            figures = self._measure()
            self._sql.connection.execute("COMMIT")
        except apsw.IOError as error:
            # Nobody knows what of it the disk has; to sync again could report success for pages that the kernel has dropped.
            return self._fail(jobs, f"the disk failed ({error})", error)
        except SchemaError as error:
            return self._fail(jobs, "it is damaged", error)
        except (StorageError, apsw.Error) as error:
            return self._give_up(jobs, error if isinstance(error, StorageError) else translate(error, self._sql.database))
        self.figures = figures
        return answers

    def _attempt(self, job: Job, room: int) -> Any:
        if job.size > room:
            return Unavailable(
                f"the spool {self._sql.database.path} is full ({self.figures.used} bytes of at most {self._limits.max_bytes}, and"
                f" {self._limits.min_free_percent} % of the disk have to stay free): bring the database back, or give the spool more room"
            )
        try:
            with self._sql.savepoint():
                return job.work(self._sql)
        except Exception as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
            return error

    def _give_up(self, jobs: Sequence[Job], error: StorageError) -> list[tuple[Job, Any]]:
        """Nothing was written."""
        try:
            roll_back(self._sql)
        except StorageError:
            # The next BEGIN meets the same trouble, and its caller hears of it.
            self._sql.broken = None
        return [(job, type(error)(*error.args)) for job in jobs]

    def _fail(self, jobs: Sequence[Job], why: str, error: BaseException) -> list[tuple[Job, Any]]:
        self._fatal = Unavailable(f"{self._sql.database.path}: {why}: nothing more can be promised to be durable, the process must end")
        self._fatal.__cause__ = error
        with suppress(StorageError):
            roll_back(self._sql)
        self._deliver([], self._fatal)
        return [(job, Unavailable(*self._fatal.args)) for job in jobs]

    def _tidy(self) -> None:
        """Copy the log into the file; and once nothing waits, give the disk back what the file no longer needs."""
        if self._fatal is not None:
            return
        try:
            while self.figures.oldest is None and self._queue.empty() and self._sql.rows("PRAGMA freelist_count")[0][0] > _KEEP_PAGES:
                self._sql.rows(f"PRAGMA incremental_vacuum({_GIVE_BACK})")
                self._sql.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._frames = 0
            if self._frames >= _CHECKPOINT_FRAMES:
                self._frames = 0
                self._sql.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.IOError as error:
            self._fail([], f"the disk failed ({error})", error)
        except (apsw.Error, StorageError):
            # Full or busy: the log stays as it is, complete, and a later turn tries again.
            self._sql.broken = None

    def _used(self) -> int:
        pages, free = self._sql.rows("SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count")[0]
        return int(pages - free) * int(self._sql.rows("PRAGMA page_size")[0][0])

    def _measure(self) -> Figures:
        oldest = self._sql.row("SELECT at FROM waiting WHERE seq > ? ORDER BY seq LIMIT 1", (self._done(),))
        return Figures(self._used(), None if oldest is None else int(oldest[0]))

    def _count_frames(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        self._frames = frames
        return apsw.SQLITE_OK
