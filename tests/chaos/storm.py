"""The kill storm: shoppers write, agents answer, and something is killed with -9 every now and then. Then the promises are checked.

The kills come at random points of the load, chosen by the seed, so a slow machine gets as many per message as a fast one.
"""

import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from storage import open_store
from tests.chaos import agents, provider
from tests.chaos.check import Evidence, Verdict, judge
from tests.chaos.history import announced, deliveries, feed_log, lines_of
from tests.chaos.ledger import Accepted, Acknowledged, read_ledger
from tests.chaos.site import Site, books_of, head_of
from tests.support.process import ROOT, free_port

#: Nothing happens any more when nothing has happened for so long.
QUIET_SECONDS = 2.0

OpenSite = Callable[[Path, tuple[int, ...]], AbstractAsyncContextManager[Site]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of what."""

    messages: int
    replies: int
    kills: int
    chats: int
    #: Telegram takes 30 messages a second of a bot.
    bots: int
    #: Messages a second; 0: as fast as they are taken.
    rate: float = 0.0
    connections: int = 16
    #: How many agents answer, each one reply at a time.
    agents: int = 4
    #: The whole run fails when it takes longer.
    seconds: float


SHORT = Size(messages=20_000, replies=2_000, kills=4, chats=800, bots=4, seconds=300)
#: Of a cluster, where each kind is killed twice.
SHORT_CLUSTER = Size(messages=6_000, replies=600, kills=6, chats=300, bots=4, seconds=300)
LONG = Size(messages=1_000_000, replies=100_000, kills=200, chats=900, bots=8, agents=16, seconds=6 * 3600)
#: Inside ``make test``, beside other tests: as many messages per kill.
TEST = Size(messages=2_000, replies=200, kills=3, chats=100, bots=4, seconds=150)


def part_of(size: Size, parts: int) -> Size:
    """One of ``parts`` storms that are as much together."""
    return replace(size, messages=size.messages // parts, replies=size.replies // parts, kills=size.kills // parts)


@dataclass(slots=True)
class Outcome:
    """What came of a storm."""

    verdict: Verdict
    kills: Counter[str]
    seconds: float
    load_seconds: float
    #: Longest time from a new start to readiness, and longest time that a provider was without a 2xx.
    slowest_start: float
    slowest_answer: float
    deliveries_repeated: int
    feed_events: int
    disconnections: int
    resyncs: int

    def line(self) -> str:
        """The figures, in one line."""
        kills = ", ".join(f"{kind} {number}" for kind, number in sorted(self.kills.items())) or "none"
        feed = f"feed {self.feed_events} events over {self.disconnections} disconnections, {self.resyncs} resyncs"
        rate = self.verdict.messages / max(self.load_seconds, 0.001)
        return (
            f"{self.verdict.line()}; kills: {kills} | pending {self.verdict.pending}, "
            f"deliveries repeated {self.deliveries_repeated}, {feed}, "
            f"slowest start {self.slowest_start:.1f} s, longest without 2xx {self.slowest_answer:.1f} s, {rate:.0f} messages/s, "
            f"{self.seconds:.0f} s"
        )


class Helper:
    """The provider's or the agents' process: what it last said."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name
        self.said: dict[str, Any] = {}
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.update(json.loads(line))
            self._changed.set()
        self.said["ended"] = True
        self._changed.set()

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until what it says is as wanted. Raises RuntimeError if it ends before."""
        while not wanted(self.said):
            if self.said.get("ended"):
                raise RuntimeError(f"the {self._name} ended early, with status {await self._process.wait()}")
            self._changed.clear()
            await self._changed.wait()

    def allow(self, number: int) -> None:
        """The shoppers may begin so many messages, counted from the first."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n".encode())

    async def end(self) -> None:
        """Close its standard input and wait. Raises RuntimeError if it failed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = await asyncio.wait_for(self._process.wait(), 60)
        except TimeoutError:
            self._process.kill()
            status = await self._process.wait()
        await self._task
        if status:
            raise RuntimeError(f"the {self._name} failed with status {status}")


@contextlib.asynccontextmanager
async def helper(module: str, arguments: Iterator[str]) -> AsyncIterator[Helper]:
    """``python -m module``, talking to us."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, cwd=ROOT, stdin=pipe, stdout=pipe)
    started = Helper(process, module.rpartition(".")[2])
    failed = True
    try:
        yield started
        failed = False
    finally:
        if failed and process.returncode is None:
            process.kill()
        with contextlib.suppress(RuntimeError) if failed else contextlib.nullcontext():
            await started.end()


