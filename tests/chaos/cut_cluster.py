"""A whole cluster as the victim of a power cut: two gateways with their spools, PostgreSQL and Valkey, all on the disk that is cut.

In every second cut PostgreSQL has died before, so that what is acknowledged lies in the spools alone; and Valkey has what it had written
by then, which may be anything, also a file that it refuses to read.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from storage import open_store
from tests.chaos.check import name_question
from tests.chaos.history import announced, lines_of
from tests.chaos.provider import Wire, chat_id, update
from tests.chaos.site import DATABASE, ClusterSite, spooled
from tests.support.postgres import PostgresServer
from tests.support.process import GatewayProcess, free_port, seed_agent, write_config
from tests.support.redis import RedisServer, program

CHATS: Final = 40
CONNECTIONS: Final = 4
_NOBODY: Final = "http://127.0.0.1:9"
_RECOVERY_SECONDS: Final = 60.0
#: Its file is written at once and synced once a second: after a cut it is behind.
_VALKEY: Final = ("--appendonly", "yes", "--appendfsync", "everysec")

#: ``sportello`` with a spool that leaves its syncs to the checkpoints. It must be caught.
UNSAFE: Final = """
from storage import spool_file
safe = spool_file.make_durable

def make_lazy(writer):
    safe(writer)
    writer.run("PRAGMA synchronous = NORMAL")

spool_file.make_durable = make_lazy
from gateway.__main__ import main
raise SystemExit(main())
"""


@dataclass(slots=True)
class ClusterVictim:
    """Under load."""

    nodes: Sequence[GatewayProcess]
    postgres: PostgresServer
    valkey: RedisServer
    taken: set[str] = field(default_factory=set)

    def pids(self) -> Collection[int]:
        """See :class:`tests.chaos.powercut.Victim`. The gateways first: nothing may be acknowledged after the cut."""
        nodes = [node.process.pid for node in self.nodes if node.process is not None]
        assert self.valkey.process is not None
        server = self.postgres._process
        return [*nodes, *([server.pid, *self.postgres._children()] if server is not None else []), self.valkey.process.pid]

    async def acknowledged(self) -> set[str]:
        """What was answered 200 so far; an answer that the kernel still carries counts too."""
        await asyncio.sleep(0.05)
        return set(self.taken)

    async def shop(self, index: int) -> None:
        """One connection's chats, at one node, each message after the other and again until it is taken, until cancelled."""
        node = self.nodes[index % len(self.nodes)]
        wire = Wire((f"127.0.0.1:{node.port}",), 0)
        try:
            for number in itertools.count(1):
                for one in range(index, CHATS, CONNECTIONS):
                    chat = chat_id(one, 1)
                    while await wire.post("/webhooks/shop", update(chat, number)) != 200:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.02)
                    self.taken.add(name_question(chat, number))
        finally:
            wire.leave()


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """``program`` is what Python runs; ``away``: is the database dead at the cut? One after the other, again and again."""

    name: str = "cluster"
    program: tuple[str, ...] = ("-m", "gateway")
    away: Iterator[bool] = field(default_factory=lambda: itertools.cycle([False, True]))

    @contextlib.asynccontextmanager
    async def writing(self, folder: Path) -> AsyncIterator[ClusterVictim]:
        """See :class:`tests.chaos.powercut.Target`."""
        async with contextlib.AsyncExitStack() as stack:
            postgres, valkey = await _servers(stack, folder)
            nodes = _nodes(folder, postgres, valkey, self.program)
            await seed_agent(nodes[0].load())
            for node in nodes:
                stack.push_async_callback(_end, node)
                await node.start()
            # An operator's machine has been running for long.
            await asyncio.to_thread(_sync, folder)
            victim = ClusterVictim(nodes, postgres, valkey)
            shoppers = [asyncio.create_task(victim.shop(index)) for index in range(CONNECTIONS)]
            stack.push_async_callback(_cancel, shoppers)
            if next(self.away):
                await asyncio.sleep(0.3)
                await asyncio.to_thread(postgres.kill)
                before = len(victim.taken)
                async with asyncio.timeout(15):
                    while len(victim.taken) < before + CHATS:  # noqa: ASYNC110 - other processes
                        await asyncio.sleep(0.02)
            yield victim

    async def recover(self, folder: Path) -> set[str]:
        """Start all of it on what is left, let it drain and route; the histories. Raises AssertionError if they are not in order."""
        # It names a process of before the cut; after a real one none of those lives.
        await asyncio.to_thread((folder / "pg" / "data" / "postmaster.pid").unlink, missing_ok=True)
        async with contextlib.AsyncExitStack() as stack:
            postgres, valkey = await _servers(stack, folder)
            nodes = _nodes(folder, postgres, valkey, ("-m", "gateway"))
            for node in nodes:
                stack.push_async_callback(_end, node)
                await node.start()
            await _all_routed(ClusterSite(nodes, "", postgres, valkey))
            for node in nodes:
                assert await node.stop() == 0, node.said()
            store = await open_store(postgres.url(DATABASE))
            try:
                complaints = await store.check()
                assert not complaints, complaints
                await announced(store)
                lines = await lines_of(store)
            finally:
                await store.close()
        numbers: dict[int, list[int]] = {}
        for line in sorted(lines, key=lambda line: line.pos):
            numbers.setdefault(line.chat, []).append(line.number)
        for chat, found in numbers.items():
            assert found == sorted(set(found)), f"chat {chat} is out of order, or has a message twice"
        return {name_question(line.chat, line.number) for line in lines}


