"""Lets the router read the stream after its cursor, as soon as something is there."""

from gateway.services import Services
from storage.protocol import WHOLE

#: Events per call of the router: a few milliseconds, for which an agent's reply may have to wait.
BATCH = 64
#: A wake-up is only a hint; without one we look this often.
POLL_SECONDS = 1.0


class RouteWorker:
    """One reader; the router itself decides, applies and moves its cursor."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> None:
        """Route until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        store, router, metrics = self._services.store, self._services.router, self._services.metrics
        while True:
            # The head is read first: what arrives after it ends the wait below at once.
            head = await store.view(lambda tx: tx.stream.head())
            routed = await router.route(BATCH)
            if routed:
                metrics.routed.inc(routed)
                continue
            await store.wait(WHOLE, head, POLL_SECONDS)
