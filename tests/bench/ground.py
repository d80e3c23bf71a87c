"""What the parts stand on: servers, gateways as processes, floors, and the load from a process of its own."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import aiohttp

from connectors.telegram.simulator import create_simulator_app
from tests.bench.figures import Figure
from tests.support.postgres import PostgresServer, driver_url, fresh_database
from tests.support.process import ROOT, SECRET, TOKEN, GatewayProcess, free_port, seed_agent, write_config
from tests.support.redis import RedisServer, running_server
from tests.support.serving import serving

_LOAD_SECONDS: Final = 300.0
#: As somebody who has more than a test's machine would have it.
_POSTGRES: Final = {"shared_buffers": "128MB", "max_wal_size": "1GB"}


#: Shoppers, of whom each has written once when it begins.
WARM_UP: Final = 200
CHATS: Final = ("--chats", str(WARM_UP))


class Engine(StrEnum):
    """Where the gateway keeps everything."""

    EMBEDDED = "SQLite"
    CLUSTER = "PostgreSQL"


ENGINES: Final = tuple(Engine)


class BenchFailed(Exception):
    """A run did not do what it was to do, so that its figures say nothing."""


@dataclass(frozen=True, slots=True)
class Floor:
    """A bare server."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Site:
    """Gateways on one database, and an agent's token. ``nodes[0]`` has the web server."""

    nodes: Sequence[GatewayProcess]
    token: str
    #: For ``open_store``.
    database: str
    #: Seconds from the start of the first one to its first answer.
    started_in: float

    @property
    def edge(self) -> GatewayProcess:
        return self.nodes[0]


@dataclass
class Ground:
    """Servers are started when the first part asks for them, and shared: what differs is the database."""

    folder: Path
    session: aiohttp.ClientSession
    stack: contextlib.AsyncExitStack
    long: bool
    pairs: int
    figures: list[Figure] = field(default_factory=list)
    telegram: str = ""
    _postgres: PostgresServer | None = None
    _redis: RedisServer | None = None
    _first: int = 0
    _sites: int = 0

    def pairs_on(self, engine: Engine) -> int:
        """A cluster takes longer for everything."""
        return self.pairs if self.long or engine is Engine.EMBEDDED else min(self.pairs, 3)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        progress("  " + "  ".join(figure.cells()[:4]))

    async def postgres(self) -> PostgresServer:
        """One that syncs."""
        if self._postgres is None:
            # Short: the path of a Unix socket has room for a hundred characters.
            server = PostgresServer(Path(tempfile.mkdtemp(prefix="bench-pg-")), durable=True, settings=_POSTGRES)
            self.stack.callback(server.remove)
            await asyncio.to_thread(server.start)
            self._postgres = server
        return self._postgres

    async def redis(self) -> RedisServer:
        if self._redis is None:
            self._redis = await self.stack.enter_async_context(running_server(self.folder / "redis"))
        return self._redis

    async def bus(self) -> str:
        """URL of a bus that no other site hears."""
        self._sites += 1
        return f"{(await self.redis()).url}/0?prefix=bench{self._sites}"

    @asynccontextmanager
    async def floor(self, engine: Engine) -> AsyncIterator[Floor]:
        """The bare server on this engine."""
        async with contextlib.AsyncExitStack() as stack:
            if engine is Engine.EMBEDDED:
                database = str(Path(tempfile.mkdtemp(dir=self.folder)) / "floor.db")
            else:
                database = driver_url(await stack.enter_async_context(fresh_database(await self.postgres(), empty=True)))
            port = free_port()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.floor", "--port", str(port), "--secret", SECRET, "--database", database,
                cwd=ROOT, env=dict(os.environ),
            )  # fmt: skip
            try:
                await self._answers(port)
                yield Floor(port, process.pid)
            finally:
                process.kill()
                await process.wait()

    async def _answers(self, port: int) -> None:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with self.session.get(f"http://127.0.0.1:{port}/"):
                        return
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def site(self, engine: Engine, *nodes: str, extra: str = "") -> AsyncIterator[Site]:
        """A gateway for each of ``nodes``, which is its ``[node]`` section (none: one with all roles), on a new database."""
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            if engine is Engine.EMBEDDED:
                database, more = f"sqlite://{folder}/0/data/sportello.db", ""
            else:
                database = await stack.enter_async_context(fresh_database(await self.postgres()))
                more = f'[storage]\nurl = "{database}"\n\n[bus]\nurl = "{await self.bus()}"\n'
            found = []
            for index, section in enumerate(nodes or ("",)):
                place, port = folder / str(index), free_port()
                place.mkdir()
                text = f'{extra}\n{more}\n[node]\nid = "node{index}"\n{section}\n'
                found.append(GatewayProcess(write_config(place, port, self.telegram, text), port))
            token = await seed_agent(found[0].load())
            took = []
            for gateway in found:
                stack.push_async_callback(_end, gateway)
                begun = time.perf_counter()
                await gateway.start()
                took.append(time.perf_counter() - begun)
            yield Site(found, token, database, took[0])

    async def load(self, mode: str, port: int, *more: str, numbers: int = 1_000_000) -> dict[str, Any]:
        """One run of the load in a process of its own, which has ``numbers`` new messages for itself."""
        first, self._first = self._first, self._first + numbers
        arguments = [mode, "--port", str(port), "--secret", SECRET, "--first", str(first), *more]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.load", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )  # fmt: skip
        try:
            out, _ = await asyncio.wait_for(process.communicate(), _LOAD_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise BenchFailed(f"the load ({mode}) failed with status {process.returncode}")
        result: dict[str, Any] = json.loads(out)
        if result.get("bad"):
            raise BenchFailed(f"{result['bad']} requests were not answered 200")
        return result

    async def warm_up(self, floor: Floor, *sites: Site) -> None:
        """Every shopper writes once: the figures are about conversations under way, not about the first word of each."""
        await self.load("closed", floor.port, "--seconds", "1")
        for site in sites:
            await self.load("sustained", site.edge.port, "--token", site.token, "--count", str(WARM_UP), *CHATS)


async def _end(gateway: GatewayProcess) -> None:
    if gateway.process is not None:
        # In order: with several processes there is a parent, and its children have to go too.
        try:
            await gateway.stop()
        except TimeoutError:
            await gateway.kill()


@asynccontextmanager
async def ground(*, long: bool, pairs: int) -> AsyncIterator[Ground]:
    """An empty one, and everything gone afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()))
        found = Ground(folder, session, stack, long, pairs)
        found.telegram = await stack.enter_async_context(serving(create_simulator_app(token=TOKEN, rate_limits=False)))
        yield found


def say(text: str) -> None:
    """Part of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """For who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
