"""The store on PostgreSQL: two writers, a few readers, and a bus that makes the other nodes look."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from storage.bus import Bus
from storage.errors import StorageError, Unavailable
from storage.postgres import lease
from storage.postgres.connection import Database
from storage.postgres.doctor import examine
from storage.postgres.gathering import Inbound, PostgresGathering
from storage.postgres.link import Link
from storage.postgres.reader import READERS, Pool
from storage.postgres.schema import LOG
from storage.postgres.stream import Heads
from storage.postgres.transaction import PostgresTransaction, run_alone
from storage.postgres.vault import PostgresVault
from storage.postgres.waiting import Waiting
from storage.postgres.writer import FUNCTION_SECONDS, Job, Work, Writer
from storage.protocol import Duty, Transaction
from storage.record import Appended, Duplicate, Entry, Node, Recorded
from storage.told import HEAD, encode_heads

T = TypeVar("T")

#: Jobs that may wait for the database; beyond it the caller is told to come back.
QUEUE_BOUND: Final = 10_000
#: A provider waits for its append; after so long the caller hears Unavailable, and the event is written or not.
APPEND_SECONDS: Final = 1.0
#: Between two looks for a database that was away when the store was opened.
_LOOK_AGAIN: Final = 0.25


class PostgresStore:
    """``storage.protocol.Store``. Made by ``storage.postgres.open_postgres``; used from the event loop it was made in."""

    shared: Final = True

    def __init__(self, database: Database, bus: Bus | None, *, append_seconds: float = APPEND_SECONDS, bound: int = QUEUE_BOUND) -> None:
        self._bus = bus
        self._append_seconds = append_seconds
        self._refusal: Unavailable | None = None
        self._closing = False
        self._preparing: asyncio.Task[None] | None = None
        self._readers = Pool(database, READERS, read_only=True)
        self._duties = Pool(database, 1, read_only=False)
        self._beside = Pool(database, 1, read_only=False)
        self.vault = PostgresVault(database)
        self._waiting = Waiting(self._readers, bus)
        self._appends = Writer(Link(database), self._committed, bound, append_seconds)
        self._works = Writer(Link(database), self._committed, bound, FUNCTION_SECONDS)
        self.gathering = PostgresGathering(self._admit, self._duties, bus)

    async def follow_log(self) -> None:
        """Tell the bus which log this is."""
        if self._bus is not None:
            self._bus.follow(await self._readers.view(lambda tx: tx.settings.get(LOG)))

    def refuse_until(self, prepare: Callable[[], Awaitable[Any]], why: Unavailable, on_fatal: Callable[[BaseException], None]) -> None:
        """Be Unavailable until ``prepare`` has succeeded; it is tried again and again. Should it find a database that must not be used,
        the store stays as it is, and ``on_fatal`` hears of it."""
        self._refusal = why

        async def try_again() -> None:
            while True:
                await asyncio.sleep(_LOOK_AGAIN)
                try:
                    await prepare()
                    await self.follow_log()
                except Unavailable as error:
                    self._refusal = error
                except StorageError as error:
                    on_fatal(error)
                    return
                else:
                    self._refusal = None
                    return

        self._preparing = asyncio.create_task(try_again(), name="postgres-preparing")

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        result: T = await self._write(self._works, work)
        return result

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        self._check_open()
        result: T = await self._readers.view(work)
        return result

    async def aside(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        self._check_open()
        return await self._beside.small(lambda sql: run_alone(work, PostgresTransaction(sql, None)))

    async def append(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        outcomes: list[Appended | Duplicate] = await self._admit(tuple(entries))
        return outcomes

    async def _admit(self, work: Work | Inbound | Sequence[Entry]) -> Any:
        """By the writer for what comes in, for which a provider waits."""
        try:
            async with asyncio.timeout(self._append_seconds):
                return await self._write(self._appends, work)
        except TimeoutError as error:
            raise Unavailable(f"the database took longer than {self._append_seconds:g} s: the events are written or not") from error

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        self._check_open()
        if self._bus is not None and after < self._waiting.mirrored(partition):
            events = await self._bus.read(partition, after, limit)
            if events:
                return events
        return await self._readers.view(lambda tx: tx.stream.read(partition, after, limit))

    async def wait(self, partition: int, after: int, seconds: float) -> None:
        if self._refusal is None:
            await self._waiting.wait(partition, after, seconds)

    async def lease(self, owner: str, duties: Collection[Duty], ttl: float) -> dict[Duty, int]:
        self._check_open()
        return await self._duties.small(lambda sql: lease.take(sql, owner, duties, ttl))

    async def release(self, owner: str, held: Mapping[Duty, int]) -> None:
        self._check_open()
        await self._duties.small(lambda sql: lease.release(sql, owner, held))

    async def beat(self, node: Node, ttl: float) -> list[Node]:
        self._check_open()
        return await self._duties.small(lambda sql: lease.beat(sql, node, ttl))

    async def check(self) -> list[str]:
        async def look(tx: Transaction) -> list[str]:
            assert isinstance(tx, PostgresTransaction)
            return await examine(tx.sql)

        return await self.view(look)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._preparing is not None:
            self._preparing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._preparing
        self._refusal = Unavailable("the store is closed")
        self.gathering.close()
        await self._waiting.close()
        await asyncio.gather(
            self._appends.close(),
            self._works.close(),
            self._readers.close(),
            self._duties.close(),
            self._beside.close(),
            self.vault.close(),
        )

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise Unavailable(*self._refusal.args)

    async def _write(self, writer: Writer, work: Work | Inbound | Sequence[Entry]) -> Any:
        self._check_open()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        writer.submit(Job(answer, work))
        return await answer

    def _committed(self, heads: Heads) -> None:
        found = {partition: pos for partition, pos in enumerate(heads.partitions) if pos}
        self._waiting.learn(found)
        if self._bus is not None:
            self._bus.tell(HEAD, encode_heads(found))
