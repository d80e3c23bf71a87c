"""Copies the stream into the mirror from which other nodes read it. Who lags, or loses the mirror, reads the database instead."""

from typing import Final

from gateway.services import Services
from storage.protocol import WHOLE
from storage.relay import relay_once

POLL_SECONDS: Final = 1.0


class RelayWorker:
    """One at a time, by lease; two at once do no harm."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self) -> None:
        """Copy until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        store, bus = self._services.store, self._services.bus
        while True:
            head = await store.view(lambda tx: tx.stream.head())
            if not await relay_once(store, bus):
                await store.wait(WHOLE, head, POLL_SECONDS)
