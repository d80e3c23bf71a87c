"""A bad network in the middle of a good one: a TCP proxy on loopback that delays, trickles, swallows, mutes, refuses and cuts.

What it does is a :class:`Weather`, for all connections or for one, and may change while they are open. A :class:`Trap` cuts at a
certain byte, or when certain bytes pass, for example at the moment of a COMMIT.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

_CHUNK = 65_536
#: A trickle writes so often.
_TICK = 0.02
#: SO_LINGER with no time: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)

#: What a client of PostgreSQL sends to commit, and what the server answers once it is done: the same word.
PG_COMMIT = b"COMMIT\x00"


class Way(StrEnum):
    """A direction."""

    #: From the client to the server.
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Weather:
    """How a connection fares. The default is a fine day."""

    #: Seconds that each piece of data waits, in each direction.
    delay: float = 0.0
    #: Bytes a second in each direction; 0: no limit.
    rate: float = 0.0
    #: New connections are accepted, what comes is swallowed, and nobody ever answers.
    deaf: bool = False
    #: What goes this way disappears, as in a half-open connection.
    mute: frozenset[Way] = frozenset()


@dataclass(slots=True)
class Trap:
    """Resets a connection once: when ``pattern`` has passed ``way``, or the byte number ``at`` of that way.

    ``deliver``: the fatal bytes still reach the other side, which then cannot answer. Otherwise they are lost.
    """

    way: Way
    pattern: bytes = b""
    at: int = 0
    deliver: bool = False
    #: Connections that it may still cut.
    times: int = 1
    sprung: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        if bool(self.pattern) == bool(self.at):
            raise ValueError("a trap waits for a pattern or for a byte")


class Link:
    """One client's connection through the proxy."""

    def __init__(self, proxy: "ChaosProxy", near: asyncio.StreamWriter, far: asyncio.StreamWriter | None) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far
        self._weather: Weather | None = None
        self._passed = {Way.UP: 0, Way.DOWN: 0}
        self._tail = {Way.UP: b"", Way.DOWN: b""}

    @property
    def weather(self) -> Weather:
        """Its own, or else the proxy's."""
        return self._weather or self._proxy.weather

    def suffer(self, **changes: object) -> None:
        """Have a weather of one's own from now on."""
        self._weather = replace(self.weather, **changes)  # type: ignore[arg-type]

    def reset(self) -> None:
        """RST in both directions, at once; what was under way is lost."""
        for writer in (self._near, self._far):
            if writer is not None:
                _reset(writer)

    async def pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction until it ends."""
        try:
            while data := await reader.read(_CHUNK):
                if self.weather.deaf:
                    continue
                if self.weather.delay:
                    await asyncio.sleep(self.weather.delay)
                if way in self.weather.mute:
                    continue
                trap, upto = self._springs(way, data)
                if trap is not None:
                    await self._cut(trap, writer, data[:upto])
                    return
                await self._write(writer, data)
            if way not in self.weather.mute and writer.can_write_eof():
                writer.write_eof()
        except OSError:
            self.reset()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            rate = self.weather.rate
            piece = data[: max(1, int(rate * _TICK))] if rate else data
            writer.write(piece)
            await writer.drain()
            data = data[len(piece) :]
            if rate:
                await asyncio.sleep(len(piece) / rate)

    def _springs(self, way: Way, data: bytes) -> tuple[Trap | None, int]:
        """The trap that these bytes spring, and up to where they go."""
        before, seen = self._passed[way], self._tail[way] + data
        offset = len(self._tail[way])
        longest = max((len(trap.pattern) for trap in self._proxy.traps), default=1)
        self._passed[way] = before + len(data)
        self._tail[way] = seen[-(longest - 1) :] if longest > 1 else b""
        for trap in self._proxy.traps:
            if trap.way is not way or trap.times <= 0:
                continue
            if trap.pattern:
                found = seen.find(trap.pattern)
                if found >= 0:
                    return trap, max(0, found + len(trap.pattern) - offset)
            elif before < trap.at <= before + len(data):
                return trap, trap.at - before
        return None, 0

    async def _cut(self, trap: Trap, writer: asyncio.StreamWriter, data: bytes) -> None:
        trap.times -= 1
        if not trap.deliver:
            self.reset()
        else:
            # The side that gets the fatal bytes must be able to read them: a reset would take them away again.
            other = self._near if trap.way is Way.UP else self._far
            if other is not None:
                _reset(other)
            with contextlib.suppress(OSError):
                await self._write(writer, data)
                writer.close()
                await writer.wait_closed()
        trap.sprung.set()


class ChaosProxy:
    """Listens on a port of loopback and passes on to ``host``:``port``, or to the Unix socket ``path``."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1", path: str = "") -> None:
        self._target = (host, port)
        self._path = path
        self._server: asyncio.Server | None = None
        self._own_port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.weather = Weather()
        self.traps: list[Trap] = []
        self.links: set[Link] = set()
        #: Connections so far.
        self.accepted = 0

    @property
    def port(self) -> int:
        """Its own; stays the same while it refuses."""
        return self._own_port

    async def open(self) -> None:
        """Take connections (again)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._take, "127.0.0.1", self._own_port)
            self._own_port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """New connections are refused from now on; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            # The kernel still lists the port until the loop has closed it.
            await asyncio.sleep(0)

    def lead_to(self, port: int) -> None:
        """New connections go there from now on."""
        self._target = (self._target[0], port)

    def suffer(self, **changes: object) -> None:
        """Change the weather for all who have none of their own: ``suffer(delay=0.2)``."""
        self.weather = replace(self.weather, **changes)  # type: ignore[arg-type]

    def clear(self) -> None:
        """A fine day for everybody; no traps."""
        self.weather = Weather()
        self.traps.clear()
        for link in self.links:
            link._weather = None

    def lay(self, trap: Trap) -> Trap:
        """Set a trap for all connections, open and new."""
        self.traps.append(trap)
        return trap

    def reset(self) -> int:
        """RST for everybody; returns how many."""
        links = tuple(self.links)
        for link in links:
            link.reset()
        return len(links)

    async def close(self) -> None:
        """End everything."""
        await self.refuse()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        link = Link(self, writer, None)
        self.links.add(link)
        try:
            await self._carry(link, reader, writer)
        except asyncio.CancelledError:
            link.reset()
        finally:
            self.links.discard(link)
            writer.close()

    async def _carry(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if link.weather.deaf:
            await link.pump(Way.UP, reader, writer)
            return
        try:
            far_reader, far = await self._connect()
        except OSError:
            link.reset()
            return
        link._far = far
        ways = [
            asyncio.create_task(link.pump(Way.UP, reader, far)),
            asyncio.create_task(link.pump(Way.DOWN, far_reader, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._path:
            return await asyncio.open_unix_connection(self._path)
        return await asyncio.open_connection(*self._target)


@contextlib.asynccontextmanager
async def chaos_proxy(port: int = 0, host: str = "127.0.0.1", path: str = "") -> AsyncIterator[ChaosProxy]:
    """A proxy to ``host``:``port`` or to a Unix socket, open."""
    proxy = ChaosProxy(port, host, path)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


@contextlib.asynccontextmanager
async def storming(proxy: ChaosProxy, pause: Callable[[], float], whom: float = 1.0) -> AsyncIterator[None]:
    """Reset the connections again and again while the block runs, after ``pause()`` seconds each time; ``whom`` is the share."""

    async def again() -> None:
        turn = 0.0
        while True:
            await asyncio.sleep(pause())
            for link in tuple(proxy.links):
                turn += whom
                if turn >= 1:
                    turn -= 1
                    link.reset()

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _reset(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing() and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
