"""Reads the whole stream beside all other work, for duties that do something about some of its events later.

Nothing is lost by a crash: how far a duty has come is noted only up to the first event that is still to be dealt with.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from storage.protocol import WHOLE, Store
from storage.record import Recorded

#: How far it has come is noted so often: after a restart it is read again from there.
NOTE_SECONDS: Final = 30.0
_BATCH: Final = 500


class Follower:
    """One duty's place in the stream; kept in the setting ``name``. Everything raises StorageError."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._read: int | None = None
        self._noted = 0
        self._note_at = 0.0

    def rewind(self) -> None:
        """Forget what was read: :meth:`fresh` begins again where it was noted."""
        self._read = None

    async def fresh(self) -> AsyncIterator[Recorded]:
        """All that was appended since; the first time ever, nothing but what comes from now on."""
        if self._read is None:
            self._read = self._noted = await self._begin()
        while batch := await self._store.read(WHOLE, self._read, _BATCH):
            for recorded in batch:
                yield recorded
            self._read = batch[-1].pos

    async def note(self, pending: Iterable[int]) -> None:
        """``pending``: the positions of what was read and is still to be dealt with. Written down only now and then."""
        assert self._read is not None
        done = min((pos - 1 for pos in pending), default=self._read)
        now = asyncio.get_running_loop().time()
        if done != self._noted and now >= self._note_at:
            await self._store.transact(lambda tx: tx.settings.put(self._name, str(done)))
            self._noted, self._note_at = done, now + NOTE_SECONDS

    async def _begin(self) -> int:
        said = await self._store.view(lambda tx: tx.settings.get(self._name))
        if said:
            return int(said)
        head = await self._store.view(lambda tx: tx.stream.head())
        await self._store.transact(lambda tx: tx.settings.put(self._name, str(head)))
        return head
