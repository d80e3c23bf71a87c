"""Runs the clients that fetch instead of being called (long polls, mailboxes); what they bring goes the way of a webhook."""

import asyncio
from typing import Final

import structlog

from connectors.abilities import Receiver
from connectors.contract import Request
from gateway.intake import Outcome, Receipt, acknowledge, take_in
from gateway.services import Channel, Services
from storage.errors import StorageError

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0


def is_receiver(channel: Channel) -> bool:
    """Does this channel fetch? A connector that can do both ways says which by its setting ``mode``: ``poll`` or ``webhook``."""
    return channel.enabled and isinstance(channel.client, Receiver) and getattr(channel.settings, "mode", "poll") == "poll"


class ListenWorker:
    """One channel's receiver. The provider is told to forget a request only after it is durable here."""

    def __init__(self, services: Services, channel: Channel) -> None:
        self._services = services
        self._channel = channel
        self._log = structlog.get_logger("listen").bind(channel=channel.id)

    async def run(self) -> None:
        """Receive until cancelled. Raises whatever the client raises; then the supervisor starts it again."""
        client = self._channel.client
        if not isinstance(client, Receiver):
            raise TypeError(f"the client of channel {self._channel.id!r} cannot receive")
        try:
            await self._receive(client)
        except Exception as error:
            detail = f"the receiver failed: {type(error).__name__}"
            self._services.journal.reported(self._channel.id, "receiver", ok=False, detail=detail)
            raise

    async def _receive(self, client: Receiver) -> None:
        async for request in client.receive():
            receipt = await self._keep(request)
            if receipt.outcome is Outcome.REFUSED:
                self._log.error("our own receiver's request was refused; check the channel's settings")
            await acknowledge(receipt)

    async def _keep(self, request: Request) -> Receipt:
        """Append until it is durable: going on without would lose the request."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await take_in(self._services, self._channel, request)
            except StorageError as error:
                self._log.warning("cannot store what was received; trying again", error=str(error), pause=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
