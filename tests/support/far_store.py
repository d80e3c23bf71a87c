"""A store that is elsewhere: a real one, and before it a network that can be cut, can swallow what is sent, or be slow."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, TypeVar

from storage.errors import StorageError, Unavailable
from storage.protocol import Store, Transaction
from storage.record import Appended, Duplicate, Entry

T = TypeVar("T")


class Line(Enum):
    """What the network does."""

    UP = 1
    #: Refuses at once.
    CUT = 2
    #: Nothing ever comes back; nothing arrives.
    SILENT = 3
    #: Everything arrives, and no answer comes back.
    DEAF = 4


class FarStore:
    """Looks like a shared store. Entries with ``poison`` in their key are refused, as if the database could not hold them."""

    shared = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self.line = Line.UP
        #: How many appends were asked for, and the sizes of those that were done.
        self.asked = 0
        self.done: list[int] = []

    async def append(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        self.asked += 1
        await self._pass()
        if any("poison" in entry.key for entry in entries):
            raise StorageError("this event cannot be kept")
        outcomes = await self._store.append(entries)
        if self.line is Line.DEAF:
            await asyncio.Event().wait()
        self.done.append(len(entries))
        return outcomes

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        await self._pass()
        return await self._store.transact(work)

    async def aside(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        await self._pass()
        return await self._store.aside(work)

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        await self._pass()
        return await self._store.view(work)

    async def _pass(self) -> None:
        if self.line is Line.CUT:
            raise Unavailable("no route to the database")
        if self.line is Line.SILENT:
            await asyncio.Event().wait()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
