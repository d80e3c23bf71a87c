"""The gateway's clock: wakes snoozed conversations, expires old replies, forgets what is over, refreshes gauges."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from gateway.services import Services
from gateway.work.actor import GATEWAY, command_id
from routing.command import ExpireReplies, Wake
from routing.router import CONSUMER
from storage.protocol import WHOLE, Store, Transaction

EVERY_SECONDS: Final = 1.0
GAUGES_EVERY: Final = 5
CLEAN_EVERY: Final = 3600
PRUNE_EVERY: Final = 10
#: The API promises that a key counts for at least so long.
KEEP_KEYS: Final = timedelta(days=7)
#: Sessions, tokens, links and tickets are kept so long after their end.
KEEP_ENDED: Final = timedelta(days=7)
#: An event about a message that has not come within this time is about one that never will, for instance one older than the installation.
KEEP_PARKED: Final = timedelta(days=7)
#: No limit looks further back.
KEEP_TALLIES: Final = timedelta(days=2)


class TickWorker:
    """Everything that happens because time passes."""

    def __init__(self, services: Services, *, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._every = every

    async def run(self) -> None:
        """Tick until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        count = 0
        try:
            while True:
                await self.tick()
                if count % GAUGES_EVERY == 0:
                    await self.refresh_gauges()
                if count % PRUNE_EVERY == 0:
                    await self._services.journal.prune()
                if count % CLEAN_EVERY == 0:
                    await self.clean()
                count += 1
                await asyncio.sleep(self._every)
        finally:
            # Another node may count from here on; an old figure would be added to its own.
            self._services.metrics.route_lag.set(0)
            self._services.metrics.outbox_waiting.clear()

    async def tick(self) -> None:
        """What is due now."""
        now = self._services.clock()
        # First what was promised to end: nothing that goes wrong with the rest may hold it up.
        await self._services.router.handle(ExpireReplies(id=command_id(now), actor=GATEWAY))
        await self._services.router.handle(Wake(id=command_id(now), actor=GATEWAY))

    async def refresh_gauges(self) -> None:
        """Figures that are cheaper to count than to keep."""
        counts, lag = await count_behind(self._services.store)
        self._services.metrics.route_lag.set(lag)
        for channel in {*counts, *self._services.channels}:
            self._services.metrics.outbox_waiting.labels(channel).set(counts.get(channel, 0))

    async def clean(self) -> None:
        """Forget what we promised to keep long enough."""
        now = self._services.clock()

        async def work(tx: Transaction) -> dict[str, int]:
            return {
                "keys": await tx.requests.forget(now - KEEP_KEYS),
                "parked": await tx.messages.forget_parked(now - KEEP_PARKED),
                "credentials": await tx.agents.forget_credentials(now - KEEP_ENDED),
                "tallies": await tx.tallies.forget(now - KEEP_TALLIES),
            }

        forgotten = await self._services.store.transact(work)
        if any(forgotten.values()):
            structlog.get_logger("tick").info("forgotten, because their time is over", **forgotten)


async def count_behind(store: Store) -> tuple[dict[str, int], int]:
    """Replies waiting per channel, and how many positions the router is behind where it is furthest behind."""

    async def work(tx: Transaction) -> tuple[dict[str, int], int]:
        heads = await tx.stream.heads() if store.shared else {WHOLE: await tx.stream.head()}
        lags = [head - await tx.stream.cursor(CONSUMER, partition) for partition, head in heads.items()]
        return await tx.outbox.waiting_count(), max(lags, default=0)

    return await store.view(work)
