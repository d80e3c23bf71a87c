"""Hands on what waits in the spool, in order, as soon as the database takes it again; and watches how full the spool is."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import structlog

from gateway.intake import Outcome, outcome_of
from gateway.services import Services
from storage.errors import SchemaError, Unavailable
from storage.record import Entry
from storage.spool import Lodged
from storage.spooling import Place, SpoolingAppender

BATCH: Final = 200
#: Seconds that the database has for a batch: more than for a single event, so that a slow one gets on at all.
PATIENCE: Final = 5.0
#: Between two tries while the database is away.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
#: How often the level is looked at while nothing waits.
LOOK_SECONDS: Final = 5.0
#: Parts of the spool from which on the log warns.
LEVELS: Final = (0.8, 0.95)
_WHY_CHARS: Final = 300


class _Away(Exception):
    """The database does not take anything now."""


class DrainWorker:
    """The only one who takes anything out of the spool."""

    def __init__(self, services: Services, spooling: SpoolingAppender) -> None:
        self._services = services
        self._spooling = spooling
        self._spool = spooling.spool
        self._log = structlog.get_logger("drain").bind(file=str(self._spool.path))
        self._warned = 0
        #: Since the spool began to fill.
        self._drained = 0
        self._away = False

    async def run(self) -> None:
        """Drain until cancelled. Raises Unavailable if the spool itself fails; then the supervisor starts it again."""
        pause = FIRST_PAUSE
        while True:
            self._watch()
            if not await self._spool.filled(LOOK_SECONDS):
                continue
            try:
                await self.drain()
                pause = FIRST_PAUSE
            except _Away as away:
                self._tell_away(str(away))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that not all nodes knock at once
                pause = min(pause * 2, LONGEST_PAUSE)

    async def drain(self) -> None:
        """Hand on one batch. What is in the database is removed here only afterwards: a crash between makes duplicates, never a loss."""
        with self._spooling.handing_over(BATCH):
            taken = await self._spool.take(BATCH)
            if not taken:
                return
            try:
                await self._together(taken)
            except _Away:
                self._spooling.note_away()
                raise
        await self._sweep()
        if not self._spool.waiting.total():
            self._log.info("the spool is drained", events=self._drained)
            self._drained, self._away = 0, False

    async def _together(self, taken: Sequence[Lodged]) -> None:
        """All at once; if that is refused, one by one, so that the one to blame does not hold up the rest."""
        entries = [one.entry for one in taken if one.entry is not None]
        if len(entries) == len(taken):
            try:
                self._keep(taken, await self._append(entries))
            except _Away:
                raise
            except Exception as error:  # noqa: BLE001 - an entry may hold anything
                self._log.warning("a batch was refused; trying its events one by one", error=type(error).__name__, events=len(taken))
            else:
                return
        for one in taken:
            await self._alone(one)

    async def _append(self, entries: Sequence[Entry]) -> Sequence[Place]:
        try:
            async with asyncio.timeout(PATIENCE):
                places = await self._spooling.hand_over(entries)
        except (Unavailable, SchemaError) as error:
            raise _Away(str(error)) from error
        except TimeoutError as error:
            raise _Away(f"no answer within {PATIENCE:.0f} s") from error
        self._services.crash.reach("drain.appended")
        self._spooling.note_back()
        return places

    def _keep(self, taken: Sequence[Lodged], places: Sequence[Place]) -> None:
        """Count them and let go of them, in one step: whoever looks sees that everything adds up."""
        for one, place in zip(taken, places, strict=True):
            assert one.entry is not None
            self._services.metrics.inbound.labels(one.channel, outcome_of(one.entry.type, place)).inc()
        self._services.metrics.spool_drained.inc(len(taken))
        self._drained += len(taken)
        self._spool.done(taken)

    async def _alone(self, one: Lodged) -> None:
        if one.entry is None:
            await self._refuse(one, "its bytes have been damaged")
            return
        try:
            self._keep([one], await self._append([one.entry]))
        except _Away:
            raise
        except Exception as error:  # noqa: BLE001 - it is kept, with the reason
            await self._refuse(one, f"{type(error).__name__}: {error}"[:_WHY_CHARS])

    async def _refuse(self, one: Lodged, why: str) -> None:
        await self._spool.refuse(one, why.encode("utf-8", "replace").decode())
        self._services.metrics.inbound.labels(one.channel, Outcome.REFUSED).inc()
        self._services.metrics.spool_refused.inc()
        self._log.error("the database refused an event; it is kept in the spool's table refused", channel=one.channel, seq=one.seq, why=why)

    async def _sweep(self) -> None:
        try:
            await self._spool.sweep()
        except Unavailable as error:
            # They are in the database; the next sweep removes them too.
            self._log.warning("what was drained cannot be removed from the spool now", error=str(error))

    def _tell_away(self, why: str) -> None:
        if not self._away:
            self._away = True
            self._log.warning("the database is away: what comes in is kept in the spool", error=why)

    def _watch(self) -> None:
        level = self._spool.level
        reached = sum(level >= mark for mark in LEVELS)
        if reached > self._warned:
            text = "the spool fills up: when it is full, providers are told to try later; bring the database back, or free some disk"
            self._log.warning(text, percent=round(level * 100), events=self._spool.waiting.total())
        self._warned = reached
