"""A process of its own: several Telegram bots' worth of shoppers who write, and the Telegram that takes the replies.

It behaves as a provider does: within a chat one message after the other, each again and again until a 2xx, now and then the
same one twice, to whichever node comes next. What was answered 2xx goes to ``acknowledged``, what it took to ``delivered-<bot>``.
Prints one JSON object a line about its progress; ends when its standard input does.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from connectors.telegram.simulator import create_simulator_app
from connectors.telegram.simulator.app import WORLD
from tests.chaos.check import name_question
from tests.chaos.ledger import Acknowledged, Ledger
from tests.support.telegram import SECRET

#: First of the people of the first bot; each bot has a range of its own.
FIRST_CHAT = 7_000_000_001
BOT_RANGE = 1_000_000
REPORT_SECONDS = 0.1
ANSWER_SECONDS = 15.0
#: A provider comes back soon in these tests.
AGAIN_SECONDS = (0.02, 0.25)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what."""

    #: ``host:port`` of every node.
    nodes: tuple[str, ...]
    #: Ports of the bots' Telegram; the bots are channels ``shop``, ``shop2``, …
    bots: tuple[int, ...]
    messages: int
    chats: int
    rate: float
    connections: int
    folder: Path
    seed: int
    #: Share of messages that are delivered once more after they were taken.
    repeats: float = 0.03


def channel_name(bot: int) -> str:
    """Of the bot with this index."""
    return "shop" if bot == 0 else f"shop{bot + 1}"


def bot_token(bot: int) -> str:
    """Of the bot with this index."""
    return f"{700000001 + bot}:canary-TOKEN-9f3a"


def chat_id(index: int, bots: int) -> int:
    """Of the chat with this index; chats take turns with the bots."""
    return FIRST_CHAT + index % bots * BOT_RANGE + index // bots


def bot_of(chat: int) -> int:
    """Index of a chat's bot."""
    return (chat - FIRST_CHAT) // BOT_RANGE