async def _servers(stack: contextlib.AsyncExitStack, folder: Path) -> tuple[PostgresServer, RedisServer]:
    postgres = PostgresServer(folder / "pg", durable=True)
    stack.callback(postgres.kill)
    await asyncio.to_thread(postgres.start)
    valkey = RedisServer(program("valkey"), folder / "valkey", options=_VALKEY)
    stack.push_async_callback(valkey.kill)
    try:
        await valkey.start()
    except AssertionError:
        # Its file is torn, and it will not read it. Nothing is in it that is not in the database: an operator throws it away.
        if "Bad file format" not in valkey.said():
            raise
        await asyncio.to_thread(shutil.rmtree, folder / "valkey" / "appendonlydir")
        await valkey.start()
    return postgres, valkey


def _nodes(folder: Path, postgres: PostgresServer, valkey: RedisServer, program_: tuple[str, ...]) -> list[GatewayProcess]:
    """On what is there of them."""
    found = []
    for name in ("node1", "node2"):
        place, port = folder / name, free_port()
        place.mkdir(exist_ok=True)
        more = f'\n[storage]\nurl = "{postgres.url(DATABASE)}"\n\n[bus]\nurl = "{valkey.url}"\n\n[node]\nid = "{name}"\n'
        # The disk is small, and in memory.
        more += "\n[spool]\nmin_free_percent = 1\n"
        found.append(GatewayProcess(write_config(place, port, _NOBODY, more), port, program=program_))
    return found


async def _all_routed(site: ClusterSite) -> None:
    """Until nothing is in a spool and the router has read everything."""
    async with asyncio.timeout(_RECOVERY_SECONDS), aiohttp.ClientSession() as session:
        while await spooled(site.nodes, session) or await site.waiting(session):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)


def _sync(folder: Path) -> None:
    subprocess.run(["sync", "-f", folder], check=True, timeout=60)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end(node: GatewayProcess) -> None:
    if node.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(node.process.pid, signal.SIGKILL)
        await node.process.wait()


SAFE: Final = ClusterTarget()
CONTROL: Final = ClusterTarget("cluster, a spool with synchronous=NORMAL", ("-c", UNSAFE), itertools.repeat(object=True))
