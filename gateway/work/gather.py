"""This node's part in a gathering: says that its spool is in use, and when it is handed over; and merges what was gathered.

See ``storage.gathering``. Every node does it: whoever comes first takes the next batch.
"""

import asyncio
import contextlib
from typing import Final

import structlog

from gateway.services import Services
from storage.errors import StorageError
from storage.gathering import Gather, Gathering
from storage.spooling import SpoolingAppender

#: Between two reports: while all is well, and while others wait for this one or something can be merged.
CALM: Final = 0.5
BUSY: Final = 0.05


class GatherWorker:
    """One per node that has a spool and shares its database."""

    def __init__(self, services: Services, spooling: SpoolingAppender, gathering: Gathering) -> None:
        self._services = services
        self._spooling = spooling
        self._gathering = gathering
        self._now = Gather(0, 0)
        self._merged = 0
        self._log = structlog.get_logger("gather").bind(spool=spooling.spool.id)

    async def run(self) -> None:
        """Report and merge until cancelled. A database that is away is asked again: the drain tells of it."""
        try:
            while True:
                try:
                    await self.step()
                except StorageError:
                    await asyncio.sleep(CALM)
                else:
                    await self._pause()
        except asyncio.CancelledError:
            if self._spooling.done:
                with contextlib.suppress(StorageError):
                    await self._gathering.leave(self._spooling.spool.id)
            raise

    async def step(self) -> None:
        """One report; and while a gathering goes on, whatever can be merged. Raises storage errors."""
        # The gathering that was seen before the look at the spool: what was put there later belongs to another.
        idle = self._spooling.done
        self._spooling.gathered.clear()
        self._note(await self._gathering.report(self._spooling.spool.id, self._now.since if idle else 0, idle=idle))
        while self._now.since and (merged := await self._gathering.merge()):
            self._merged += merged

    def _note(self, now: Gather) -> None:
        if now.since and not self._now.since:
            self._log.warning("the database is back: what the nodes took meanwhile is put in order")
        if self._now.since and not now.since:
            self._log.info("what the nodes took meanwhile is in order", events_of_this_node=self._merged)
            self._merged = 0
        self._now = now
        self._spooling.note_gather(now)
        self._services.metrics.gathered.set(now.waiting)

    async def _pause(self) -> None:
        if self._now.since:
            await asyncio.sleep(BUSY)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALM):
                await self._spooling.gathered.wait()
