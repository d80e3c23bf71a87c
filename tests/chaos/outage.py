"""The servers below two nodes go away, one after the other, while shoppers write and agents watch.

PostgreSQL is stopped for a while, or killed; Valkey is emptied, killed, cut off by a network that swallows everything and never says so, or
replaced by a replica that a partition had kept from the last seconds.
Meanwhile every provider must hear 2xx, and in the end the history has each message once and the feeds have shown all of it.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp

from storage import open_store
from tests.chaos import provider
from tests.chaos.check import Book, Evidence, FeedLog, Line, Verdict, judge, lost_messages, twice_in_history
from tests.chaos.history import announced, feed_log, lines_of
from tests.chaos.proxy import ChaosProxy, chaos_proxy
from tests.chaos.scene import CATCH_UP_SECONDS, LOOK_SECONDS, Scene, Size, Struck
from tests.chaos.site import DATABASE, ClusterSite, books_of, channels, head_of, spooled
from tests.chaos.storm import QUIET_SECONDS
from tests.chaos.traffic import Post, Reader, Shoppers
from tests.chaos.valkey_faults import redis_cut_off, redis_emptied, redis_failed_over, redis_killed
from tests.support.postgres import PostgresServer
from tests.support.process import GatewayProcess, free_port, seed_agent, write_config
from tests.support.redis import running_server

SHORT: Final = Size(away=8.0)
LONG: Final = Size(away=120.0)
#: Of PostgreSQL alone.
TEN: Final = Size(away=600.0, drain=60.0)
#: Inside ``make test``, beside other tests.
TEST: Final = Size(away=8.0, rate=60.0, chats=96, calm=1.0, feed=60.0)


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
    if drained > scene.size.drain:
        struck.violations.append(f"the spools were empty {drained:.1f} s after the database was back")


FAULTS: Final[dict[str, Callable[[Scene, Struck], Awaitable[None]]]] = {
    "PostgreSQL stopped": _postgres_stopped,
    "PostgreSQL killed": _postgres_killed,
    "Valkey emptied": redis_emptied,
    "Valkey killed": redis_killed,
    "Valkey cut off": redis_cut_off,
    "Valkey failed over": redis_failed_over,
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
        await asyncio.wait_for(scene.caught_up(), CATCH_UP_SECONDS)
    except TimeoutError:
        struck.violations.append(f"the feeds had not shown everything {CATCH_UP_SECONDS:g} s later")
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
        await asyncio.sleep(LOOK_SECONDS)


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
        try:
            yield site, network
        finally:
            # Another one than at the beginning, maybe.
            await site.redis.kill()


def _node(folder: Path, bot: int, below: str) -> GatewayProcess:
    folder.mkdir(parents=True)
    port = free_port()
    address, more = channels((bot,))
    return GatewayProcess(write_config(folder, port, address, more + below), port)


async def _end(node: GatewayProcess) -> None:
    if node.process is not None:
        await node.kill()
