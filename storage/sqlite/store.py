"""The store on SQLite: one writer thread, a few readers, one event loop that they answer to."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from storage.errors import Unavailable
from storage.protocol import WHOLE, Duty, Transaction
from storage.record import Appended, Duplicate, Entry, Node, Recorded
from storage.sqlite import lease
from storage.sqlite.connection import Database, Sql
from storage.sqlite.doctor import examine
from storage.sqlite.lock import FileLock
from storage.sqlite.reader import Readers
from storage.sqlite.stream import read
from storage.sqlite.transaction import SqliteTransaction, run_at_once
from storage.sqlite.writer import Answer, Job, Writer, Written

T = TypeVar("T")

#: Jobs that may wait for the disk, and views that may wait for a reader; beyond it the caller is told to come back.
QUEUE_BOUND: Final = 10_000


class SqliteStore:
    """``storage.protocol.Store``. Made by ``storage.sqlite.open_sqlite``; used from the event loop it was made in."""

    #: One process has the file open, and files of people lie beside it.
    shared: Final = False
    gathering: Final = None
    vault: Final = None

    def __init__(
        self,
        writer: Sql,
        readers: Sequence[Sql],
        lock: FileLock,
        on_fatal: Callable[[BaseException], None] | None,
        bound: int = QUEUE_BOUND,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._database: Database = writer.database
        self._lock = lock
        self._on_fatal = on_fatal
        self._refusal: Unavailable | None = None
        self._closing = False
        self._heads: dict[int, int] = {}
        self._waiters: dict[asyncio.Future[None], tuple[int, int]] = {}
        self._writer = Writer(writer, self._written, bound)
        self._readers = Readers(readers, self._viewed, bound)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        result: T = await self._write(lambda transaction: run_at_once(work, transaction))
        return result

    async def aside(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        # There is one writer, and a commit is shared by whoever waits for it.
        return await self.transact(work)

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        result: T = await self._view(lambda transaction: run_at_once(work, transaction))
        return result

    async def append(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        outcomes: list[Appended | Duplicate] = await self._write(tuple(entries))
        return outcomes

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        events: list[Recorded] = await self._view(lambda transaction: read(transaction.sql, partition, after, limit))
        return events

    async def wait(self, partition: int, after: int, seconds: float) -> None:
        if self._newest(partition) > after or self._refusal is not None:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[waiter] = (partition, after)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            self._waiters.pop(waiter, None)

    async def lease(self, owner: str, duties: Collection[Duty], ttl: float) -> dict[Duty, int]:
        held: dict[Duty, int] = await self._write(lambda transaction: lease.take(transaction.sql, owner, duties, ttl))
        return held

    async def release(self, owner: str, held: Mapping[Duty, int]) -> None:
        await self._write(lambda transaction: lease.release(transaction.sql, owner, held))

    async def beat(self, node: Node, ttl: float) -> list[Node]:
        nodes: list[Node] = await self._write(lambda transaction: lease.beat(transaction.sql, node, ttl))
        return nodes

    async def check(self) -> list[str]:
        problems: list[str] = await self._view(lambda transaction: examine(transaction.sql))
        return problems

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._refusal = self._refusal or Unavailable("the store is closed")
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._writer.close)
        self._lock.release()
        self._wake(everyone=True)

    # --- into the threads and back ---------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[SqliteTransaction], Any] | Sequence[Entry]) -> Any:
        return await self._submit(self._writer.submit, work)

    async def _view(self, work: Callable[[SqliteTransaction], Any]) -> Any:
        return await self._submit(self._readers.submit, work)

    async def _submit(self, submit: Callable[[Job], None], work: Any) -> Any:
        if self._refusal is not None:
            raise Unavailable(*self._refusal.args)
        answer: asyncio.Future[Any] = self._loop.create_future()
        submit(Job(answer, work))
        return await answer

    def _written(self, written: Written) -> None:
        self._loop.call_soon_threadsafe(self._settle, written)

    def _viewed(self, answer: Answer) -> None:
        self._loop.call_soon_threadsafe(_resolve, answer)

    def _settle(self, written: Written) -> None:
        for answer in written.answers:
            _resolve(answer)
        if written.heads is not None:
            self._heads = written.heads
            self._wake()
        if written.fatal is not None:
            self._refusal = Unavailable(*written.fatal.args)
            self._wake(everyone=True)
            if self._on_fatal is not None:
                self._on_fatal(written.fatal)

    # --- waiting for events ----------------------------------------------------------------------------------------------

    def _newest(self, partition: int) -> int:
        if partition == WHOLE:
            return max(self._heads.values(), default=0)
        return self._heads.get(partition, 0)

    def _wake(self, *, everyone: bool = False) -> None:
        for waiter, (partition, after) in self._waiters.items():
            if not waiter.done() and (everyone or self._newest(partition) > after):
                waiter.set_result(None)


def _resolve(answer: Answer) -> None:
    future: asyncio.Future[Any] = answer.ticket
    # The caller may have been cancelled meanwhile; what it asked for has happened or not, as for any lost answer.
    if future.done():
        return
    if answer.error is None:
        future.set_result(answer.value)
    else:
        future.set_exception(answer.error)
