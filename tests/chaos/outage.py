"""The servers below two nodes go away, one after the other, while shoppers write and agents watch.

PostgreSQL is stopped for a while, or killed; Valkey is emptied, killed, or cut off by a network that swallows everything and never says so.
Meanwhile every provider must hear 2xx, and in the end the history has each message once and the feeds have shown all of it.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp

from storage import open_store
from tests.chaos import provider
from tests.chaos.check import Book, Evidence, FeedLog, Line, Verdict, judge, lost_messages, twice_in_history
from tests.chaos.history import announced, feed_log, lines_of
from tests.chaos.proxy import ChaosProxy, Weather, chaos_proxy
from tests.chaos.site import DATABASE, ClusterSite, books_of, channels, head_of, spooled
from tests.chaos.storm import QUIET_SECONDS
from tests.chaos.traffic import Post, Reader, Shoppers
from tests.support.postgres import PostgresServer
from tests.support.process import GatewayProcess, free_port, seed_agent, write_config
from tests.support.redis import running_server

#: A spool is empty so soon after the database is back.
MOST_DRAIN_SECONDS: Final = 30.0
#: Without its bus a feed may be slower, but not more than this.
MOST_FEED_SECONDS: Final = 10.0
#: A backlog is routed as quickly as the machine allows; this says only that it ends.
_CATCH_UP_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 0.05
_CUT_OFF_SECONDS: Final = 5.0
_DEAD_SECONDS: Final = 2.0


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
    #: Longest way of a message to a feed while only Redis is away.
    feed: float = MOST_FEED_SECONDS


SHORT: Final = Size(away=8.0)
LONG: Final = Size(away=120.0)
#: Inside ``make test``, beside other tests.
TEST: Final = Size(away=8.0, rate=60.0, chats=96, calm=1.0, feed=60.0)


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
        async with asyncio.timeout(_CATCH_UP_SECONDS):
            while await spooled(self.site.nodes, self.session):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_LOOK_SECONDS)

    async def caught_up(self) -> None:
        """Until every feed has shown all that was acknowledged before this call."""
        wanted = {post.key for post in self.shoppers.posts}
        while any(not wanted <= reader.shown.keys() for reader in self.readers):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(_LOOK_SECONDS)

    async def noticed(self) -> list[str]:
        """What is degraded, as each node says."""
        found = []
        for node in self.site.nodes:
            async with self.session.get(f"{node.url}/readyz") as answer:
                found.append(str((await answer.json()).get("bus", "")))
        return found


# --- the faults ----------------------------------------------------------------------------------------------------------


async def _postgres_stopped(scene: Scene, struck: Struck) -> None:
    await asyncio.to_thread(scene.site.postgres.stop)
    await asyncio.sleep(scene.size.away)
    kept = await spooled(scene.site.nodes, scene.session)
    if not kept:
        struck.violations.append("the database was away, and nothing was spooled: this harness sees too little")
    await _postgres_back(scene, struck, kept)


async def _postgres_killed(scene: Scene, struck: Struck) -> None:
    await asyncio.to_thread(scene.site.postgres.kill)
    await _postgres_back(scene, struck, await spooled(scene.site.nodes, scene.session))


async def _postgres_back(scene: Scene, struck: Struck, kept: int) -> None:
    await asyncio.to_thread(scene.site.postgres.start)
    struck.over = monotonic()
    await scene.empty_spools()
    drained = monotonic() - struck.over
    struck.seen.append(f"spooled {kept}, drained in {drained:.1f} s")
    if drained > MOST_DRAIN_SECONDS:
        struck.violations.append(f"the spools were empty {drained:.1f} s after the database was back")


async def _redis_emptied(scene: Scene, struck: Struck) -> None:
    await scene.site.redis.flush()
    struck.over = monotonic()


async def _redis_killed(scene: Scene, struck: Struck) -> None:
    await scene.site.redis.kill()
    await asyncio.sleep(_DEAD_SECONDS)
    await scene.site.redis.start()
    struck.over = monotonic()


async def _redis_cut_off(scene: Scene, struck: Struck) -> None:
    """Half-open: whoever was connected, or connects now, hears nothing for ever; later connections work."""
    scene.network.suffer(deaf=True)
    await asyncio.sleep(_CUT_OFF_SECONDS)
    states = await scene.noticed()
    for link in scene.network.links:
        link.suffer(deaf=True)
    scene.network.weather = Weather()
    struck.over = monotonic()
    struck.violations += [f"node {index} did not notice that Valkey is cut off" for index, state in enumerate(states, 1) if not state]


FAULTS: Final[dict[str, Callable[[Scene, Struck], Awaitable[None]]]] = {
    "PostgreSQL stopped": _postgres_stopped,
    "PostgreSQL killed": _postgres_killed,
    "Valkey emptied": _redis_emptied,
    "Valkey killed": _redis_killed,
    "Valkey cut off": _redis_cut_off,
}
POSTGRES: Final = tuple(name for name in FAULTS if name.startswith("PostgreSQL"))
REDIS: Final = tuple(name for name in FAULTS if name.startswith("Valkey"))


# --- a run ---------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What came of them."""

    struck: list[Struck]
    verdict: Verdict

    @property
    def lines(self) -> list[str]:
        """The figures: one line for each fault, and one for all."""
        return [*(one.line for one in self.struck), f"all: {self.verdict.line()}"]

    @property
    def violations(self) -> list[str]:
        return [*(f"{one.name}: {text}" for one in self.struck for text in one.violations), *self.verdict.violations]


