"""Asks providers now and then whether our credentials and set-up are still right; changes nothing there."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from connectors.abilities import Component, Finding, Prober
from connectors.contract import Client
from gateway.services import Channel, Services
from storage.interaction import HealthState, InteractionKind, LogFilter
from storage.protocol import Transaction

#: Each channel is probed so often, and sooner while its credentials are refused.
EVERY: Final = timedelta(minutes=15)
EVERY_WHILE_REFUSED: Final = timedelta(minutes=1)
#: After taking over: a gateway that is restarted again and again must not bother the providers.
FIRST_AFTER_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
PROBE_SECONDS: Final = 30.0


async def probe(client: Client, webhook_url: str, seconds: float = PROBE_SECONDS) -> tuple[Sequence[Finding], str]:
    """What a probe finds, and else why there was none. Never raises."""
    if not isinstance(client, Prober):
        return (), "its connector has no probe"
    try:
        async with asyncio.timeout(seconds):
            return await client.probe(webhook_url), ""
    except TimeoutError:
        return (), f"the provider did not answer within {seconds:g} s"
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what a probe is there to tell
        return (), f"the probe failed: {type(error).__name__}"


def webhook_of(services: Services, channel: Channel) -> str:
    """Where the provider should deliver."""
    return f"{services.config.public_url}/webhooks/{channel.id}"


def is_probed(channel: Channel) -> bool:
    """Can there be anything to find?"""
    return channel.enabled and isinstance(channel.client, Prober)


class ProbeWorker:
    """One in the whole installation; each probe is an entry in its channel's log, and health is judged from there."""

    def __init__(self, services: Services, *, first_after: float = FIRST_AFTER_SECONDS, look: float = LOOK_SECONDS) -> None:
        self._services = services
        self._first_after = first_after
        self._look = look
        self._last: dict[str, datetime] = {}

    async def run(self) -> None:
        """Probe until cancelled. Raises StorageError; then the supervisor starts it again."""
        await asyncio.sleep(self._first_after)
        channels = [channel for channel in self._services.channels.values() if is_probed(channel)]
        self._last = await self._services.store.view(lambda tx: _last_probes(tx, channels))
        while True:
            refused = await self._services.store.view(_refused)
            now = self._services.clock()
            due = [channel for channel in channels if self._is_due(channel.id, now, refused=channel.id in refused)]
            await asyncio.gather(*(self.probe(channel) for channel in due))
            await asyncio.sleep(self._look)

    async def probe(self, channel: Channel) -> Sequence[Finding]:
        """Probe one channel now."""
        self._last[channel.id] = self._services.clock()
        began = time.perf_counter()
        findings, error = await probe(channel.client, webhook_of(self._services, channel))
        self._services.journal.probed(channel.id, findings, time.perf_counter() - began, error)
        bad = [self._services.journal.hidden(channel.id, finding.detail) for finding in findings if not finding.ok]
        if bad or error:
            structlog.get_logger("probe").warning("a channel is not as it should be", channel=channel.id, found=bad or [error])
        return findings

    def _is_due(self, channel: str, now: datetime, *, refused: bool) -> bool:
        last = self._last.get(channel)
        return last is None or now - last >= (EVERY_WHILE_REFUSED if refused else EVERY)


async def _last_probes(tx: Transaction, channels: Sequence[Channel]) -> dict[str, datetime]:
    found = {}
    for channel in channels:
        newest = await tx.channel_log.page(channel.id, LogFilter(kind=InteractionKind.PROBE), "", 1)
        if newest:
            found[channel.id] = newest[0].at
    return found


async def _refused(tx: Transaction) -> set[str]:
    health = await tx.channel_log.health()
    return {
        channel
        for channel, components in health.items()
        if Component.AUTH in components and components[Component.AUTH].state is HealthState.DOWN
    }
