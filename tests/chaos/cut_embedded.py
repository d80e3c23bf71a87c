"""The embedded gateway as the victim of a power cut: a whole ``sportello serve``, webhooks that come in, and the same after the cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from storage import open_store
from tests.chaos.check import name_question
from tests.chaos.history import announced, lines_of
from tests.chaos.provider import Wire, chat_id, update
from tests.chaos.site import figures_of
from tests.support.process import GatewayProcess, free_port, seed_agent, write_config

CHATS = 40
CONNECTIONS = 4
_NOBODY = "http://127.0.0.1:9"

#: ``sportello`` with the database's syncs left to the checkpoints: what many call good enough. It must be caught.
UNSAFE = """
import storage.sqlite
from storage.sqlite import connection

def make_lazy(writer):
    connection.make_durable(writer)
    writer.run("PRAGMA synchronous = NORMAL")

storage.sqlite.make_durable = make_lazy
from gateway.__main__ import main
raise SystemExit(main())
"""


@dataclass(slots=True)
class GatewayVictim:
    """A gateway under load."""

    gateway: GatewayProcess
    taken: set[str] = field(default_factory=set)

    def pids(self) -> Collection[int]:
        """See :class:`tests.chaos.powercut.Victim`."""
        assert self.gateway.process is not None
        return [self.gateway.process.pid]

    async def acknowledged(self) -> set[str]:
        """What was answered 200 so far; an answer that the kernel still carries counts too."""
        await asyncio.sleep(0.05)
        return set(self.taken)

    async def shop(self, index: int) -> None:
        """One connection's chats, each message after the other, until cancelled."""
        wire = Wire((f"127.0.0.1:{self.gateway.port}",), 0)
        number = 0
        try:
            while True:
                number += 1
                for one in range(index, CHATS, CONNECTIONS):
                    chat = chat_id(one, 1)
                    if await wire.post("/webhooks/shop", update(chat, number)) == 200:
                        self.taken.add(name_question(chat, number))
        finally:
            wire.leave()


@dataclass(frozen=True, slots=True)
class EmbeddedTarget:
    """``sportello serve`` on SQLite; ``program`` is what Python runs."""

    name: str = "embedded"
    program: tuple[str, ...] = ("-m", "gateway")

    @contextlib.asynccontextmanager
    async def writing(self, folder: Path) -> AsyncIterator[GatewayVictim]:
        """See :class:`tests.chaos.powercut.Target`."""
        gateway = _gateway(folder, self.program)
        await seed_agent(gateway.load())
        await gateway.start()
        victim = GatewayVictim(gateway)
        shoppers = [asyncio.create_task(victim.shop(index)) for index in range(CONNECTIONS)]
        try:
            yield victim
        finally:
            for shopper in shoppers:
                shopper.cancel()
            await asyncio.gather(*shoppers, return_exceptions=True)
            await gateway.kill()

    async def recover(self, folder: Path) -> set[str]:
        """Start it on what is left, let it route, stop it; the histories. Raises AssertionError if they are not in order."""
        gateway = _gateway(folder, ("-m", "gateway"))
        await gateway.start()
        try:
            await _routed(gateway)
            assert await gateway.stop() == 0, gateway.said()
        finally:
            await gateway.kill()
        store = await open_store(f"sqlite://{folder / 'data' / 'sportello.db'}")
        try:
            complaints = await store.check()
            assert not complaints, complaints
            await announced(store)
            lines = await lines_of(store)
        finally:
            await store.close()
        found = [name_question(line.chat, line.number) for line in lines]
        assert len(found) == len(set(found)), "a message is in the history twice"
        return set(found)


SAFE = EmbeddedTarget()
CONTROL = EmbeddedTarget("embedded, synchronous=NORMAL", ("-c", UNSAFE))


def _gateway(folder: Path, program: tuple[str, ...]) -> GatewayProcess:
    port = free_port()
    return GatewayProcess(write_config(folder, port, _NOBODY), port, program=program)


async def _routed(gateway: GatewayProcess) -> None:
    """Until the router has read everything: the gauge is written by the clock's worker, so it must be seen at zero twice."""
    zeros = 0
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while zeros < 3:
            figures = await figures_of(gateway, session)
            zeros = zeros + 1 if not figures.get("sportello_route_lag_events", 1.0) else 0
            await asyncio.sleep(0.2)
