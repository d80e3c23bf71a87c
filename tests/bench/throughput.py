"""How many messages a second: taken durably, and taken, routed, in the history and on an agent's feed."""

import contextlib
from dataclasses import dataclass, field

from tests.bench.figures import Figure
from tests.bench.ground import CHATS, WARM_UP, BenchFailed, Engine, Ground, Site
from tests.bench.rows import number

_EDGE = 'roles = ["edge"]'
_ROUTER = 'roles = ["router", "sender"]'


@dataclass
class Runs:
    """What came of one kind of run, beside its floor."""

    what: str
    kind: str
    site: Site
    messages: int
    per_second: list[float] = field(default_factory=list)

    async def once(self, ground: Ground) -> None:
        """One more; ``messages`` 0: taken only, nobody routes."""
        port = self.site.edge.port
        if self.messages:
            result = await ground.load("sustained", port, "--token", self.site.token, "--count", str(self.messages), *CHATS)
        else:
            result = await ground.load("closed", port, "--seconds", "1", *CHATS)
        self.per_second.append(result["per_second"])


async def throughput(ground: Ground) -> None:
    """Both engines; on PostgreSQL one edge and one router, and two processes of everything on one port."""
    await _engine(ground, Engine.EMBEDDED)
    await _engine(ground, Engine.CLUSTER)


async def _engine(ground: Ground, engine: Engine) -> None:
    scale = 4 if ground.long else 1
    async with contextlib.AsyncExitStack() as stack:
        floor = await stack.enter_async_context(ground.floor(engine))
        taking = await stack.enter_async_context(ground.site(engine, _EDGE))
        runs = [Runs(f"accepted, no router, {engine}", "accept", taking, 0)]
        if engine is Engine.EMBEDDED:
            whole = await stack.enter_async_context(ground.site(engine))
            runs.append(Runs(f"accepted = routed = on the feed, {engine}, one process", "sustained", whole, 2000 * scale))
            ground.add(Figure("start", "serve to first answer", "s", [whole.started_in]))
        else:
            pair = await stack.enter_async_context(ground.site(engine, _EDGE, _ROUTER))
            runs.append(Runs(f"accepted = routed = on the feed, {engine}, edge + router", "sustained cluster", pair, 300 * scale))
            both = await stack.enter_async_context(ground.site(engine, "processes = 2"))
            runs.append(Runs(f"accepted = routed = on the feed, {engine}, --processes 2", "sustained cluster", both, 300 * scale))
        await ground.warm_up(floor, *(one.site for one in runs if one.messages))
        base = []
        for _ in range(ground.pairs_on(engine)):
            base.append((await ground.load("closed", floor.port, "--seconds", "1"))["per_second"])
            for run in runs:
                await run.once(ground)
        for run in runs:
            if run.messages:
                await _check_history(run.site, WARM_UP + run.messages * len(base))
            ground.add(Figure(run.kind, run.what, "/s", run.per_second, base))


async def _check_history(site: Site, expected: int) -> None:
    """Everything that was accepted stands in the history, once. The figures are worth nothing otherwise."""
    received = await number(site.database, "SELECT count(*) FROM event WHERE type = 'message.received'")
    lines = await number(site.database, "SELECT count(*) FROM message WHERE kind = 'inbound'")
    if not received == lines == expected:
        raise BenchFailed(f"{expected} messages were accepted, {received} received, {lines} are in the history")
