"""Which agents have a feed open, on whatever node: each node tells the bus about its own every few seconds.

What is known here is never needed to be right: it may be lost at any time, and then it is unknown, which is not the same as absent.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Final

from storage.bus import Bus

#: Here now, as ``<agent>@<node>``: a node that loses an agent must not deny them on another one.
HERE: Final = "agents"
#: Was here once, as ``<agent>``.
SEEN: Final = "agents seen"
#: Seconds.
TTL: Final = 30.0
EVERY: Final = 10.0
SEEN_TTL: Final = 24 * 3600.0


class Attendance:
    """The agents on this node, and what the bus knows of those on others."""

    def __init__(self, bus: Bus, node: str, *, knows_all: bool) -> None:
        """``knows_all``: the bus reaches every node, or this is the only one."""
        self._bus = bus
        self._node = node
        self._knows_all = knows_all
        self._open: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def here(self, agent_id: str) -> AsyncIterator[None]:
        """While inside, the agent has one more feed open on this node."""
        self._open[agent_id] += 1
        try:
            if self._open[agent_id] == 1:
                await self._arrive([agent_id])
            yield
        finally:
            self._open[agent_id] -= 1
            if self._open[agent_id] <= 0:
                del self._open[agent_id]
                await self._bus.leave(HERE, self._name(agent_id))

    async def keep(self) -> None:
        """Say again and again who is here, until cancelled."""
        while True:
            await self._arrive(tuple(self._open))
            await asyncio.sleep(EVERY)

    async def present(self) -> frozenset[str] | None:
        """Ids of all agents with an open feed; None if that cannot be known now."""
        if not self._knows_all:
            return None
        found = await self._bus.present(HERE)
        return None if found is None else frozenset(member.partition("@")[0] for member in found)

    async def seen(self) -> frozenset[str] | None:
        """Those, and who was one of them within a day; None if that cannot be known now."""
        return await self._bus.present(SEEN) if self._knows_all else None

    async def _arrive(self, agents: Iterable[str]) -> None:
        for agent_id in agents:
            await self._bus.arrive(HERE, self._name(agent_id), TTL)
            await self._bus.arrive(SEEN, agent_id, SEEN_TTL)

    def _name(self, agent_id: str) -> str:
        return f"{agent_id}@{self._node}"
