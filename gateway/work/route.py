"""Lets the router read the stream after its cursors, as soon as something is there: the whole of it, or the partitions this node owns."""

import contextlib
from typing import Final

import structlog

from gateway.services import Services
from routing.router import CONSUMER
from storage.errors import Superseded
from storage.protocol import WHOLE

#: Events per call of the router: a few milliseconds, for which an agent's reply may have to wait.
BATCH: Final = 64
#: On a shared database every statement is a journey, during which nobody else can append.
SHARED_BATCH: Final = 64
#: A wake-up is only a hint; without one we look this often.
POLL_SECONDS: Final = 1.0
#: So soon a partition is read that was taken over from another node.
SHARED_POLL_SECONDS: Final = 0.25


class RouteWorker:
    """One per node; the router itself decides, applies and moves its cursors."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._epochs: dict[int, int] = {}

    async def run(self) -> None:
        """Route until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        store = self._services.store
        poll = SHARED_POLL_SECONDS if store.shared else POLL_SECONDS
        while True:
            # The heads are read first: what arrives after them ends the wait below at once.
            heads = await store.view(lambda tx: tx.stream.heads())
            if not await (self._route_partitions(heads) if store.shared else self._route({WHOLE: 0})):
                await store.wait(WHOLE, max(heads.values(), default=0), poll)

    async def _route_partitions(self, heads: dict[int, int]) -> int:
        """A batch of all partitions that have something new."""
        epochs = self._services.duties.held(CONSUMER)
        for partition, epoch in epochs.items():
            if self._epochs.get(partition) != epoch:
                self._services.router.forget(partition)
        self._epochs = epochs
        return await self._route({one: epoch for one, epoch in epochs.items() if heads.get(one, 0) > self._services.router.passed(one)})

    async def _route(self, epochs: dict[int, int]) -> int:
        """What is new in all of these, in one transaction; where one of them is another node's by now, each by itself."""
        if not epochs:
            return 0
        limit = SHARED_BATCH if self._services.store.shared else BATCH
        try:
            with contextlib.ExitStack() as stack:
                for partition in epochs:
                    stack.enter_context(self._services.duties.at_work((CONSUMER, partition)))
                routed = await self._services.router.route_each(epochs, limit)
        except Superseded as error:
            if len(epochs) > 1:
                return sum([await self._route({partition: epoch}) for partition, epoch in epochs.items()])
            structlog.get_logger("route").info("left to another node", partitions=list(epochs), why=str(error))
            return 0
        self._services.metrics.routed.inc(routed)
        return routed
