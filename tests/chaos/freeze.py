"""Zombies: a node is stopped in the middle of its work, others take over, and it comes back believing that nothing has happened.

Measured from the outside, as people would: after the stop every chat gets a message through another node, and the take-over is over when
the feed there has shown all of them, so the chats must cover all partitions. Replies are under way at that moment. Then the zombie
is let go, and the history must show nothing twice, and the provider must have got nothing twice without a mark.
"""

import asyncio
import random
import signal
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from connectors.content import plain_text
from storage import open_store
from tests.chaos import agents, provider
from tests.chaos.check import Evidence, Verdict, judge, name_answer, named
from tests.chaos.history import announced, deliveries, lines_of
from tests.chaos.ledger import Accepted, Acknowledged
from tests.chaos.provider import Wire, chat_id, telegrams, update
from tests.chaos.site import ClusterSite, books_of, cluster_site, head_of
from tests.support.process import GatewayProcess, free_port

#: The promise.
MOST_SECONDS = 5.0
#: How long the zombie sleeps: longer than any lease.
ASLEEP_SECONDS = 6.0
#: Hashed over 16 partitions, all of them get some: none is left out with a probability of 15/16 to the 96th each.
CHATS = 96
_DEADLINE = 90.0

#: (chat, number)
Key = tuple[int, int]


@dataclass(slots=True)
class Frozen:
    """What came of several stops."""

    took: list[float] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The figures, in one line."""
        ordered = sorted(self.took)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        return (
            f"stops {len(ordered)}, take-over median {statistics.median(ordered):.2f} s, p99 {p99:.2f} s, longest {ordered[-1]:.2f} s; "
            f"{self.verdict.line()}"
        )


@dataclass
class Town:
    """Shoppers and an agent around a site."""

    site: ClusterSite
    session: aiohttp.ClientSession
    acknowledged: list[Acknowledged] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    conversations: dict[int, str] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)

    async def write(self, node: GatewayProcess) -> set[Key]:
        """One more message in every chat, by this node; each is taken when this returns."""
        wires = [Wire((f"127.0.0.1:{node.port}",), 0) for _ in range(8)]
        sent: set[Key] = set()

        async def line(index: int, wire: Wire) -> None:
            for one in range(index, CHATS, len(wires)):
                chat = chat_id(one, 1)
                number = self.numbers[chat] = self.numbers.get(chat, 0) + 1
                while await wire.post("/webhooks/shop", update(chat, number)) != 200:  # noqa: ASYNC110 - as a provider does
                    await asyncio.sleep(0.05)
                self.acknowledged.append(Acknowledged(chat, number))
                sent.add((chat, number))
            wire.leave()

        await asyncio.gather(*(line(index, wire) for index, wire in enumerate(wires)))
        return sent

    async def answer(self, node: GatewayProcess, chats: list[int]) -> None:
        """A reply in each of these chats, accepted when this returns."""
        for chat in chats:
            number = self.answers[chat] = self.answers.get(chat, 0) + 1
            name = name_answer(chat, number)
            headers = {"Authorization": f"Bearer {self.site.token}", "Idempotency-Key": f"freeze-{name}"}
            url = f"{node.url}/api/v1/conversations/{self.conversations[chat]}/messages"
            async with self.session.post(url, json={"text": name}, headers=headers) as answer:
                if answer.status >= 300:
                    raise RuntimeError(f"a reply was answered {answer.status}: {await answer.text()}")
                self.accepted.append(Accepted(chat, number, (await answer.json())["message"]["id"]))

    async def shown(self, node: GatewayProcess, after: int, wanted: set[Key]) -> float:
        """Until the node's feed has shown all of these; returns that moment."""
        left = set(wanted)
        url = f"{node.url}/api/v1/feed?after={after}"
        headers = {"Authorization": f"Bearer {self.site.token}"}
        async with asyncio.timeout(_DEADLINE), self.session.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            async for message in socket:
                frame = agents.read_message(message.data)
                found = named(plain_text(frame.parts)) if frame is not None else None
                if frame is not None and found is not None and found[0]:
                    self.conversations[found[1]] = frame.conversation_id
                    left.discard(found[1:])
                    if not left:
                        return monotonic()
        raise RuntimeError("the feed ended")


