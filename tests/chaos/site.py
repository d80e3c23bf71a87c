"""What is struck: gateways as processes and the servers below them. A :class:`Site` is one way of running Sportello."""

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from gateway.work.tick import count_behind
from storage import open_store
from tests.chaos.check import Book
from tests.chaos.provider import bot_token, channel_name
from tests.chaos.proxy import ChaosProxy, chaos_proxy
from tests.support.postgres import PostgresServer
from tests.support.process import SECRET, GatewayProcess, free_port, seed_agent, write_config
from tests.support.redis import RedisServer, running_server

#: On a server of our own.
DATABASE = "postgres"
#: A restarted machine answers within this time, or the run has failed.
BACK_SECONDS = 90.0


class Site(Protocol):
    """Gateways, and what can be killed."""

    @property
    def nodes(self) -> Sequence[GatewayProcess]:
        """All gateways."""

    @property
    def token(self) -> str:
        """API token of an agent who sees everything."""

    @property
    def database(self) -> str:
        """For ``open_store`` once the gateways are stopped."""

    @property
    def kinds(self) -> Sequence[str]:
        """What :meth:`strike` knows to kill, often-named ones more often."""

    async def strike(self, kind: str, down: float) -> float:
        """kill -9, stay dead for ``down`` seconds, start again; returns the seconds from the new start to readiness."""

    async def waiting(self, session: aiohttp.ClientSession) -> float:
        """How much is not routed or not sent yet."""


class EmbeddedSite:
    """One gateway with SQLite."""

    kinds = ("gateway",)

    def __init__(self, gateway: GatewayProcess, token: str) -> None:
        self.nodes = (gateway,)
        self.token = token
        self.database = f"sqlite://{gateway.config.parent / 'data' / 'sportello.db'}"

    async def strike(self, kind: str, down: float) -> float:
        """See :class:`Site`."""
        assert kind == "gateway"
        (gateway,) = self.nodes
        return await restart(gateway, down)

    async def waiting(self, session: aiohttp.ClientSession) -> float:
        """See :class:`Site`."""
        figures = await figures_of(self.nodes[0], session)
        return figures.get("sportello_outbox_waiting", 0.0) + figures.get("sportello_route_lag_events", 0.0)


class ClusterSite:
    """Several gateways on one PostgreSQL, with a Valkey between them."""

    kinds = ("gateway", "gateway", "gateway", "postgres", "redis")

    def __init__(self, nodes: Sequence[GatewayProcess], token: str, postgres: PostgresServer, redis: RedisServer, seed: int = 1) -> None:
        self.nodes = nodes
        #: One between each node and its database, if asked for.
        self.proxies: list[ChaosProxy] = []
        self.token = token
        self.postgres = postgres
        self.redis = redis
        self.database = postgres.url(DATABASE)
        self._rng = random.Random(seed)

    async def strike(self, kind: str, down: float) -> float:
        """See :class:`Site`. A killed Valkey comes back empty."""
        loop = asyncio.get_running_loop()
        if kind == "gateway":
            return await restart(self._rng.choice(self.nodes), down)
        if kind == "postgres":
            await asyncio.to_thread(self.postgres.kill)
            await asyncio.sleep(down)
            began = loop.time()
            await asyncio.to_thread(self.postgres.start)
        else:
            assert kind == "redis"
            await self.redis.kill()
            await asyncio.sleep(down)
            began = loop.time()
            await self.redis.start()
        return loop.time() - began

    async def waiting(self, session: aiohttp.ClientSession) -> float:
        """See :class:`Site`. Asks the database: the nodes' gauges are those of whoever counted last."""
        store = await open_store(self.database)
        try:
            counts, lag = await count_behind(store)
        finally:
            await store.close()
        return float(sum(counts.values()) + lag + await spooled(self.nodes, session))


async def restart(gateway: GatewayProcess, down: float) -> float:
    """kill -9, wait, start; returns the seconds from the start to readiness."""
    await gateway.kill()
    await asyncio.sleep(down)
    began = asyncio.get_running_loop().time()
    await asyncio.wait_for(gateway.start(), BACK_SECONDS)
    return asyncio.get_running_loop().time() - began


def channels(bots: Sequence[int]) -> tuple[str, str]:
    """(address of the first bot's Telegram, configuration of the other bots), for ``write_config``."""
    more = "".join(
        f'\n[channels.{channel_name(bot)}]\nkind = "telegram"\ntoken = "{bot_token(bot)}"\nsecret_token = "{SECRET}"\n'
        f'api_base = "http://127.0.0.1:{port}"\n'
        for bot, port in enumerate(bots)
        if bot
    )
    return f"http://127.0.0.1:{bots[0]}", more


