"""Sets agents offline whose inbox has been closed for a while, so that no shopper is given to a closed laptop.

Only those are touched whose inbox was seen open before: a bot, or a program that answers without a feed, never is. Conversations that
an agent has already stay with them.
"""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import structlog
from msgspec import Struct

from gateway.services import Services
from gateway.work.actor import GATEWAY, command_id
from routing.command import SetPresence
from storage.record import Agent, Presence, Role

EVERY_SECONDS: Final = 5.0


class Absences(Struct, frozen=True):
    """Who is online without an open inbox, since when (seconds of the caller's clock), and who of them has been for too long."""

    since: Mapping[str, float]
    too_long: tuple[str, ...] = ()


NOBODY: Final = Absences({})


def judge(
    before: Absences, online: AbstractSet[str], seen: AbstractSet[str] | None, present: AbstractSet[str] | None, now: float, after: float
) -> Absences:
    """What is known now. Unknown presence (None) forgets everything: who is absent has to be seen absent without a break."""
    if seen is None or present is None or after <= 0:
        return NOBODY
    since = {agent: before.since.get(agent, now) for agent in sorted((online & seen) - present)}
    return Absences(since, tuple(agent for agent, began in since.items() if now - began >= after))


class AwayWorker:
    """One at a time, by the lease of the clock. A new one begins to count anew."""

    def __init__(self, services: Services, *, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._every = every
        self._absences = NOBODY

    async def run(self) -> None:
        """Look until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        self._absences = NOBODY
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """One look at everybody."""
        services = self._services
        # The bus first: who comes while the database is read is found online, and present the next time.
        seen, present = await services.attendance.seen(), await services.attendance.present()
        agents = await services.store.view(lambda tx: tx.agents.all())
        online = {agent.id for agent in agents if _counts(agent)}
        now = asyncio.get_running_loop().time()
        self._absences = judge(self._absences, online, seen, present, now, services.config.routing.away_after)
        for agent_id in self._absences.too_long:
            command = SetPresence(id=command_id(services.clock()), actor=GATEWAY, agent_id=agent_id, presence=Presence.OFFLINE)
            await services.router.handle(command)
            structlog.get_logger("away").info("set offline: their inbox is closed", agent=agent_id)


def _counts(agent: Agent) -> bool:
    return agent.presence is Presence.ONLINE and agent.role is not Role.BOT and not agent.disabled