@dataclass(slots=True)
class Storm:
    """One run."""

    size: Size
    seed: int
    open_site: OpenSite
    folder: Path
    progress: Callable[[str], None]
    kills: Counter[str] = field(default_factory=Counter)
    slowest_start: float = 0.0

    async def run(self) -> Outcome:
        """All of it. Raises TimeoutError after ``size.seconds``."""
        size, began = self.size, monotonic()
        bots = tuple(free_port() for _ in range(size.bots))
        async with asyncio.timeout(size.seconds), contextlib.AsyncExitStack() as stack:
            site = await stack.enter_async_context(self.open_site(self.folder / "site", bots))
            shoppers = await stack.enter_async_context(helper("tests.chaos.provider", provider.arguments(self._load(site, bots))))
            await shoppers.until(lambda said: bool(said.get("ready")))
            after = await head_of(site.nodes[0])
            office = await stack.enter_async_context(helper("tests.chaos.agents", agents.arguments(self._answers(site, after))))
            await self._strike(site, shoppers)
            await shoppers.until(lambda said: bool(said.get("done")))
            self.progress(f"all {size.messages} messages acknowledged; waiting for replies and quiet")
            await office.until(lambda said: bool(said.get("done")))
            async with aiohttp.ClientSession() as session:
                await self._quiet(site, session, office)
                books = await books_of(site, session)
            for node in site.nodes:
                if await node.stop():
                    raise RuntimeError(f"a gateway did not stop in good order: {node.said()}")
            await office.end()
            await shoppers.end()
            outcome = await self._judge(site, books, after, {**office.said, **shoppers.said})
        outcome.seconds = monotonic() - began
        return outcome

    def _load(self, site: Site, bots: tuple[int, ...]) -> provider.Plan:
        return provider.Plan(
            nodes=tuple(f"127.0.0.1:{node.port}" for node in site.nodes),
            bots=bots,
            messages=self.size.messages,
            chats=self.size.chats,
            rate=self.size.rate,
            connections=self.size.connections,
            folder=self.folder,
            seed=self.seed,
        )

    def _answers(self, site: Site, after: int) -> agents.Plan:
        return agents.Plan(
            nodes=tuple(node.url for node in site.nodes),
            token=site.token,
            replies=self.size.replies,
            rate=0.0,
            workers=self.size.agents,
            folder=self.folder,
            seed=self.seed,
            after=after,
        )

    async def _strike(self, site: Site, shoppers: Helper) -> None:
        size, rng = self.size, random.Random(self.seed)
        # Each kind once before any comes again.
        kinds = rng.sample(sorted(set(site.kinds)), len(set(site.kinds)))
        slice_ = size.messages / max(size.kills, 1)
        # Each point has a quarter of a slice behind it, which is not sent before something has been killed: so nothing is killed in peace.
        points = [int((index + rng.random() / 2) * slice_) for index in range(size.kills)]
        limits = [*(int(point + slice_ / 4) for point in points), size.messages]
        shoppers.allow(limits[0])
        for index, point in enumerate(points):
            await shoppers.until(lambda said, point=point: said.get("acknowledged", -1) >= point)  # type: ignore[misc]
            kind = kinds[index] if index < len(kinds) else rng.choice(site.kinds)
            shoppers.allow(limits[index + 1])
            self.progress(f"kill {index + 1} of {size.kills}: {kind}, after {shoppers.said['acknowledged']} messages")
            self.slowest_start = max(self.slowest_start, await site.strike(kind, rng.uniform(0, 0.5)))
            self.kills[kind] += 1

    async def _quiet(self, site: Site, session: aiohttp.ClientSession, office: Helper) -> None:
        """Until everything is routed and sent, and the feed has shown it."""
        since, before = monotonic(), (-1.0, -1.0)
        while monotonic() - since < QUIET_SECONDS:
            waiting = await site.waiting(session)
            now = (waiting, float(office.said.get("pos", 0)))
            if waiting or now != before:
                since, before = monotonic(), now
            await asyncio.sleep(0.1)

    async def _judge(self, site: Site, books: list[Any], after: int, said: dict[str, Any]) -> Outcome:
        self.progress("reading the history")
        store = await open_store(site.database)
        try:
            lines = await lines_of(store)
            turns, visible = await announced(store)
            complaints = await store.check()
        finally:
            await store.close()
        feed, resyncs = feed_log(self.folder / "seen", [pos for pos in visible if pos > after])
        acknowledged = list(read_ledger(self.folder / "acknowledged", Acknowledged))
        verdict = judge(
            Evidence(
                acknowledged=acknowledged,
                posted=provider.posted(self.size.messages, self.size.chats, self.size.bots),
                lines=lines,
                accepted=list(read_ledger(self.folder / "accepted", Accepted)),
                delivered=deliveries(self.folder),
                turns=turns,
                books=books,
                feeds=[feed],
            )
        )
        verdict.violations += [f"doctor: {complaint}" for complaint in complaints]
        if visible and (not feed.seen or feed.seen[-1] < visible[-1]):
            verdict.violations.append(f"feed: it stopped at pos {feed.seen[-1] if feed.seen else 0}, before pos {visible[-1]}")
        if verdict.messages != self.size.messages or verdict.replies != self.size.replies:
            verdict.violations.append(f"the run is not complete: {verdict.messages} messages, {verdict.replies} replies")
        return Outcome(
            verdict=verdict,
            kills=self.kills,
            seconds=0.0,
            load_seconds=float(said["seconds"]),
            slowest_start=self.slowest_start,
            slowest_answer=float(said["slowest"]),
            deliveries_repeated=int(said["again"]),
            feed_events=len(feed.seen),
            disconnections=int(said["disconnections"]),
            resyncs=resyncs,
        )


async def storm(size: Size, seed: int, open_site: OpenSite, progress: Callable[[str], None], folder: Path | None = None) -> Outcome:
    """Run one; its files lie in ``folder``, or nowhere for long."""
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        return await Storm(size, seed, open_site, place, progress).run()