def posted(messages: int, chats: int, bots: int) -> dict[int, int]:
    """Last number of each chat, when all is said."""
    return {chat_id(index, bots): messages // chats + (index < messages % chats) for index in range(chats)}


def update(chat: int, number: int) -> bytes:
    """A real-shaped text message."""
    name = f"Cleo {chat % BOT_RANGE}"
    person = {"id": chat, "is_bot": False, "first_name": name, "language_code": "it"}
    message = {
        "message_id": 1_000_000 + number,
        "from": person,
        "chat": {"id": chat, "first_name": name, "type": "private"},
        "date": int(time.time()),
        "text": f"{name_question(chat, number)} Buongiorno, avete ancora la giacca verde in taglia M? Vorrei ritirarla domani.",
    }
    return json.dumps({"update_id": chat % BOT_RANGE * 1_000_000 + number, "message": message}).encode()


class Wire:
    """One connection at a time to the nodes in turn; whoever does not answer is left."""

    def __init__(self, nodes: tuple[str, ...], first: int) -> None:
        self._nodes = nodes
        self._turn = first
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> int:
        """The status; 0 if there was none."""
        node = self._nodes[self._turn % len(self._nodes)]
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {node}\r\nContent-Type: application/json\r\n"
            f"X-Telegram-Bot-Api-Secret-Token: {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._streams is None:
                    host, port = node.split(":")
                    self._streams = await asyncio.open_connection(host, int(port))
                reader, writer = self._streams
                writer.write(head.encode() + body)
                status = await _answer(reader)
        except (OSError, EOFError, TimeoutError):
            status = 0
        if status != 200:
            self.leave()
        return status

    def leave(self) -> None:
        """Close, and try the next node."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
        self._turn += 1


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and int(value):
            await reader.readexactly(int(value))
    return int(head[9:12])


@dataclass
class Load:
    """All shoppers."""

    plan: Plan
    ledger: Ledger
    #: How many messages may be begun by now.
    allowed: int
    began: float = field(default_factory=time.perf_counter)
    begun: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    done: int = 0
    refused: int = 0
    slowest: float = 0.0

    def allow(self, number: int) -> None:
        """So many messages, counted from the first one, may be begun from now on."""
        self.allowed = number
        self._more.set()

    async def run(self) -> None:
        """Until everything is taken."""
        await asyncio.gather(*(self._line(index) for index in range(self.plan.connections)))
        self.ledger.sync()

    def view(self) -> dict[str, float]:
        """Where it stands."""
        return {"acknowledged": self.done, "again": self.refused, "slowest": round(self.slowest, 3)}

    async def _line(self, index: int) -> None:
        """The chats of one connection; within a chat nothing overtakes."""
        plan = self.plan
        wire, rng = Wire(plan.nodes, index), random.Random(f"{plan.seed}-{index}")
        numbers = posted(plan.messages, plan.chats, len(plan.bots))
        mine = [chat_id(one, len(plan.bots)) for one in range(index, plan.chats, plan.connections)]
        for number in range(1, max(numbers.values()) + 1):
            for chat in mine:
                if number <= numbers[chat]:
                    await self._pace()
                    await self._deliver(wire, rng, chat, number)

    async def _pace(self) -> None:
        while self.begun >= self.allowed:
            self._more.clear()
            await self._more.wait()
        due = self.began + self.begun / self.plan.rate if self.plan.rate else 0.0
        self.begun += 1
        await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _deliver(self, wire: Wire, rng: random.Random, chat: int, number: int) -> None:
        path, body = f"/webhooks/{channel_name(bot_of(chat))}", update(chat, number)
        first, tries = time.perf_counter(), 1
        while await wire.post(path, body) != 200:
            tries += 1
            self.refused += 1
            await asyncio.sleep(rng.uniform(*AGAIN_SECONDS))
        seconds = time.perf_counter() - first
        self.ledger.add(Acknowledged(chat, number, tries, round(seconds, 4), round(time.time(), 3)))
        self.done += 1
        self.slowest = max(self.slowest, seconds)
        if rng.random() < self.plan.repeats:
            await wire.post(path, body)


@contextlib.asynccontextmanager
async def telegrams(plan: Plan) -> AsyncIterator[None]:
    """Each bot's Telegram on its port, with its people."""
    async with contextlib.AsyncExitStack() as stack:
        for bot, port in enumerate(plan.bots):
            first = FIRST_CHAT + bot * BOT_RANGE
            ledger = plan.folder / f"delivered-{bot}"
            app = create_simulator_app(token=bot_token(bot), rate_limits=False, ledger_path=ledger, first_user=first)
            for index in range(bot, plan.chats, len(plan.bots)):
                app[WORLD].add_user(f"Cleo {index}", "", "it")
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield


async def serve(plan: Plan) -> None:
    """Telegram at once; each line on standard input says how many messages may be begun by then, and all ends with the last."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with Ledger(plan.folder / "acknowledged") as ledger:
        async with telegrams(plan):
            say({"ready": True})
            first = await reader.readline()
            if not first:
                return
            load = Load(plan, ledger, int(first))
            shopping = asyncio.create_task(load.run())
            talking = asyncio.create_task(_report(load, shopping))
            try:
                while line := await reader.readline():
                    load.allow(int(line))
            finally:
                for task in (shopping, talking):
                    task.cancel()
                outcomes = await asyncio.gather(shopping, talking, return_exceptions=True)
                for outcome in outcomes:
                    if isinstance(outcome, Exception):
                        raise outcome


async def _report(load: Load, shopping: asyncio.Task[None]) -> None:
    while not shopping.done():
        say(load.view())
        await asyncio.wait([shopping], timeout=REPORT_SECONDS)
    shopping.result()
    say({**load.view(), "done": True, "seconds": round(time.perf_counter() - load.began, 3)})


def say(what: Mapping[str, object]) -> None:
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def arguments(plan: Plan) -> Iterator[str]:
    """The command line that gives ``plan``."""
    for name in ("messages", "chats", "rate", "connections", "folder", "seed"):
        yield from (f"--{name}", str(getattr(plan, name)))
    yield from ("--nodes", ",".join(plan.nodes), "--bots", ",".join(map(str, plan.bots)))


def main() -> None:
    """``python -m tests.chaos.provider``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", required=True, help="host:port,host:port")
    parser.add_argument("--bots", required=True, help="ports of the bots' Telegram")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--chats", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: as fast as they are taken")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--folder", type=Path, required=True, help="where the ledgers go")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    fields = {**vars(given), "nodes": tuple(given.nodes.split(",")), "bots": tuple(map(int, given.bots.split(",")))}
    asyncio.run(serve(Plan(**fields)))


if __name__ == "__main__":
    main()
