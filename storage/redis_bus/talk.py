"""Telling and hearing between nodes: one channel, one task that speaks and one that listens."""

import asyncio
import random
import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from storage.bus import Hear
from storage.redis_bus.address import Address
from storage.redis_bus.line import Line
from storage.redis_bus.patience import Patience
from storage.redis_bus.scripts import TELL
from storage.redis_bus.servers import find
from storage.redis_bus.wire import Away, Refused, Wire, open_wire, pack
from storage.told import HEAD, MIRRORED, Ears, merge_heads

#: Messages that wait while Redis is away, and that go out together.
_MOST: Final = 1000
_AT_ONCE: Final = 100
#: Seconds: how often a silent connection is tried, and after how much silence it counts as dead.
_PING: Final = 1.0
_SILENCE: Final = 3.0
#: Seconds before the listener tries again, before jitter.
_SHORTEST: Final = 0.2
_LONGEST: Final = 0.8


class Told(Struct, frozen=True, array_like=True):
    """A message between nodes."""

    #: Which bus told it: that one has heard it already.
    sender: bytes
    topic: str
    data: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Told)


class Talk:
    """See ``Bus.tell`` and ``Bus.hear``. What this node tells it hears at once, whether Redis is there or not."""

    def __init__(self, line: Line, address: Address) -> None:
        self._line = line
        self._address = address
        # Channels are shared by all numbered databases of a server.
        self._channel = f"{address.prefix}:told:{address.database}"
        self._me = secrets.token_bytes(8)
        self._ears = Ears()
        self._queue: OrderedDict[str | int, Told] = OrderedDict()
        self._count = 0
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = False
        self._tried = asyncio.Event()
        self.trouble = ""

    async def start(self) -> None:
        """Returns when it listens or has tried, or after one time-out."""
        self._tasks = [asyncio.create_task(self._speak(), name="redis tell"), asyncio.create_task(self._listen(), name="redis hear")]
        with suppress(TimeoutError):
            async with Patience(self._address.timeout):
                await self._tried.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hear(self, topic: str, hear: Hear) -> Callable[[], None]:
        return self._ears.hear(topic, hear)

    def tell(self, topic: str, data: bytes) -> None:
        self._ears.tell(topic, data)
        key: str | int = topic
        waiting = self._queue.pop(topic, None) if topic in {HEAD, MIRRORED} else None
        if waiting is not None:
            data = merge_heads(waiting.data, data)
        elif topic not in {HEAD, MIRRORED}:
            self._count += 1
            key = self._count
        self._queue[key] = Told(self._me, topic, data)
        if len(self._queue) > _MOST:
            self._queue.popitem(last=False)
        self._wake.set()

    async def _speak(self) -> None:
        while True:
            await self._wake.wait()
            await self._line.well()
            batch = [self._queue.popitem(last=False)[1] for _ in range(min(_AT_ONCE, len(self._queue)))]
            if not self._queue:
                self._wake.clear()
            if batch:
                messages = [_encoder.encode(told) for told in batch]
                # At most once: what was on its way when the server went is not told again.
                await self._line.ask(lambda servers, messages=messages: servers.call(TELL, self._channel, *messages), otherwise=None)  # type: ignore[misc]

    async def _listen(self) -> None:
        pause = _SHORTEST
        while True:
            try:
                await self._listen_once()
            except TimeoutError:
                self.trouble = f"{self._address}: other nodes are not heard, the connection was silent for {_SILENCE:g} s"
            except Away as error:
                self.trouble = f"other nodes are not heard: {error}"
            await self._line.suspect()
            if self._listening:
                pause = _SHORTEST
            self._listening = False
            self._tried.set()
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))  # noqa: S311  # jitter
            pause = min(pause * 1.5, _LONGEST)

    async def _listen_once(self) -> None:
        """Until something fails. Raises Away or TimeoutError."""
        # Any server of a cluster passes on what is told on another.
        place = random.choice(await find(self._address))  # noqa: S311
        wire = await open_wire(place.host, self._address, self._address.login)
        pinger: asyncio.Task[None] | None = None
        try:
            await wire.send(pack(b"SUBSCRIBE", self._channel.encode()))
            pinger = asyncio.create_task(_ping(wire), name="redis ping")
            while True:
                async with Patience(_SILENCE):
                    reply = await wire.receive()
                match reply:
                    case Refused():
                        raise Away(str(reply))
                    case [b"message", _, bytes(data)]:
                        self._heard(data)
                    case [b"subscribe", *_]:
                        self.trouble = ""
                        self._listening = True
                        self._tried.set()
        finally:
            if pinger is not None:
                pinger.cancel()
                await asyncio.gather(pinger, return_exceptions=True)
            await wire.close()

    def _heard(self, data: bytes) -> None:
        try:
            told = _decoder.decode(data)
        except msgspec.DecodeError:
            return  # not of ours, or of a version that says it in another way
        if told.sender != self._me:
            self._ears.tell(told.topic, told.data)


async def _ping(wire: Wire) -> None:
    """Makes a dead connection silent, and a silent one speak."""
    while True:
        await asyncio.sleep(_PING)
        await wire.send(pack(b"PING"))
