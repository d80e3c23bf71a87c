"""Judges how well the channels are and announces changes: one node for all, from what all nodes have written into the channels' logs.

So nodes that see different things cannot contradict each other, and a change is announced once: state and event are one transaction.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from connectors.abilities import Component
from gateway.channel_health import LOOK_AT, changed, judge
from gateway.services import Services
from routing.announce import health_event
from storage.errors import Superseded
from storage.interaction import TELLING, Health, HealthState, Interaction, LogFilter
from storage.protocol import Transaction

#: The judge's name among the duties.
CONSUMER: Final = "health"
EVERY_SECONDS: Final = 2.0
#: A node may write an entry that is older than another's; so long after a change a channel is looked at again.
_LATE: Final = timedelta(seconds=10)
#: Some words count for a time only.
_AGAIN: Final = timedelta(minutes=1)
_LEVELS: Final = {HealthState.OK: 0, HealthState.DEGRADED: 1, HealthState.DOWN: 2}


class HealthWorker:
    """One in the whole installation."""

    def __init__(self, services: Services, *, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._every = every
        self._seen: dict[str, str] = {}
        self._changed: dict[str, datetime] = {}
        self._looked: dict[str, datetime] = {}
        self._log = structlog.get_logger("health")

    async def run(self) -> None:
        """Judge until cancelled. Raises StorageError; then the supervisor starts it again."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(self._every)
        finally:
            # Another node shows it from here on.
            self._services.metrics.channel_health.clear()

    async def look(self) -> None:
        """Judge the channels of which there is news; nothing, where another node does."""
        epochs = self._services.duties.held(CONSUMER) if self._services.store.shared else {}
        if self._services.store.shared and not epochs:
            return
        now = self._services.clock()
        newest = await self._services.store.view(lambda tx: tx.channel_log.newest())
        due = []
        for channel in self._enabled():
            if newest.get(channel, "") != self._seen.get(channel, ""):
                self._seen[channel], self._changed[channel] = newest.get(channel, ""), now
            fresh = channel in self._changed and now - self._changed[channel] < _LATE
            if fresh or channel not in self._looked or now - self._looked[channel] >= _AGAIN:
                due.append(channel)
        if due:
            interactions = await self._services.store.view(lambda tx: _evidence(tx, due))
            await self._publish(interactions, now, epochs)
            self._looked |= dict.fromkeys(due, now)

    async def _publish(self, interactions: Mapping[str, list[Interaction]], now: datetime, epochs: Mapping[int, int]) -> None:
        before = await self._services.store.view(lambda tx: tx.channel_log.health())
        after = {channel: judge(before.get(channel, {}), found, now) for channel, found in interactions.items()}
        if any(health != before.get(channel) for channel, health in after.items()):
            try:
                after, news = await self._services.store.transact(lambda tx: _write(tx, interactions, now, epochs))
            except Superseded:
                return
            for channel, parts in news.items():
                self._tell(channel, after[channel], parts)
        self._show({**before, **after})

    def _tell(self, channel: str, health: Health, parts: Iterable[str]) -> None:
        for component, part in health.items():
            if component in parts:
                say = self._log.info if part.state is HealthState.OK else self._log.warning
                say("health of a channel changed", channel=channel, component=component.value, state=part.state.value, why=part.why)

    def _show(self, all_health: dict[str, Health]) -> None:
        gauge = self._services.metrics.channel_health
        for channel in self._enabled():
            for component, part in all_health.get(channel, {}).items():
                if part.state in _LEVELS:
                    gauge.labels(channel, component.value).set(_LEVELS[part.state])

    def _enabled(self) -> list[str]:
        return [channel.id for channel in self._services.channels.values() if channel.enabled]


async def _write(
    tx: Transaction, interactions: Mapping[str, list[Interaction]], now: datetime, epochs: Mapping[int, int]
) -> tuple[dict[str, Health], dict[str, list[Component]]]:
    """The health of these channels, and which components of which have changed. Raises Superseded if another node judges by now."""
    if epochs:
        await tx.stream.guard(CONSUMER, epochs)
    known = await tx.channel_log.health()
    after = {channel: judge(known.get(channel, {}), found, now) for channel, found in interactions.items()}
    news = {channel: changed(known.get(channel, {}), health) for channel, health in after.items()}
    for channel, health in after.items():
        if health != known.get(channel):
            await tx.channel_log.put_health(channel, health)
        if news[channel]:
            await tx.stream.append([health_event(channel, health, news[channel], now)])
    return after, news


async def _evidence(tx: Transaction, channels: Iterable[str]) -> dict[str, list[Interaction]]:
    found: dict[str, list[Interaction]] = {}
    for channel in channels:
        found[channel] = []
        for kind in TELLING:
            found[channel] += await tx.channel_log.page(channel, LogFilter(kind=kind), "", LOOK_AT)
    return found
