"""Asks providers for what their webhooks never brought: at the start, after an outage of ours, and now and then.

What they give goes the way of a webhook, under the same keys; what came already is a duplicate and harms nobody.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final

import structlog

from connectors.abilities import InboundFinder
from connectors.contract import Request
from gateway.intake import Outcome, take_in
from gateway.services import Channel, Services
from storage.interaction import InteractionKind
from storage.record import Appended, Gathered

EVERY_SECONDS: Final = 600.0
#: After a provider that could not be asked.
AGAIN_SECONDS: Final = 60.0
#: What came in so shortly before the last look may have been on its way then; and clocks differ.
OVERLAP: Final = timedelta(minutes=10)
#: Nobody waits for an answer any longer.
LONGEST_GAP: Final = timedelta(days=7)
#: One look takes at most so many requests, and so long; the next one after a look that was cut short may take twice as much.
MOST: Final = 2_000
MOST_SECONDS: Final = 120.0
_MOST_GROWTH: Final = 32


def is_finder(channel: Channel) -> bool:
    """Can this channel's provider be asked?"""
    return channel.enabled and isinstance(channel.client, InboundFinder)


def duty_name(channel: str) -> str:
    """Of the one node that asks."""
    return f"missed {channel}"


def setting_name(channel: str) -> str:
    """Until when all is known to have come in."""
    return f"reconciled:{channel}"


class MissedWorker:
    """One channel's."""

    def __init__(self, services: Services, channel: Channel, *, most: int = MOST, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._channel = channel
        self._most = most
        self._every = every
        self._growth = 1
        self._log = structlog.get_logger("missed").bind(channel=channel.id)

    async def run(self) -> None:
        """Look until cancelled. Raises StorageError."""
        while True:
            done = await self.look()
            await asyncio.sleep(self._every if done else min(AGAIN_SECONDS, self._every))

    async def look(self) -> bool:
        """Once. True if everything there is has been seen. Raises StorageError."""
        now = self._services.clock()
        since = await self._since(now)
        if since is None:
            await self._note(now)  # a channel begins with what is written to it from now on
            return True
        began, seen, fresh, why = time.perf_counter(), 0, 0, ""
        growth = self._growth
        client = self._channel.client
        assert isinstance(client, InboundFinder)
        try:
            async with asyncio.timeout(MOST_SECONDS * growth), aclosing(_bounded(client.missed(since), self._most * growth)) as requests:
                async for request in requests:
                    if request is None:
                        why = f"more than {self._most * growth} requests"
                        break
                    seen += 1
                    fresh += await self._take(request)
        except TimeoutError:
            why = f"it took longer than {MOST_SECONDS * growth:.0f} s"
        except OSError as error:
            why = f"the provider could not be asked: {type(error).__name__}"
        else:
            if not why:
                await self._note(now)
        said = f"since {since:%Y-%m-%d %H:%M:%S}: {seen} seen, {fresh} new" + (f"; {why}" if why else "")
        result = "cut_short" if why else "ok"
        self._services.journal.asked(self._channel.id, InteractionKind.MISSED, result, time.perf_counter() - began, ok=not why, detail=said)
        if fresh or why:
            words = {"since": since.isoformat(), "seen": seen, "fresh": fresh}
            (self._log.warning if why else self._log.info)("looked for what webhooks had missed", cut_short=why, **words)
        self._growth = min(growth * 2, _MOST_GROWTH) if why and seen else 1
        return not why

    async def _take(self, request: Request) -> int:
        receipt = await take_in(self._services, self._channel, request, ours=True)
        fresh = sum(1 for place in receipt.places if isinstance(place, Appended) or place == Gathered())
        if receipt.outcome is not Outcome.DUPLICATE:
            self._services.metrics.missed.labels(self._channel.id).inc(fresh)
        return fresh

    async def _since(self, now: datetime) -> datetime | None:
        said = await self._services.store.view(lambda tx: tx.settings.get(setting_name(self._channel.id)))
        return max(datetime.fromisoformat(said) - OVERLAP, now - LONGEST_GAP) if said else None

    async def _note(self, now: datetime) -> None:
        await self._services.store.transact(lambda tx: tx.settings.put(setting_name(self._channel.id), now.isoformat()))


async def _bounded(requests: AsyncIterator[Request], most: int) -> AsyncGenerator[Request | None, None]:
    """At most so many; None says that there are more."""
    number = 0
    try:
        async for request in requests:
            if number >= most:
                yield None
                return
            number += 1
            yield request
    finally:
        if isinstance(requests, AsyncGenerator):
            await requests.aclose()
