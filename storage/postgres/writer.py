"""The writers: tasks that take what has queued and make it durable with a single commit.

There are two, each with a connection: one for appends and one for functions, so that a provider who waits for its append does
not wait for a queue of functions. The head row decides who is next, among them and among all nodes. No timer decides how large a
batch is: while one is being committed, the next one queues. Nobody hears of success before the commit has returned.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from storage.errors import StorageError, Unavailable
from storage.foreseen import Foreseen, Shareable
from storage.postgres.connection import Sql
from storage.postgres.gathering import Inbound, admit
from storage.postgres.link import JOB, Link, begin_write
from storage.postgres.stream import Heads, load_heads
from storage.postgres.transaction import PostgresTransaction, run_alone
from storage.protocol import Transaction
from storage.record import Entry

BATCH: Final = 200
#: Functions stop sharing a commit after this: appends, and other nodes, wait for the head meanwhile.
_SHARE_SECONDS: Final = 0.02
#: Functions that read and write together, see ``Shareable``.
_SHARED: Final = 50
#: How long a transaction may take that has the head, or waits for it, until its connection is cut.
FUNCTION_SECONDS: Final = 10.0

Work = Callable[[Transaction], Awaitable[Any]]
T = TypeVar("T")


class Job(NamedTuple):
    """What one caller wants written: entries to append, at once or behind what is gathered, or a function to run."""

    answer: "asyncio.Future[Any]"
    work: Work | Inbound | Sequence[Entry]
    #: It shares nothing with others but the commit.
    alone: bool = False


class Answer(NamedTuple):
    """What came of one job: exactly one of value and error counts."""

    job: Job
    value: Any
    error: BaseException | None


class Writer:
    """One task on one connection. ``committed`` is called with the heads after each commit that moved them, before the answers."""

    def __init__(self, link: Link, committed: Callable[[Heads], None], bound: int, seconds: float) -> None:
        self._link = link
        self._committed = committed
        self._bound = bound
        self._seconds = seconds
        self._queue: deque[Job] = deque()
        self._news = asyncio.Event()
        self._open = True
        self._used = False
        self._task = asyncio.create_task(self._run(), name="postgres-writer")

    def submit(self, job: Job) -> None:
        """Raises Unavailable if too much is waiting already."""
        if len(self._queue) >= self._bound:
            raise Unavailable(f"{self._bound} writes are waiting for the database: try again in a second")
        self._queue.append(job)
        self._news.set()

    async def close(self) -> None:
        """Finish what is queued, then close."""
        self._open = False
        self._news.set()
        await self._task
        await self._link.close()

    async def _run(self) -> None:
        while self._open or self._queue:
            if not self._queue:
                self._news.clear()
                await self._news.wait()
                continue
            taken: list[Job] = []
            try:
                answers = await self._commit(taken)
            except Exception as error:  # noqa: BLE001  # whatever it is, the writer goes on and its callers hear of it
                refusal = error if isinstance(error, StorageError) else Unavailable(f"the commit failed ({type(error).__name__}: {error})")
                answers = [Answer(job, None, _copy(refusal)) for job in taken or self._take_all()]
            for answer in answers:
                _resolve(answer)

    def _take(self) -> Job | None:
        """The next job whose caller still waits. One that has given up before it was begun is not written."""
        while self._queue:
            job = self._queue.popleft()
            if not job.answer.done():
                return job
        return None

    def _take_all(self) -> list[Job]:
        """Everybody who waits, when the database is away: to keep them would only make them wait for the same answer."""
        jobs = list(self._queue)
        self._queue.clear()
        return jobs

    async def _commit(self, taken: list[Job]) -> list[Answer]:
        """One transaction for several jobs, which are added to ``taken``; a job that fails by itself does not harm the others."""
        sql = await self._link.begin(begin_write(self._seconds), self._seconds * 1.5, self._seconds * 2)
        self._used = False
        try:
            heads = await load_heads(sql)
            before = heads.last
            answers = await self._do(sql, heads, taken)
        except BaseException:
            await self._link.roll_back()
            raise
        lost = sql.lost
        if lost is not None:
            await self._link.roll_back()
            failed = {
                id(answer.job): answer for answer in answers if answer.error is not None and not isinstance(answer.error, Unavailable)
            }
            return [failed.get(id(job)) or Answer(job, None, _copy(lost)) for job in taken]
        if not any(answer.error is None for answer in answers):
            await self._link.roll_back()
            return answers
        try:
            await self._link.commit()
        except Unavailable as error:
            return [answer if answer.error is not None else Answer(answer.job, None, _copy(error)) for answer in answers]
        if heads.last > before:
            self._committed(heads)
        return answers

    async def _do(self, sql: Sql, heads: Heads, taken: list[Job]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        until = loop.time() + _SHARE_SECONDS
        answers: list[Answer] = []
        appends: list[Job] = []
        inbound: list[Job] = []
        shared: list[Job] = []
        while sql.lost is None and len(taken) < BATCH and (loop.time() < until or not answers) and (job := self._take()) is not None:
            taken.append(job)
            if isinstance(job.work, Shareable) and not job.alone:
                shared.append(job)
                if len(shared) == _SHARED:
                    break
            elif callable(job.work):
                answers.append(await self._attempt(sql, heads, job))
            else:
                (inbound if isinstance(job.work, Inbound) else appends).append(job)
        answers += await self._share(sql, heads, shared, taken)
        return [*answers, *await self._append(sql, heads, appends), *await self._append(sql, heads, inbound)]

    async def _share(self, sql: Sql, heads: Heads, jobs: list[Job], taken: list[Job]) -> list[Answer]:
        """Functions that read and write together. If that fails, each has its turn again, by itself."""
        if len(jobs) <= 1:
            return [await self._attempt(sql, heads, job) for job in jobs]
        whole = await self._attempt(sql, heads, jobs[0]._replace(work=lambda tx: _sharing(tx, jobs)))
        if whole.error is None:
            answers: list[Answer] = whole.value
            return answers
        if sql.lost is None:
            self._queue.extendleft(job._replace(alone=True) for job in reversed(jobs))
            taken[:] = [job for job in taken if job not in jobs]
        return []

    async def _append(self, sql: Sql, heads: Heads, jobs: list[Job]) -> list[Answer]:
        """Appends of several callers as one; if that fails, each by itself, so that only the culprit hears of it."""
        if not jobs or sql.lost is not None:
            return []
        entries = [entry for job in jobs for entry in _entries(job)]
        inbound = [job.work for job in jobs if isinstance(job.work, Inbound)]
        work = _admitting(inbound[0].joined(inbound[1:])) if inbound else _appending(entries)
        whole = await self._attempt(sql, heads, jobs[0]._replace(work=work))
        if whole.error is None:
            outcomes = iter(whole.value)
            return [Answer(job, [next(outcomes) for _ in _entries(job)], None) for job in jobs]
        if len(jobs) == 1:
            return [Answer(jobs[0], None, whole.error)]
        return [answer for job in jobs for answer in await self._append(sql, heads, [job])]

    async def _attempt(self, sql: Sql, heads: Heads, job: Job) -> Answer:
        """Run a function, all or nothing, within the savepoint of jobs."""
        before = heads.copy()
        assert callable(job.work)
        try:
            await self._renew_savepoint(sql)
            return Answer(job, await run_alone(job.work, PostgresTransaction(sql, heads)), None)
        except BaseException as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
            heads.become(before)
            sql.memory.forget_all()
            if sql.lost is None:
                sql.broken = None
                with suppress(StorageError):
                    await sql.script(f"ROLLBACK TO SAVEPOINT {JOB}")
                    self._used = False
            return Answer(job, None, error)

    async def _renew_savepoint(self, sql: Sql) -> None:
        """A transaction begins with a savepoint, which serves the first job and whoever follows one that failed."""
        if self._used:
            await sql.script(f"RELEASE SAVEPOINT {JOB}; SAVEPOINT {JOB}")
        self._used = True


async def _sharing(tx: Transaction, jobs: Sequence[Job]) -> list[Answer]:
    assert isinstance(tx, PostgresTransaction)
    works = [job.work for job in jobs if isinstance(job.work, Shareable)]
    await tx.foresee(Foreseen.all_of(work.ahead for work in works))
    answers = []
    for job, work in zip(jobs, works, strict=True):
        before = tx.sql.writes
        try:
            answers.append(Answer(job, await work.work(tx), None))
        except Exception as error:
            if tx.sql.lost or tx.sql.broken or tx.sql.writes != before:
                raise
            # It has refused what it was asked, and left nothing behind.
            answers.append(Answer(job, None, error))
    return answers


def _appending(entries: Sequence[Entry]) -> Work:
    async def work(tx: Transaction) -> Any:
        return await tx.stream.append(entries)

    return work


def _entries(job: Job) -> Sequence[Entry]:
    assert not callable(job.work)
    return job.work.entries if isinstance(job.work, Inbound) else job.work


def _admitting(inbound: Inbound) -> Work:
    async def work(tx: Transaction) -> Any:
        assert isinstance(tx, PostgresTransaction)
        assert tx.heads is not None
        return await admit(tx.sql, tx.heads, inbound)

    return work


def _resolve(answer: Answer) -> None:
    future = answer.job.answer
    # The caller may have been cancelled meanwhile; what it asked for has happened or not, as for any lost answer.
    if future.done():
        return
    if answer.error is None:
        future.set_result(answer.value)
    elif isinstance(answer.error, (StopIteration, asyncio.CancelledError)):
        future.set_exception(StorageError(f"the function ended with {type(answer.error).__name__}"))
    else:
        future.set_exception(answer.error)


def _copy(error: StorageError) -> StorageError:
    """Each caller gets an exception of its own: one that is raised twice mixes their tracebacks."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