@contextlib.asynccontextmanager
async def embedded_site(folder: Path, bots: Sequence[int]) -> AsyncIterator[EmbeddedSite]:
    """One gateway below ``folder``, running, with the bots whose Telegram listens on these ports."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    port = free_port()
    gateway = GatewayProcess(write_config(folder, port, *channels(bots)), port)
    site = EmbeddedSite(gateway, await seed_agent(gateway.load()))
    try:
        await gateway.start()
        yield site
    finally:
        await _end(gateway)


@contextlib.asynccontextmanager
async def cluster_site(folder: Path, bots: Sequence[int], number: int = 2, *, proxied: bool = False) -> AsyncIterator[ClusterSite]:
    """``number`` gateways with a PostgreSQL that syncs and a Valkey, running. Skips, or fails in a CI, where one is missing.

    ``proxied``: each node reaches the database through a bad network of its own.
    """
    async with contextlib.AsyncExitStack() as stack:
        # Short: the path of a Unix socket has room for a hundred characters.
        postgres = PostgresServer(Path(tempfile.mkdtemp(prefix="chaos-pg-")), durable=True)
        stack.callback(postgres.remove)
        await asyncio.to_thread(postgres.start)
        redis = await stack.enter_async_context(running_server(folder / "redis"))
        proxies = [await stack.enter_async_context(chaos_proxy(postgres.port)) for _ in range(number if proxied else 0)]
        ports = [proxy.port for proxy in proxies] or [postgres.port] * number
        urls = [postgres.url(DATABASE).replace(f":{postgres.port}/", f":{port}/") for port in ports]
        nodes = [_node(folder / f"node{index}", f"node{index}", bots, url, redis.url) for index, url in enumerate(urls, start=1)]
        token = await seed_agent(nodes[0].load())
        for node in nodes:
            stack.push_async_callback(_end, node)
            await node.start()
        site = ClusterSite(nodes, token, postgres, redis)
        site.proxies = proxies
        yield site


def _node(folder: Path, name: str, bots: Sequence[int], database: str, bus: str) -> GatewayProcess:
    folder.mkdir(parents=True)
    port = free_port()
    address, more = channels(bots)
    more += f'\n[storage]\nurl = "{database}"\n\n[bus]\nurl = "{bus}"\n\n[node]\nid = "{name}"\n'
    return GatewayProcess(write_config(folder, port, address, more), port)


async def _end(node: GatewayProcess) -> None:
    if node.process is not None:
        await node.kill()


async def head_of(node: GatewayProcess) -> int:
    """Newest position of the stream."""
    async with aiohttp.ClientSession() as session, session.get(f"{node.url}/readyz") as answer:
        pos: int = (await answer.json())["pos"]
        return pos


async def spooled(nodes: Sequence[GatewayProcess], session: aiohttp.ClientSession) -> int:
    """Events in the spools of all nodes. Raises aiohttp.ClientError if one does not answer."""
    total = 0
    for node in nodes:
        async with session.get(f"{node.url}/readyz") as answer:
            health = await answer.json()
            # What the database keeps back is the same for all of them, and each tells it.
            total += health.get("spooled", 0) + health.get("gathered", 0)
    return total


async def books_of(site: Site, session: aiohttp.ClientSession) -> list[Book]:
    """What each node says about conservation."""
    found = []
    for node in site.nodes:
        page = await api(node, site.token, session, "/reconcile")
        for item in page["items"]:
            figures = {name: item[name] for name in ("received", "appended", "duplicates", "quarantined", "refused")}
            spooled = item.get("spooled", 0)
            # What a restarted node found in its spool it counts when it hands it on, and does not tell apart.
            unexplained = sum(figures.values()) - 2 * figures["received"] + spooled
            carried = item.get("carried", unexplained if item["balanced"] and "spooled" in item else 0)
            found.append(Book(channel=f"{item['channel']} at {node.url}", **figures, spooled=spooled, carried=carried))
    return found


async def api(node: GatewayProcess, token: str, session: aiohttp.ClientSession, path: str) -> Any:
    """One GET of the API."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{node.url}/api/v1{path}", headers=headers) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
        return await answer.json()


async def figures_of(node: GatewayProcess, session: aiohttp.ClientSession) -> Mapping[str, float]:
    """``/metrics`` of one node, summed over labels."""
    found: dict[str, float] = {}
    async with session.get(f"{node.url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
    return found
