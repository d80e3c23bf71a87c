"""Keeps an eye on the mirror: how far it is behind the database, also when nobody fills it."""

import asyncio
from typing import Final

from gateway.metrics import NodeFigures
from gateway.services import Services

EVERY_SECONDS: Final = 5.0


class LagWorker:
    """One per node: each sees the bus with its own eyes."""

    def __init__(self, services: Services, *, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._every = every

    async def run(self) -> None:
        """Look until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        services = self._services
        while True:
            mirrored = await services.bus.mirrored()
            head = await services.store.view(lambda tx: tx.stream.head())
            services.metrics.mirror_lag.set(max(0, head - mirrored))
            await asyncio.sleep(self._every)


def announce_node(services: Services) -> None:
    """Figures of this node among the others, from now on."""

    def look() -> NodeFigures:
        duties = services.duties
        return NodeFigures(duties=duties.counts(), nodes=len(duties.nodes), bus_up=not services.bus.state)

    services.metrics.watch_nodes(look)
