"""Thousands of strangers who begin to upload at once and never finish: what it costs in memory, and who else has to wait.

Each sends all of a body but its end, as large as is allowed. None has to prove anything for that: a signature can be checked only
when the body is there.
"""

import asyncio
import contextlib
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tests.chaos.provider import Wire, chat_id, update
from tests.support.process import GatewayProcess, free_port, write_config

#: A little less than the largest body.
BODY: Final = 1024 * 1024 - 100
#: Of one node; the goal for its memory under any load.
MOST_BYTES: Final = 300 << 20
#: A provider that has to wait longer than this comes again.
MOST_SECONDS: Final = 5.0
#: How many of them are sending at any moment; the others have sent, and wait.
_AT_ONCE: Final = 64
#: The last ones are answered after so long.
_ANSWER_SECONDS: Final = 0.5
_PIECE: Final = b"x" * 65536


@dataclass(slots=True)
class Crowd:
    """What came of it."""

    strangers: int
    #: How many were told to go, or hung up on, before the end.
    refused: int = 0
    #: Bytes that they sent.
    sent: int = 0
    #: Largest resident memory of the gateway, in bytes: before, and of all.
    before: int = 0
    peak: int = 0
    #: Seconds to each 2xx of those who meant it.
    taken: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The figures."""
        slowest, middle = max(self.taken) * 1000, sorted(self.taken)[len(self.taken) // 2] * 1000
        return (
            f"strangers {self.strangers}, sent {self.sent >> 20} MiB, refused {self.refused} | "
            f"memory {self.before >> 20} MiB before, {self.peak >> 20} MiB at most | "
            f"messages beside them {len(self.taken)}, all 2xx in the end, p50/max {middle:.0f}/{slowest:.0f} ms"
        )


async def crowd(strangers: int, progress: Callable[[str], None]) -> Crowd:
    """A gateway, so many strangers, and one shopper beside them."""
    found = Crowd(strangers)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, _many_descriptors(strangers + 500):
        port = free_port()
        gateway = GatewayProcess(write_config(Path(folder), port, "http://127.0.0.1:9"), port)
        await gateway.start()
        try:
            assert gateway.process is not None
            found.before = resident(gateway.process.pid)
            await _meet(gateway, found, progress)
            found.peak = peak(gateway.process.pid)
            assert await gateway.stop() == 0, gateway.said()
        finally:
            await gateway.kill()
    if found.peak > MOST_BYTES:
        found.violations.append(f"{found.peak >> 20} MiB of memory were used")
    if max(found.taken) > MOST_SECONDS:
        found.violations.append(f"a message was taken after {max(found.taken):.1f} s")
    return found


async def _meet(gateway: GatewayProcess, found: Crowd, progress: Callable[[str], None]) -> None:
    gate, done = asyncio.Semaphore(_AT_ONCE), asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        shopper = asyncio.create_task(_write(gateway, found, done))
        strangers = [asyncio.create_task(_stranger(gateway, found, gate)) for _ in range(found.strangers)]
        stack.push_async_callback(_end, [shopper, *strangers])
        # All have sent what they have, or have been told to go.
        while any(not stranger.done() for stranger in strangers):
            await asyncio.wait(strangers, timeout=5)
            progress(f"{sum(one.done() for one in strangers)} of {found.strangers} have sent all, {found.sent >> 20} MiB")
        lines = [stranger.result() for stranger in strangers]
        done.set()
        await shopper
        await asyncio.sleep(_ANSWER_SECONDS)
        for line in lines:
            if line is not None:
                found.refused += _is_answered(line[0])
                line[1].transport.abort()


async def _stranger(
    gateway: GatewayProcess, found: Crowd, gate: asyncio.Semaphore
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Its open connection, or None if it was told to go."""
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n"
        try:
            writer.write(head.encode())
            for _ in range(BODY // len(_PIECE)):
                writer.write(_PIECE)
                await writer.drain()
                found.sent += len(_PIECE)
                if _is_answered(reader):
                    raise ConnectionError
        except OSError:
            found.refused += 1
            writer.transport.abort()
            return None
    return reader, writer


def _is_answered(reader: asyncio.StreamReader) -> bool:
    return reader.at_eof() or bool(reader._buffer)  # type: ignore[attr-defined]


async def _write(gateway: GatewayProcess, found: Crowd, done: asyncio.Event) -> None:
    """Messages one after the other, each again until it is taken."""
    wire, number = Wire((f"127.0.0.1:{gateway.port}",), 0), 0
    while not done.is_set() or number < 10:
        number, began = number + 1, monotonic()
        while await wire.post("/webhooks/shop", update(chat_id(0, 1), number)) != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        found.taken.append(monotonic() - began)
        await asyncio.sleep(0.02)
    wire.leave()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _many_descriptors(number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < number:
        raise RuntimeError(f"this needs {number} descriptors, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident(pid: int) -> int:
    """In bytes, now."""
    return _figure(pid, "VmRSS:")


def peak(pid: int) -> int:
    """In bytes, at most so far."""
    return _figure(pid, "VmHWM:")


def _figure(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name))
