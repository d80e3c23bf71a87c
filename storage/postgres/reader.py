"""Readers: a few connections apart from the writers; each view is one snapshot, beside any writer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from storage.errors import Unavailable
from storage.postgres.connection import Database, Sql
from storage.postgres.link import Link, begin_small, begin_view
from storage.postgres.transaction import PostgresTransaction, run_alone
from storage.protocol import Transaction

T = TypeVar("T")

READERS: Final = 3
#: How long one may wait for a free connection, and how long one statement of a view may take.
POOL_SECONDS: Final = 1.0
VIEW_SECONDS: Final = 5.0
#: How long a whole view may take until its connection is cut: whoever keeps a snapshot keeps the server from cleaning up.
_WHOLE_VIEW_SECONDS: Final = 60.0
#: Leases and beats are small; a node that does not hear of its lease for so long has lost it.
SMALL_SECONDS: Final = 2.0


class Pool:
    """Connections that wait for somebody to use them; the one used last is used next."""

    def __init__(self, database: Database, size: int, *, read_only: bool) -> None:
        self._label = database.label
        self._size = size
        self._idle: asyncio.LifoQueue[Link] = asyncio.LifoQueue()
        for _ in range(size):
            self._idle.put_nowait(Link(database, read_only=read_only))

    async def close(self) -> None:
        """Wait for those in use, then close all."""
        for _ in range(self._size):
            await (await self._idle.get()).close()

    @asynccontextmanager
    async def link(self, seconds: float = POOL_SECONDS) -> AsyncIterator[Link]:
        """Raises Unavailable if none is free in time."""
        try:
            async with asyncio.timeout(seconds):
                link = await self._idle.get()
        except TimeoutError as error:
            raise Unavailable(f"all connections to {self._label} are busy: try again in a second") from error
        try:
            yield link
        finally:
            self._idle.put_nowait(link)

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` on one snapshot."""

        async def run() -> T:
            async with self.link() as link:
                sql = await link.begin(begin_view(VIEW_SECONDS), VIEW_SECONDS * 1.5, _WHOLE_VIEW_SECONDS)
                try:
                    return await run_alone(work, PostgresTransaction(sql, None))
                finally:
                    await link.roll_back()

        return await finish(run())

    async def small(self, action: Callable[[Sql], Awaitable[T]]) -> T:
        """Run statements beside the stream in a transaction of their own; it waits neither for the head nor for long."""

        async def run() -> T:
            async with self.link() as link:
                sql = await link.begin(begin_small(SMALL_SECONDS), SMALL_SECONDS * 1.5, SMALL_SECONDS * 2)
                try:
                    result = await action(sql)
                except BaseException:
                    await link.roll_back()
                    raise
                await link.commit()
                return result

        return await finish(run())


async def finish(running: Coroutine[Any, Any, T]) -> T:
    """Await it; should the caller be cancelled it goes on to its end, so that its connection stays in order."""
    task = asyncio.create_task(running)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise
