"""What the runs with servers that go away have in common: what is running, how much of it, and what one fault did."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tests.chaos.proxy import ChaosProxy
from tests.chaos.site import ClusterSite, spooled
from tests.chaos.traffic import Reader, Shoppers

#: Without its bus a feed may be slower, but not more than this.
MOST_FEED_SECONDS: Final = 10.0
#: A backlog is routed as quickly as the machine allows; this says only that it ends.
CATCH_UP_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of what."""

    #: How long PostgreSQL is away.
    away: float
    #: Messages a second, over so many chats and connections.
    rate: float = 100.0
    chats: int = 320
    wires: int = 64
    #: Load before each fault and after it.
    calm: float = 2.0
    #: A spool is empty so soon after the database is back.
    drain: float = 30.0
    #: Longest way of a message to a feed while only Redis is away.
    feed: float = MOST_FEED_SECONDS


@dataclass(slots=True)
class Struck:
    """One fault: from when to when it held, when all was well again, and what was seen of it."""

    name: str
    began: float
    #: The fault is over.
    over: float = 0.0
    #: Everything was drained and shown.
    well: float = 0.0
    seen: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    line: str = ""


@dataclass(slots=True)
class Scene:
    """Everything that is running."""

    site: ClusterSite
    #: Between the nodes and Valkey.
    network: ChaosProxy
    session: aiohttp.ClientSession
    shoppers: Shoppers
    readers: Sequence[Reader]
    size: Size

    async def empty_spools(self) -> None:
        """Until nothing waits in any spool. Raises TimeoutError."""
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while await spooled(self.site.nodes, self.session):  # noqa: ASYNC110 - another process
                await asyncio.sleep(LOOK_SECONDS)

    async def caught_up(self) -> None:
        """Until every feed has shown all that was acknowledged before this call."""
        wanted = {post.key for post in self.shoppers.posts}
        while any(not wanted <= reader.shown.keys() for reader in self.readers):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(LOOK_SECONDS)

    async def noticed(self) -> list[str]:
        """What is degraded, as each node says."""
        found = []
        for node in self.site.nodes:
            async with self.session.get(f"{node.url}/readyz") as answer:
                found.append(str((await answer.json()).get("bus", "")))
        return found
