"""A long time without a router: a million messages are there at the start that nobody has routed yet."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
from msgspec.structs import replace

from connectors.contract import Request
from connectors.event import MessageReceived, encode_event
from gateway.intake import entry_of, read_events
from gateway.services import Services
from gateway.wiring import open_gateway
from storage import utc_now
from storage.record import Entry
from tests.chaos.crowd import MOST_BYTES, peak
from tests.chaos.provider import Wire, chat_id, update
from tests.chaos.site import figures_of
from tests.support.process import GatewayProcess, free_port, write_config

#: The goals.
MOST_START_SECONDS: Final = 10.0
#: Chats that the messages are of.
CHATS: Final = 5000
_AT_ONCE: Final = 2000


@dataclass(slots=True)
class Backlog:
    """What came of it."""

    waiting: int
    #: Seconds to readiness: with nothing waiting, and with all of it.
    before: float = 0.0
    start: float = 0.0
    peak: int = 0
    #: Worked off while it was watched, and for how long.
    routed: int = 0
    watched: float = 0.0
    #: Seconds to the 2xx of each new message.
    taken: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The figures."""
        middle, slowest = sorted(self.taken)[len(self.taken) // 2] * 1000, max(self.taken) * 1000
        return (
            f"waiting {self.waiting}, ready after {self.start:.1f} s (with none: {self.before:.1f} s), "
            f"memory {self.peak >> 20} MiB at most, routed "
            f"{self.routed / self.watched:.0f}/s (in the order of the stream: what comes now is routed after them) | "
            f"new messages meanwhile {len(self.taken)}, all 2xx, p50/max {middle:.0f}/{slowest:.0f} ms"
        )


async def backlog(waiting: int, seconds: float, progress: Callable[[str], None]) -> Backlog:
    """An embedded gateway that finds so many, and is watched for ``seconds`` while it works them off, beside new messages."""
    found = Backlog(waiting)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        port = free_port()
        gateway = GatewayProcess(write_config(Path(folder), port, "http://127.0.0.1:9"), port)
        found.before = await _start(gateway)
        assert await gateway.stop() == 0, gateway.said()
        async with open_gateway(gateway.load(), workers=False) as services:
            await _fill(services, waiting, progress)
        found.start = await _start(gateway)
        try:
            await _watch(gateway, found, seconds)
        finally:
            await gateway.kill()
    # A machine that is busy with other things is slow with an empty one, too.
    if found.start > max(MOST_START_SECONDS, 1.5 * found.before):
        found.violations.append(f"it was ready after {found.start:.1f} s")
    if found.peak > MOST_BYTES:
        found.violations.append(f"{found.peak >> 20} MiB of memory were used")
    if not found.routed:
        found.violations.append("nothing of it was routed")
    return found


async def _fill(services: Services, waiting: int, progress: Callable[[str], None]) -> None:
    """One real message of each chat, and the others in its image: to read a million would take longer than to keep them."""
    channel = services.channels["shop"]
    patterns: list[tuple[Request, MessageReceived]] = []
    for chat in range(min(CHATS, waiting)):
        request = Request(method="POST", url="http://test/", headers={}, body=update(chat_id(chat, 1), 1), received_at=utc_now())
        (event,) = read_events(channel, request)
        assert isinstance(event, MessageReceived)
        patterns.append((request, event))
    for first in range(0, waiting, _AT_ONCE):
        await services.store.append([_entry(*patterns[number % len(patterns)], number) for number in range(first, first + _AT_ONCE)])
        if first % 100_000 == 0:
            progress(f"{first} of {waiting} messages are there")


def _entry(request: Request, event: MessageReceived, number: int) -> Entry:
    copy = replace(event, key=f"{event.key}-{number}", message_id=f"{event.message_id}-{number}")
    assert encode_event(copy)
    return entry_of("shop", copy, request)


async def _start(gateway: GatewayProcess) -> float:
    began = monotonic()
    await gateway.start()
    return monotonic() - began


async def _watch(gateway: GatewayProcess, found: Backlog, seconds: float) -> None:
    assert gateway.process is not None
    wire, number = Wire((f"127.0.0.1:{gateway.port}",), 0), 0
    began = monotonic()
    while monotonic() - began < seconds:
        number, sent = number + 1, monotonic()
        if await wire.post("/webhooks/shop", update(chat_id(CHATS + 7, 1), number)) != 200:
            found.violations.append(f"message {number} was refused")
        found.taken.append(monotonic() - sent)
        await asyncio.sleep(0.1)
    async with aiohttp.ClientSession() as session:
        found.routed = int((await figures_of(gateway, session)).get("sportello_routed_events_total", 0))
    found.watched = monotonic() - began
    found.peak = peak(gateway.process.pid)
    wire.leave()