async def outages(size: Size, seed: int, progress: Callable[[str], None], faults: Collection[str] = tuple(FAULTS)) -> Outcome:
    """Strike with each of ``faults``, one after the other, and judge."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        port = free_port()
        await stack.enter_async_context(telegrams_of(folder, port, size))
        site, network = await stack.enter_async_context(_site(folder / "site", port))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))
        after = await head_of(site.nodes[0])
        shoppers = Shoppers(site.nodes, size.rate, size.chats, size.wires, seed)
        readers = [Reader(node, site.token, session, after) for node in site.nodes]
        scene = Scene(site, network, session, shoppers, readers, size)
        reading = [asyncio.create_task(reader.read()) for reader in readers]
        writing = asyncio.create_task(shoppers.write())
        try:
            struck = [await _strike(scene, name, progress) for name in faults]
            shoppers.stop()
            await writing
            await _quiet(scene)
            books = await books_of(site, session)
        finally:
            for task in (writing, *reading):
                task.cancel()
            await asyncio.gather(writing, *reading, return_exceptions=True)
        for node in site.nodes:
            if await node.stop():
                raise RuntimeError(f"a gateway did not stop in good order: {node.said()}")
        progress("reading the history")
        return await _judge(scene, struck, books, after, folder)


async def _strike(scene: Scene, name: str, progress: Callable[[str], None]) -> Struck:
    await asyncio.sleep(scene.size.calm)
    progress(f"{name}, after {len(scene.shoppers.posts)} messages")
    struck = Struck(name, monotonic())
    await FAULTS[name](scene, struck)
    await asyncio.sleep(scene.size.calm)
    try:
        await asyncio.wait_for(scene.caught_up(), _CATCH_UP_SECONDS)
    except TimeoutError:
        struck.violations.append(f"the feeds had not shown everything {_CATCH_UP_SECONDS:g} s later")
    struck.well = monotonic()
    progress(", ".join([f"{name}: well again after {struck.well - struck.over:.1f} s", *struck.seen]))
    return struck


async def _quiet(scene: Scene) -> None:
    """Until everything is routed, and the feeds show nothing new."""
    since = monotonic()
    before: tuple[float, ...] = ()
    while monotonic() - since < QUIET_SECONDS:
        waiting = await scene.site.waiting(scene.session)
        now = (waiting, *(float(reader.pos) for reader in scene.readers))
        if waiting or now != before:
            since, before = monotonic(), now
        await asyncio.sleep(_LOOK_SECONDS)


# --- judging -------------------------------------------------------------------------------------------------------------


async def _judge(scene: Scene, struck: list[Struck], books: list[Book], after: int, folder: Path) -> Outcome:
    store = await open_store(scene.site.database)
    try:
        lines = await lines_of(store)
        turns, visible = await announced(store)
        complaints = await store.check()
    finally:
        await store.close()
    feeds, unfinished = _feeds(scene.readers, [pos for pos in visible if pos > after], folder)
    verdict = judge(
        Evidence(
            acknowledged=[post.acknowledged() for post in scene.shoppers.posts],
            posted=scene.shoppers.numbers,
            lines=lines,
            turns=turns,
            books=books,
            feeds=feeds,
        )
    )
    verdict.violations += [*unfinished, *(f"doctor: {complaint}" for complaint in complaints)]
    for one in struck:
        _measure(one, scene, lines)
    return Outcome(struck, verdict)


def _feeds(readers: Sequence[Reader], visible: list[int], folder: Path) -> tuple[list[FeedLog], list[str]]:
    """What each reader saw beside what there was; and complaints about those that did not get to the end without loading anew."""
    feeds, complaints = [], []
    for index, reader in enumerate(readers, 1):
        path = folder / f"seen-{index}"
        reader.write_down(path)
        feed, resyncs = feed_log(path, visible)
        feeds.append(feed)
        if resyncs:
            complaints.append(f"feed of node {index}: {resyncs} times it asked to load everything anew")
        if visible and reader.pos < visible[-1]:
            complaints.append(f"feed of node {index}: it stopped at pos {reader.pos}, before pos {visible[-1]}")
    return feeds, complaints


def _measure(struck: Struck, scene: Scene, lines: list[Line]) -> None:
    """Fill in the line of one fault."""
    posts = [post for post in scene.shoppers.posts if struck.began <= post.due <= struck.well]
    keys = {post.key for post in posts}
    questions = [line for line in lines if line.inbound and line.key in keys]
    lost = lost_messages([post.acknowledged() for post in posts], questions)
    twice = twice_in_history(questions)
    refused = sum(struck.began <= at <= struck.well for at in scene.shoppers.refused)
    if refused:
        struck.violations.append(f"{refused} answers to providers were not 2xx")
    slowest = max(
        (reader.shown[post.key] - post.due for post in posts for reader in scene.readers if post.key in reader.shown), default=0.0
    )
    if struck.name in REDIS and slowest > scene.size.feed:
        struck.violations.append(f"a message was on a feed {slowest:.1f} s after it was due")
    if struck.name in POSTGRES:
        kept = [post.key for post in posts if post.due + post.seconds <= struck.over]
        shown = max((reader.shown[key] for key in kept for reader in scene.readers if key in reader.shown), default=struck.over)
        struck.seen.append(f"all of it on the feeds after {shown - struck.over:.1f} s")
    seconds = f"{struck.over - struck.began:.1f} s"
    parts = [
        f"{struck.name} ({seconds}): messages {len(posts)}, non-2xx {refused}, {_acks(posts, struck)}",
        *struck.seen,
        f"lost {len(lost)}, twice {len(twice)}, longest feed delay {slowest:.2f} s",
    ]
    struck.line = ", ".join(parts)


def _acks(posts: Sequence[Post], struck: Struck) -> str:
    """Of those that were due while the fault held; of a fault of a moment, until all was well."""
    until = struck.over if struck.over - struck.began > 1 else struck.well
    taken = sorted(post.seconds * 1000 for post in posts if post.due <= until)
    if not taken:
        return "no message"
    middle, high = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    return f"ack p50/p99/max {middle:.0f}/{high:.0f}/{taken[-1]:.0f} ms"


# --- what is struck ------------------------------------------------------------------------------------------------------


def telegrams_of(folder: Path, port: int, size: Size) -> contextlib.AbstractAsyncContextManager[None]:
    """The simulator behind the channel ``shop``."""
    plan = provider.Plan(nodes=(), bots=(port,), messages=0, chats=size.chats, rate=0.0, connections=0, folder=folder, seed=0)
    return provider.telegrams(plan)


@contextlib.asynccontextmanager
async def _site(folder: Path, bot: int) -> AsyncIterator[tuple[ClusterSite, ChaosProxy]]:
    """Two nodes on a PostgreSQL that syncs; between them and Valkey is a bad network."""
    async with contextlib.AsyncExitStack() as stack:
        # Short: the path of a Unix socket has room for a hundred characters.
        postgres = PostgresServer(Path(tempfile.mkdtemp(prefix="chaos-pg-")), durable=True)
        stack.callback(postgres.remove)
        await asyncio.to_thread(postgres.start)
        redis = await stack.enter_async_context(running_server(folder / "redis"))
        network = await stack.enter_async_context(chaos_proxy(redis.port))
        below = f'\n[storage]\nurl = "{postgres.url(DATABASE)}"\n\n[bus]\nurl = "redis://127.0.0.1:{network.port}"\n'
        nodes = [_node(folder / f"node{index}", bot, f'{below}\n[node]\nid = "node{index}"\n') for index in (1, 2)]
        token = await seed_agent(nodes[0].load())
        for node in nodes:
            stack.push_async_callback(_end, node)
            await node.start()
        site = ClusterSite(nodes, token, postgres, redis)
        yield site, network


def _node(folder: Path, bot: int, below: str) -> GatewayProcess:
    folder.mkdir(parents=True)
    port = free_port()
    address, more = channels((bot,))
    return GatewayProcess(write_config(folder, port, address, more + below), port)


async def _end(node: GatewayProcess) -> None:
    if node.process is not None:
        await node.kill()
