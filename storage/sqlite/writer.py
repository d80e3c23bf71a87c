"""The one writer: a thread that takes everything that has queued and makes it durable with a single commit.

No timer decides how large a batch is: while the disk is busy with one, the next one queues. Nobody hears of success before the
commit has returned.
"""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import apsw

from storage.errors import StorageError, Unavailable
from storage.record import Entry
from storage.sqlite.connection import Sql, translate
from storage.sqlite.schema import roll_back
from storage.sqlite.stream import Heads, append
from storage.sqlite.transaction import SqliteTransaction

BATCH: Final = 200
#: Frames in the log from which on it is copied into the database, and from which on the writer waits for readers to let go of it.
_CHECKPOINT_FRAMES: Final = 1_000
_CHECKPOINT_HARD_FRAMES: Final = 16_000

Work = Callable[[SqliteTransaction], Any]


class Job(NamedTuple):
    """What one caller wants written: entries to append, or a function to run."""

    #: Whatever the caller knows its answer by.
    ticket: Any
    work: Work | Sequence[Entry]


class Answer(NamedTuple):
    """What came of one job: exactly one of value and error counts."""

    ticket: Any
    value: Any
    error: BaseException | None


class Written(NamedTuple):
    """What came of one commit."""

    answers: list[Answer]
    #: Newest position of each partition, if events were appended.
    heads: dict[int, int] | None
    #: The disk can no longer be trusted.
    fatal: BaseException | None = None


