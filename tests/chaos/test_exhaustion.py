"""What runs out: file descriptors, and room for a backlog. It says no, goes on with what it has, and is well again afterwards."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from connectors.contract import Request
from gateway.intake import entry_of, read_events
from gateway.wiring import open_gateway
from storage import utc_now
from tests.chaos.cut_embedded import SAFE
from tests.chaos.provider import Wire, chat_id, update
from tests.support.process import GatewayProcess, free_port, write_config

pytestmark = pytest.mark.chaos

BACKLOG = 20_000
MOST_BYTES = 300 << 20


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """Not yet started."""
    port = free_port()
    made = GatewayProcess(write_config(tmp_path, port, "http://127.0.0.1:9"), port)
    try:
        yield made
    finally:
        if made.process is not None:
            await made.kill()


async def test_no_descriptor_is_left(gateway: GatewayProcess, tmp_path: Path) -> None:
    await gateway.start()
    assert gateway.process is not None
    pid = gateway.process.pid
    chat, wire = chat_id(0, 1), Wire((f"127.0.0.1:{gateway.port}",), 0)
    assert await wire.post("/webhooks/shop", update(chat, 1)) == 200
    used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - numbers only
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, before[1]))
    crowd = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(60)]
    # Who is connected is served: nothing that makes a message durable needs a new descriptor.
    for number in range(2, 20):
        assert await wire.post("/webhooks/shop", update(chat, number)) == 200
    for _, writer in crowd:
        writer.transport.abort()
    late = Wire((f"127.0.0.1:{gateway.port}",), 0)
    began = monotonic()
    # Who comes while there is none left may be hung up on; a provider comes again.
    while await late.post("/webhooks/shop", update(chat, 20)) != 200:
        assert monotonic() - began < 20
        await asyncio.sleep(0.05)
    assert gateway.said().count("out of system resource") < 20
    for each in (wire, late):
        each.leave()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert await gateway.stop() == 0, gateway.said()
    assert await SAFE.recover(tmp_path) == {f"q{chat}-{number}" for number in range(1, 21)}


async def test_a_backlog_delays_no_start_and_fits_into_memory(gateway: GatewayProcess) -> None:
    """As after a long time without a router: everything is there at once, and a provider is answered all the same."""
    async with open_gateway(gateway.load(), workers=False) as services:
        channel = services.channels["shop"]
        for first in range(0, BACKLOG, 500):
            entries = []
            for number in range(first, first + 500):
                body = update(chat_id(number % 500, 1), number // 500 + 1)
                request = Request(method="POST", url="http://test/", headers={}, body=body, received_at=utc_now())
                entries += [entry_of("shop", event, request) for event in read_events(channel, request)]
            await services.store.append(entries)
    began = monotonic()
    await gateway.start()
    assert monotonic() - began < 30
    assert gateway.process is not None
    wire = Wire((f"127.0.0.1:{gateway.port}",), 0)
    for number in range(1, 20):
        assert await wire.post("/webhooks/shop", update(chat_id(700, 1), number)) == 200
        await asyncio.sleep(0.1)
    wire.leave()
    assert peak_memory(gateway.process.pid) < MOST_BYTES


def peak_memory(pid: int) -> int:
    """In bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