async def freezes(
    number: int, seed: int, progress: Callable[[str], None], *, cut_off: bool = False, most_seconds: float = MOST_SECONDS
) -> Frozen:
    """Stop a node ``number`` times, one after the other; or (``cut_off``) let it run on without its database.

    A take-over that lasts longer than ``most_seconds`` is a violation.
    """
    rng, result = random.Random(seed), Frozen()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        port = free_port()
        await stack.enter_async_context(telegrams(_plan(folder, port)))
        site = await stack.enter_async_context(cluster_site(folder / "site", (port,), proxied=cut_off))
        town = Town(site, await stack.enter_async_context(aiohttp.ClientSession()))
        await town.shown(site.nodes[0], await head_of(site.nodes[0]), await town.write(site.nodes[0]))
        for turn in range(number):
            zombie, other = rng.sample(range(len(site.nodes)), 2)
            result.took.append(await (_cut_off if cut_off else _freeze)(town, zombie, other, rng))
            progress(f"{'cut' if cut_off else 'stop'} {turn + 1} of {number}: taken over after {result.took[-1]:.2f} s")
        await _settled(town)
        books = await books_of(site, town.session)
        for node in site.nodes:
            if await node.stop():
                raise RuntimeError(f"a gateway did not stop in good order: {node.said()}")
        store = await open_store(site.database)
        try:
            turns, _ = await announced(store)
            lines = await lines_of(store)
        finally:
            await store.close()
        result.verdict = judge(
            Evidence(
                acknowledged=town.acknowledged,
                posted=town.numbers,
                lines=lines,
                accepted=town.accepted,
                delivered=deliveries(folder),
                turns=turns,
                books=books,
            )
        )
    late = [f"a take-over lasted {seconds:.2f} s" for seconds in result.took if seconds > most_seconds]
    result.violations = [*late, *result.verdict.violations]
    return result


async def _freeze(town: Town, index: int, other_index: int, rng: random.Random) -> float:
    """One stop; returns the seconds until everything was taken over."""
    zombie, other = town.site.nodes[index], town.site.nodes[other_index]
    assert zombie.process is not None
    await town.answer(zombie, rng.sample(sorted(town.conversations), 12))
    after = await head_of(other)
    zombie.process.send_signal(signal.SIGSTOP)
    began = monotonic()
    try:
        took = await town.shown(other, after, await town.write(other)) - began
        await asyncio.sleep(max(0.0, began + ASLEEP_SECONDS - monotonic()))
    finally:
        zombie.process.send_signal(signal.SIGCONT)
    # It answers, and what it takes is routed by whoever owns the partition now.
    after = await head_of(other)
    await town.shown(other, after, await town.write(zombie))
    return took


async def _cut_off(town: Town, index: int, other_index: int, rng: random.Random) -> float:
    """One node loses its database, and providers go on calling it; returns the seconds until the other has taken over its work."""
    lonely, other, proxy = town.site.nodes[index], town.site.nodes[other_index], town.site.proxies[index]
    await town.answer(lonely, rng.sample(sorted(town.conversations), 12))
    after = await head_of(other)
    proxy.suffer(deaf=True)
    began = monotonic()
    took = await town.shown(other, after, await town.write(other)) - began
    after = await head_of(other)
    kept = await town.write(lonely)
    await asyncio.sleep(max(0.0, began + ASLEEP_SECONDS - monotonic()))
    proxy.clear()
    proxy.reset()
    # What it kept in its spool is handed on.
    await town.shown(other, after, kept)
    after = await head_of(other)
    await town.shown(other, after, await town.write(lonely))
    return took


async def _settled(town: Town) -> None:
    """Until every reply has an end."""
    async with asyncio.timeout(120):
        for one in town.accepted:
            while await _status(town, one) in {"queued", "sending", "retry", "unknown"}:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)


async def _status(town: Town, one: Accepted) -> str:
    node = town.site.nodes[0]
    headers = {"Authorization": f"Bearer {town.site.token}"}
    url = f"{node.url}/api/v1/conversations/{town.conversations[one.chat]}/messages?limit=200"
    async with town.session.get(url, headers=headers) as answer:
        page: dict[str, Any] = await answer.json()
    found = [line["status"] for line in page["items"] if line["id"] == one.message_id]
    # Further up than one page shows: it has had its time.
    return str(found[0]) if found else ""


def _plan(folder: Path, port: int) -> provider.Plan:
    """Only for the Telegram of it."""
    return provider.Plan(nodes=(), bots=(port,), messages=0, chats=CHATS, rate=0.0, connections=0, folder=folder, seed=0)