class Writer:
    """Owns the writing connection. ``deliver`` is called in the writer's thread after each commit or failure to commit."""

    def __init__(self, sql: Sql, deliver: Callable[[Written], None], bound: int) -> None:
        self._sql = sql
        self._deliver = deliver
        self._bound = bound
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._heads = Heads()
        self._transaction = SqliteTransaction(sql, self._heads)
        self._open = True
        self._waiting: list[Job] = []
        #: Was the last commit one of appends?
        self._appended = False
        self._frames = 0
        self._fatal: StorageError | None = None
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        sql.connection.set_wal_hook(self._count_frames)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Raises Unavailable if too much is waiting already."""
        if self._queue.qsize() >= self._bound:
            raise Unavailable(f"{self._bound} writes are waiting for the disk: try again in a second")
        self._queue.put(job)

    def close(self) -> None:
        """Finish what is queued, then close. Waits."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._take():
            self._deliver(self._commit(jobs) if self._fatal is None else _refuse(jobs, self._fatal))
            if self._frames >= _CHECKPOINT_FRAMES and self._fatal is None:
                self._checkpoint("RESTART" if self._frames >= _CHECKPOINT_HARD_FRAMES else "PASSIVE")
        if self._fatal is None:
            self._checkpoint("TRUNCATE")
        self._sql.connection.close()

    def _take(self) -> list[Job]:
        """What goes into the next commit, at least one job; none when the end was asked for and all is done.

        Appends and functions take turns. A provider waits for its append, and must not wait for the routing of two hundred
        messages in the same commit; nor may a stream of appends hold up the routing for ever.
        """
        self._drain()
        appends = [job for job in self._waiting if not callable(job.work)]
        works = [job for job in self._waiting if callable(job.work)]
        turn = works if works and (self._appended or not appends) else appends
        self._appended = turn is appends
        self._waiting = appends if turn is works else works
        return turn

    def _drain(self) -> None:
        """Move what has queued to ``_waiting``; wait only if there is nothing to do."""
        try:
            while len(self._waiting) < BATCH and self._open:
                job = self._queue.get(block=not self._waiting)
                if job is None:
                    self._open = False
                else:
                    self._waiting.append(job)
        except Empty:
            pass

    def _commit(self, jobs: Sequence[Job]) -> Written:
        """One transaction for all; a job that fails by itself does not harm the others."""
        answers: list[Answer] = []
        try:
            self._sql.run("BEGIN IMMEDIATE")
            self._heads.load(self._sql)
            before = self._heads.last
            for step in _steps(jobs):
                answers += self._append(step) if isinstance(step, list) else [self._work(step)]
                if self._sql.broken is not None:
                    raise self._sql.broken
            # A step that was rolled back last has counted positions that do not exist: whoever waits would be woken for ever.
            self._heads.load(self._sql)
        except StorageError as error:
            return self._give_up(jobs, answers, error)
        try:
            self._sql.connection.execute("COMMIT")
        except apsw.IOError as error:
            return self._fail(jobs, error)
        except apsw.Error as error:
            return self._give_up(jobs, answers, translate(error, self._sql.database))
        return Written(answers, dict(self._heads.partitions) if self._heads.last > before else None)

    def _append(self, jobs: list[Job]) -> list[Answer]:
        """Appends of several callers as one; if that fails, each by itself, so that only the culprit hears of it."""
        if len(jobs) == 1:
            return [self._attempt(jobs[0], lambda: append(self._sql, self._heads, jobs[0].work))]  # type: ignore[arg-type]
        entries = [entry for job in jobs for entry in job.work]  # type: ignore[union-attr]
        try:
            outcomes = iter(append(self._sql, self._heads, entries))
        except Exception:  # noqa: BLE001  # an entry may hold anything; each is tried again below and its own caller told
            if self._sql.broken is not None:
                return []
            return [answer for job in jobs for answer in self._append([job])]
        return [Answer(job.ticket, [next(outcomes) for _ in job.work], None) for job in jobs]  # type: ignore[union-attr]

    def _work(self, job: Job) -> Answer:
        work = job.work
        assert callable(work)
        return self._attempt(job, lambda: work(self._transaction))

    def _attempt(self, job: Job, action: Callable[[], Any]) -> Answer:
        try:
            with self._sql.savepoint():
                return Answer(job.ticket, action(), None)
        except BaseException as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
            self._heads.forget()
            return Answer(job.ticket, None, error)

    def _give_up(self, jobs: Sequence[Job], answers: Sequence[Answer], error: StorageError) -> Written:
        """Nothing was written. Those who had failed by themselves keep their own error."""
        self._undo()
        failed = {id(answer.ticket): answer for answer in answers if answer.error is not None and not isinstance(answer.error, Unavailable)}
        return Written([failed.get(id(job.ticket)) or Answer(job.ticket, None, _copy(error)) for job in jobs], None)

    def _fail(self, jobs: Sequence[Job], error: apsw.Error) -> Written:
        """The disk refused to make the commit durable. To try again could report success for pages that the kernel has dropped."""
        self._fatal = Unavailable(
            f"{self._sql.database.path}: the disk failed ({error}): nothing more can be promised to be durable, the process must end"
        )
        self._fatal.__cause__ = error
        self._undo()
        return Written(_refuse(jobs, self._fatal).answers, None, self._fatal)

    def _undo(self) -> None:
        self._heads.forget()
        try:
            roll_back(self._sql)
        except StorageError:
            # The next BEGIN meets the same trouble, and its caller hears of it.
            self._sql.broken = None

    def _checkpoint(self, mode: str) -> None:
        """Copy the log into the database. A full disk or a long reader only postpone it; a disk error is the end."""
        modes = {
            "PASSIVE": apsw.SQLITE_CHECKPOINT_PASSIVE,
            "RESTART": apsw.SQLITE_CHECKPOINT_RESTART,
            "TRUNCATE": apsw.SQLITE_CHECKPOINT_TRUNCATE,
        }
        try:
            self._sql.connection.wal_checkpoint(mode=modes[mode])
        except apsw.IOError as error:
            self._deliver(self._fail([], error))
        except apsw.Error:
            # Busy or full: the log stays as it is, complete, and the next commit tries again.
            pass
        self._frames = 0

    def _count_frames(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        self._frames = frames
        return apsw.SQLITE_OK


def _steps(jobs: Sequence[Job]) -> list[Job | list[Job]]:
    """Jobs in their order, neighbouring appends together."""
    steps: list[Job | list[Job]] = []
    for job in jobs:
        if callable(job.work):
            steps.append(job)
        elif steps and isinstance(steps[-1], list):
            steps[-1].append(job)
        else:
            steps.append([job])
    return steps


def _refuse(jobs: Sequence[Job], error: StorageError) -> Written:
    return Written([Answer(job.ticket, None, _copy(error)) for job in jobs], None)


def _copy(error: StorageError) -> StorageError:
    """Each caller gets an exception of its own: one that is raised twice mixes their tracebacks."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
