"""Shoppers who write at a steady rate to all nodes, and readers of the live feeds, with the moment of everything they see.

All moments are those of one steady clock. A message counts from when it was due, so one that had to queue behind others is not flattered.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import aiohttp
import msgspec
from msgspec import Struct

from connectors.content import plain_text
from tests.chaos.agents import RESYNC, read_message
from tests.chaos.check import Key, named
from tests.chaos.ledger import Acknowledged, Ledger, Seen
from tests.chaos.provider import AGAIN_SECONDS, Wire, chat_id, update
from tests.support.process import GatewayProcess

#: Every so manieth message comes once more, to another node.
_AGAIN_EVERY = 30
_CONNECT_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Post:
    """A message that was answered 2xx."""

    chat: int
    number: int
    due: float
    #: From then to the 2xx.
    seconds: float
    tries: int
    #: Seconds since 1970, at the 2xx.
    at: float

    @property
    def key(self) -> Key:
        return self.chat, self.number

    def acknowledged(self) -> Acknowledged:
        """As the checker wants it."""
        return Acknowledged(self.chat, self.number, self.tries, self.seconds, self.at)


class Shoppers:
    """``rate`` messages a second over ``chats`` chats of the first bot, by ``wires`` connections that take turns with the nodes."""

    def __init__(self, nodes: Sequence[GatewayProcess], rate: float, chats: int, wires: int, seed: int) -> None:
        self._nodes = tuple(f"127.0.0.1:{node.port}" for node in nodes)
        self._rate, self._chats, self._wires = rate, chats, wires
        self._rng = random.Random(seed)
        self._began = 0.0
        self._begun = 0
        self._stopped = False
        self.posts: list[Post] = []
        #: When something else than 2xx came, or nothing.
        self.refused: list[float] = []
        #: Last number of each chat that was sent, answered or not.
        self.numbers: dict[int, int] = {}

    async def write(self) -> None:
        """Until :meth:`stop`; what has been begun is finished."""
        self._began = monotonic()
        await asyncio.gather(*(self._line(index) for index in range(self._wires)))

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopped = True

    async def _line(self, index: int) -> None:
        """The chats of one connection; within a chat nothing overtakes."""
        wire = Wire(self._nodes, index)
        for one in itertools.cycle(range(index, self._chats, self._wires)):
            due = self._began + self._begun / self._rate
            self._begun += 1
            await asyncio.sleep(max(0.0, due - monotonic()))
            if self._stopped:
                break
            await self._deliver(wire, index, chat_id(one, 1), due)
        wire.leave()

    async def _deliver(self, wire: Wire, index: int, chat: int, due: float) -> None:
        number = self.numbers[chat] = self.numbers.get(chat, 0) + 1
        body, tries = update(chat, number), 1
        while not await self._post(wire, body):
            tries += 1
            await asyncio.sleep(self._rng.uniform(*AGAIN_SECONDS))
        self.posts.append(Post(chat, number, due, monotonic() - due, tries, time.time()))
        if len(self.posts) % _AGAIN_EVERY == 0:
            other = Wire(self._nodes, index + 1)
            await self._post(other, body)
            other.leave()

    async def _post(self, wire: Wire, body: bytes) -> bool:
        if await wire.post("/webhooks/shop", body) == 200:
            return True
        self.refused.append(monotonic())
        return False


class _Head(Struct):
    type: str
    pos: int = 0


_head = msgspec.json.Decoder(_Head).decode


class Reader:
    """An agent's screen at one node: reads its feed, and after a disconnection goes on from the last position."""

    def __init__(self, node: GatewayProcess, token: str, session: aiohttp.ClientSession, after: int) -> None:
        self._node = node
        self._token = token
        self._session = session
        self._seen: list[int] = []
        self.pos = after
        self.disconnections = 0
        #: When each message was shown first.
        self.shown: dict[Key, float] = {}

    async def read(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._read()
            self.disconnections += 1
            await asyncio.sleep(_CONNECT_AGAIN_SECONDS)

    def write_down(self, path: Path) -> None:
        """All positions, as ``history.feed_log`` reads them."""
        with Ledger(path) as ledger:
            for pos in self._seen:
                ledger.add(Seen(pos))

    async def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        timeout = aiohttp.ClientWSTimeout(ws_receive=30.0, ws_close=1.0)
        url = f"{self._node.url}/api/v1/feed?after={self.pos}"
        async with self._session.ws_connect(url, headers=headers, max_msg_size=0, timeout=timeout) as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._note(message.data)

    def _note(self, text: str) -> None:
        head = _head(text)
        if head.type == "resync_required":
            self._seen.append(RESYNC)
        elif head.pos and head.type != "hello":
            self._seen.append(head.pos)
            self.pos = head.pos
            message = read_message(text)
            found = named(plain_text(message.parts)) if message is not None else None
            if found is not None and found[0]:
                self.shown.setdefault(found[1:], monotonic())
