"""The servers of one moment: which ones can be written, one connection to each, and which key is where.

It is found once and used until anything fails; then it is thrown away and found again. So a failover, a moved slot and a half-open
connection are all the same case.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from redis.crc import key_slot

from storage.redis_bus.address import Address, Host, Kind
from storage.redis_bus.patience import Patience
from storage.redis_bus.scripts import PROBE
from storage.redis_bus.wire import Away, Refused, Reply, Wire, open_wire, pack

SLOTS: Final = 16384
#: Commands in one exchange.
_MOST: Final = 256
#: Of a caller's time-out: so that it is the connection that gives up, and all who wait for it know at once.
_SHARE: Final = 0.8


class Place(Struct, frozen=True):
    """A server that can be written, and the slots it has."""

    host: Host
    slots: tuple[tuple[int, int], ...] = ((0, SLOTS - 1),)

    def has(self, slot: int) -> bool:
        return any(first <= slot <= last for first, last in self.slots)


class Call(Struct, frozen=True):
    """A script on one key."""

    script: str
    key: str
    arguments: tuple[str | bytes | int | float, ...] = ()

    def packed(self) -> bytes:
        arguments = [part if isinstance(part, bytes) else str(part).encode() for part in self.arguments]
        return pack(b"EVAL", self.script.encode(), b"1", self.key.encode(), *arguments)


async def find(address: Address) -> list[Place]:
    """Ask the Sentinels, or a node of the cluster. Raises Away."""
    if address.kind is Kind.SINGLE:
        return [Place(address.hosts[0])]
    said = []
    # Not always in the same order: the first may be the one that hangs.
    for host in random.sample(address.hosts, len(address.hosts)):
        try:
            async with Patience(address.timeout):
                if address.kind is Kind.SENTINEL:
                    return [Place(await _master(host, address))]
                return await _primaries(host, address)
        except TimeoutError:
            said.append(f"{host}: no answer in time")
        except Away as error:
            said.append(str(error))
    raise Away("; ".join(said))


async def _master(host: Host, address: Address) -> Host:
    wire = await open_wire(host, _plain(address), address.sentinel_login)
    try:
        reply = await wire.ask(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", address.service.encode())
    finally:
        await wire.close()
    match reply:
        case [bytes(name), bytes(port)]:
            return Host(name.decode(), int(port))
    raise Away(f"{host}: this Sentinel knows no service {address.service!r}")


async def _primaries(host: Host, address: Address) -> list[Place]:
    wire = await open_wire(host, address, address.login)
    try:
        reply = await wire.ask(b"CLUSTER", b"SLOTS")
    finally:
        await wire.close()
    slots: dict[Host, list[tuple[int, int]]] = {}
    for row in reply if isinstance(reply, list) else ():
        match row:
            case [int(first), int(last), [name, int(port), *_], *_]:
                # A node that does not know its own address means the one that we have come by.
                known = name.decode() if isinstance(name, bytes) and name not in {b"", b"?"} else host.name
                slots.setdefault(Host(known, port), []).append((first, last))
    if sum(last - first + 1 for ranges in slots.values() for first, last in ranges) != SLOTS:
        raise Away(f"{host}: CLUSTERDOWN, not all slots have a server")
    return [Place(where, tuple(ranges)) for where, ranges in slots.items()]


def _plain(address: Address) -> Address:
    return Address(
        kind=address.kind, hosts=address.hosts, tls=address.tls, ca=address.ca, cert=address.cert, key=address.key, timeout=address.timeout
    )


class Pump:
    """Sends what came together in one exchange, so that a thousand callers need one connection and few round trips."""

    def __init__(self, wire: Wire, timeout: float) -> None:
        self._wire = wire
        self._timeout = timeout
        self._queue: deque[tuple[bytes, asyncio.Future[Reply | Exception]]] = deque()
        self._wake = asyncio.Event()
        self._broken: Away | None = None
        self._task = asyncio.create_task(self._run(), name=f"redis {wire.host}")

    def submit(self, command: bytes) -> asyncio.Future[Reply | Exception]:
        """The future is given the reply, or an exception as its value."""
        future: asyncio.Future[Reply | Exception] = asyncio.get_running_loop().create_future()
        if self._broken is not None:
            future.set_result(self._broken)
        else:
            self._queue.append((command, future))
            self._wake.set()
        return future

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._break(Away(f"{self._wire.host}: the connection was given up"), [])
        await self._wire.close()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                taken = [self._queue.popleft() for _ in range(min(_MOST, len(self._queue)))]
                batch = [(command, future) for command, future in taken if not future.done()]
                try:
                    async with Patience(self._timeout):
                        replies = await self._wire.exchange([command for command, _ in batch]) if batch else []
                except (Away, TimeoutError) as error:
                    self._break(error if isinstance(error, Away) else Away(self._wire.explain(error)), [future for _, future in batch])
                    return
                except asyncio.CancelledError:
                    self._break(Away(f"{self._wire.host}: the connection was given up"), [future for _, future in batch])
                    raise
                for (_, future), reply in zip(batch, replies, strict=True):
                    if not future.done():
                        future.set_result(reply)

    def _break(self, error: Away, waiting: Sequence[asyncio.Future[Reply | Exception]]) -> None:
        self._broken = self._broken or error
        for future in (*waiting, *(future for _, future in self._queue)):
            if not future.done():
                future.set_result(self._broken)
        self._queue.clear()


class Servers:
    """Made by :func:`reach`."""

    def __init__(self, places: Sequence[Place], wires: Sequence[Wire], timeout: float) -> None:
        self._places = list(zip(places, [Pump(wire, timeout) for wire in wires], strict=True))

    async def call(self, script: str, key: str, *arguments: str | bytes | float) -> Reply:
        """Run one script. Raises Away."""
        (reply,) = await self.call_all([Call(script, key, arguments)])
        return reply

    async def call_all(self, calls: Sequence[Call]) -> list[Reply]:
        """Run scripts, those of one server together. Raises Away if any of them failed; the others may have happened."""
        futures = [self._pump(call.key).submit(call.packed()) for call in calls]
        replies: list[Reply] = []
        for future in futures:
            reply = await future
            if isinstance(reply, Refused):
                raise Away(str(reply))
            if isinstance(reply, Exception):
                raise reply
            replies.append(reply)
        return replies

    async def probe(self, prefix: str) -> None:
        """Write to each of them. Raises Away."""
        await self.call_all([Call(PROBE, _key_at(place, prefix)) for place, _ in self._places])

    async def close(self) -> None:
        for _, pump in self._places:
            await pump.close()

    def _pump(self, key: str) -> Pump:
        if len(self._places) == 1:
            return self._places[0][1]
        slot = key_slot(key.encode())
        return next(pump for place, pump in self._places if place.has(slot))


async def reach(address: Address) -> Servers:
    """Find the servers and connect to all of them. Raises Away, with nothing left open."""
    places = await find(address)
    wires: list[Wire] = []
    try:
        for place in places:
            wires.append(await open_wire(place.host, address, address.login))  # noqa: PERF401  # those open already are closed on failure
    except BaseException:
        for wire in wires:
            await wire.close()
        raise
    return Servers(places, wires, address.timeout * _SHARE)


def _key_at(place: Place, prefix: str) -> str:
    """A key that this server has."""
    number = 0
    while not place.has(key_slot(f"{prefix}:probe:{number}".encode())):
        number += 1
    return f"{prefix}:probe:{number}"
