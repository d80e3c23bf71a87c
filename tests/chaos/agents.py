"""A process of its own: agents who answer by the API, and somebody who reads the live feed.

Each reply is posted with one Idempotency-Key until it is answered; then it goes to ``accepted``. Positions on the feed go to ``seen``;
after a disconnection the reader goes on from the last one. Prints its progress as JSON lines; ends when its standard input does.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from connectors.content import AnyPart, plain_text
from tests.chaos.check import name_answer, named
from tests.chaos.ledger import Accepted, Ledger, Seen
from tests.chaos.provider import REPORT_SECONDS, say

#: A position that says: the feed asked its reader to load everything anew, so the gap up to the next one is no hole.
RESYNC = 0
ANSWERS = (0.02, 0.25)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what."""

    #: ``http://host:port`` of every node.
    nodes: tuple[str, ...]
    token: str
    replies: int
    rate: float
    workers: int
    folder: Path
    seed: int
    #: Where the feed begins.
    after: int


class ShownMessage(Struct):
    """A message as a frame of the feed has it."""

    conversation_id: str = ""
    kind: str = ""
    parts: tuple[AnyPart, ...] = ()


class _Data(Struct):
    message: ShownMessage | None = None


class _Head(Struct):
    type: str
    pos: int = 0


class _Frame(Struct):
    data: _Data


_head = msgspec.json.Decoder(_Head).decode
_frame = msgspec.json.Decoder(_Frame).decode


def read_message(frame: str) -> ShownMessage | None:
    """The new message that a frame of the feed shows; None if it shows something else."""
    return _frame(frame).data.message if _head(frame).type == "message.added" else None


@dataclass
class Office:
    """What the agents know."""

    plan: Plan
    session: aiohttp.ClientSession
    accepted: Ledger
    seen: Ledger
    #: chat -> conversation, as the feed showed them.
    conversations: dict[int, str] = field(default_factory=dict)
    last_pos: int = 0
    disconnections: int = 0
    again: int = 0
    answered: dict[int, int] = field(default_factory=dict)
    left: int = 0
    began: float = field(default_factory=time.perf_counter)

    # --- the feed ------------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Read for ever, from node to node."""
        turn = 0
        while True:
            node = self.plan.nodes[turn % len(self.plan.nodes)]
            turn += 1
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._watch(node)
            self.disconnections += 1
            await asyncio.sleep(0.1)

    async def _watch(self, node: str) -> None:
        url = f"{node}/api/v1/feed?after={self.last_pos}"
        headers = {"Authorization": f"Bearer {self.plan.token}"}
        # The server pings each 20 s; a node that was stopped must not hold its reader for ever.
        timeout = aiohttp.ClientWSTimeout(ws_receive=30.0, ws_close=1.0)
        async with self.session.ws_connect(url, headers=headers, max_msg_size=0, timeout=timeout) as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._note(message.data)

    def _note(self, text: str) -> None:
        head = _head(text)
        if head.type == "resync_required":
            self.seen.add(Seen(RESYNC))
        elif head.pos and head.type != "hello":
            self.seen.add(Seen(head.pos))
            self.last_pos = head.pos
            if head.type == "message.added":
                self._learn(_frame(text).data.message)

    def _learn(self, message: ShownMessage | None) -> None:
        if message is not None and message.kind == "inbound":
            found = named(plain_text(message.parts))
            if found is not None:
                self.conversations[found[1]] = message.conversation_id

    # --- the answers ---------------------------------------------------------------------------------------------------

    async def answer(self) -> None:
        """All replies; a chat belongs to one worker, so that its replies have an order."""
        self.left = self.plan.replies
        await asyncio.gather(*(self._worker(index) for index in range(self.plan.workers)))
        self.accepted.sync()

    async def _worker(self, index: int) -> None:
        rng = random.Random(f"{self.plan.seed}-agent-{index}")
        while self.left > 0:
            mine = [chat for chat in self.conversations if chat % self.plan.workers == index]
            if not mine:
                await asyncio.sleep(0.05)
                continue
            self.left -= 1
            await self._pace()
            await self._reply(rng, index, rng.choice(mine))

    async def _pace(self) -> None:
        if self.plan.rate:
            due = self.began + (self.plan.replies - self.left) / self.plan.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _reply(self, rng: random.Random, turn: int, chat: int) -> None:
        number = self.answered[chat] = self.answered.get(chat, 0) + 1
        name = name_answer(chat, number)
        body = {"text": f"{name} Sì, la teniamo da parte per Lei."}
        headers = {"Authorization": f"Bearer {self.plan.token}", "Idempotency-Key": f"chaos-{name}"}
        while True:
            node = self.plan.nodes[turn % len(self.plan.nodes)]
            try:
                url = f"{node}/api/v1/conversations/{self.conversations[chat]}/messages"
                async with self.session.post(url, json=body, headers=headers) as answer:
                    if answer.status < 300:
                        message_id: str = (await answer.json())["message"]["id"]
                        self.accepted.add(Accepted(chat, number, message_id))
                        return
                    problem = await answer.text()
                    if answer.status not in {409, 429, 503}:
                        raise SystemExit(f"a reply was answered {answer.status}: {problem}")
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            turn += 1
            self.again += 1
            await asyncio.sleep(rng.uniform(*ANSWERS))

    def view(self) -> dict[str, Any]:
        """Where they stand."""
        return {
            "accepted": self.accepted.count,
            "again": self.again,
            "seen": self.seen.count,
            "pos": self.last_pos,
            "disconnections": self.disconnections,
        }


async def serve(plan: Plan) -> None:
    """At work until standard input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))
        accepted = stack.enter_context(Ledger(plan.folder / "accepted"))
        seen = stack.enter_context(Ledger(plan.folder / "seen"))
        office = Office(plan, session, accepted, seen, last_pos=plan.after)
        answering = asyncio.create_task(office.answer())
        tasks = [asyncio.create_task(office.watch()), answering, asyncio.create_task(_report(office, answering))]
        try:
            await reader.read()
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, (Exception, SystemExit)):
                    raise outcome


async def _report(office: Office, answering: asyncio.Task[None]) -> None:
    while True:
        say({**office.view(), "done": answering.done()})
        if answering.done():
            answering.result()
        await asyncio.sleep(REPORT_SECONDS)


def arguments(plan: Plan) -> Iterator[str]:
    """The command line that gives ``plan``."""
    for name in ("token", "replies", "rate", "workers", "folder", "seed", "after"):
        yield from (f"--{name}", str(getattr(plan, name)))
    yield from ("--nodes", ",".join(plan.nodes))


def main() -> None:
    """``python -m tests.chaos.agents``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", required=True, help="http://host:port,…")
    parser.add_argument("--token", required=True, help="API token of an agent who sees everything")
    parser.add_argument("--replies", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="replies a second; 0: as fast as they are accepted")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--folder", type=Path, required=True, help="where the ledgers go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--after", type=int, default=0, help="position after which the feed begins")
    given = parser.parse_args()
    asyncio.run(serve(Plan(**{**vars(given), "nodes": tuple(given.nodes.split(","))})))


if __name__ == "__main__":
    main()
