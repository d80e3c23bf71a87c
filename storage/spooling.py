"""Where inbound events go: into the database, or into this node's spool while the database fails or is too slow.

The order of a channel's events on one node is kept: while any of a channel wait in the spool, the next ones queue behind them.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from storage.errors import Unavailable
from storage.gathering import Gather, Gathering, Kept
from storage.record import Entry, Gathered, Spooled
from storage.spool import Spool

#: Where an inbound event lies once it is durable.
Place = Kept | Spooled
#: Seconds for which a database that failed is not tried again, if nothing waits whose draining would tell that it is back.
_ASK_AGAIN: Final = 1.0
#: Part of the store's time that one may wait to become direct again.
_HAND_OVER: Final = 0.25
#: A gathering whose name has not been heard yet.
_SOME: Final = 1


class Appender(Protocol):
    """A store, or a store with a spool before it."""

    async def append(self, entries: Sequence[Entry]) -> Sequence[Place]:
        """Returns when all are durable. Raises storage errors; then nothing was taken."""


class SpoolingAppender:
    """Tries the store, and gives what it cannot take in time to the spool."""

    def __init__(self, store: Appender, spool: Spool, after: float, gathering: Gathering | None = None) -> None:
        """``after``: seconds that the store has for an answer. ``gathering``: where other nodes have spools too."""
        self.spool = spool
        self.gathering = gathering
        #: Set when something had to be kept behind what other nodes still have.
        self.gathered = asyncio.Event()
        #: As of the last report, or of what the database has done since.
        self._gather = Gather(0, 0)
        self._store = store
        self._after = after
        self._loop = asyncio.get_running_loop()
        self._away = False
        self._ask_at = 0.0
        #: Channels of which the last ones are being drained, and what ends it.
        self._last: frozenset[str] = frozenset()
        self._handed_over: asyncio.Future[None] = self._loop.create_future()

    @property
    def away(self) -> bool:
        """Is the database known to be away? The drain finds out when it is back; with nothing to drain, somebody has to try."""
        return self._away and (self.spool.waiting.total() > 0 or self._loop.time() < self._ask_at)

    async def append(self, entries: Sequence[Entry]) -> Sequence[Place]:
        """See :class:`Appender`. An append that took too long may happen all the same: then draining finds a duplicate."""
        channels = {entry.channel for entry in entries}
        if not self._last.isdisjoint(channels) and not self._gather.since:
            # What is before them is on its way: rather than going behind it for ever, wait for it.
            await asyncio.wait([self._handed_over], timeout=self._after * _HAND_OVER)
        behind = self.spool.holds(channels)
        # What is gathered is put in order later: it need not go behind what waits here.
        if self.away or (behind and not self._gather.since):
            return await self.spool.put(entries)
        try:
            async with asyncio.timeout(self._after):
                if self.gathering is None:
                    return await self._store.append(entries)
                return self._noted(await self.gathering.append(entries, behind=behind))
        except (Unavailable, TimeoutError):
            self.note_away()
            return await self.spool.put(entries)

    async def hand_over(self, entries: Sequence[Entry]) -> Sequence[Place]:
        """Give the store the next ones of the spool. Raises storage errors."""
        if self.gathering is None:
            return await self._store.append(entries)
        return self._noted(await self.gathering.hand_over(self.spool.id, entries))

    def _noted(self, places: Sequence[Kept]) -> Sequence[Kept]:
        if not self._gather.since and any(isinstance(place, Gathered) for place in places):
            self.note_gather(Gather(_SOME, len(places)))
            self.gathered.set()
        return places

    def note_gather(self, now: Gather) -> None:
        """How far the gathering of all nodes has come."""
        self._gather = now

    @property
    def behind(self) -> int:
        """How many events of all nodes are gathered, as far as is known."""
        return self._gather.waiting

    @property
    def done(self) -> bool:
        """Is everything handed over, and does the next one go to the store?"""
        return not self.spool.size() and not self._away

    def note_away(self) -> None:
        """The database has failed: nobody else needs to wait to see it, and other nodes may have to."""
        if not self._away and self.gathering is not None:
            self.gathering.warn(self.spool.id)
        self._away = True
        self._ask_at = self._loop.time() + _ASK_AGAIN

    def note_back(self) -> None:
        """It has taken something."""
        self._away = False

    @contextlib.contextmanager
    def handing_over(self, batch: int) -> Iterator[None]:
        """Inside, a batch of this size is taken out of the spool and appended.

        If that is all there is, whoever comes meanwhile waits for it, and the channels become direct again.
        """
        self._last = self.spool.channels() if not self._away and self.spool.size() <= batch else frozenset()
        try:
            yield
        finally:
            self._last = frozenset()
            self._handed_over.set_result(None)
            self._handed_over = self._loop.create_future()
