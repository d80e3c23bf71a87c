"""PostgreSQL's disk is full, below its tables or its log: providers hear 2xx or 503, and what was taken is there afterwards."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
import asyncpg
import msgspec
import pytest

from connectors.content import plain_text
from storage import open_store
from storage.access import Scope
from storage.protocol import Store, Transaction
from storage.record import MessageKind
from tests.chaos.provider import Wire
from tests.chaos.site import DATABASE, spooled
from tests.crash.shop import update
from tests.crash.test_world import fill
from tests.support.postgres import PostgresServer, binaries, missing_server, run_sql
from tests.support.process import GatewayProcess, free_port, seed_agent, write_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos

CHATS: Final = 8
#: Within so long after there is room again everything has been handed over.
MOST_SECONDS: Final = 120.0
_SIZE: Final = "160m"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Where this machine lets us have one. Short: the path of a Unix socket has room for a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="full-") as name:
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", name]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            sys.stderr.write("\n*** NO FULL DISK UNDER POSTGRESQL: only root can mount a small one\n")
            pytest.skip("NOT TESTED: only root can mount a small disk")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


@pytest.fixture
async def server(small_disk: Path) -> AsyncIterator[PostgresServer]:
    """On the small disk, with little room of its own."""
    if binaries() is None:
        missing_server()
    made = PostgresServer(small_disk / "pg", durable=True, settings={"max_wal_size": "48MB", "min_wal_size": "32MB"})
    await asyncio.to_thread(made.start)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.remove)


@pytest.fixture
async def gateway(server: PostgresServer, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    port = free_port()
    more = f'\n[storage]\nurl = "{server.url(DATABASE)}"\n'
    made = GatewayProcess(write_config(tmp_path, port, "http://127.0.0.1:9", more), port)
    await seed_agent(made.load())
    await made.start()
    try:
        yield made
    finally:
        await made.kill()


class Shopper:
    """Writes long messages, one after the other; never again what was not taken."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._wire = Wire((f"127.0.0.1:{gateway.port}",), 0)
        self._number = 0
        self.taken: list[str] = []
        self.slowest = 0.0

    async def write(self) -> int:
        self._number += 1
        began = monotonic()
        text = f"m{self._number} " + "x" * 3000
        status = await self._wire.post("/webhooks/shop", msgspec.json.encode(update(self._number, 1 + self._number % CHATS, text)))
        self.slowest = max(self.slowest, monotonic() - began)
        if status == 200:
            self.taken.append(f"m{self._number}")
        return status

    def leave(self) -> None:
        self._wire.leave()


@pytest.mark.parametrize("until", ["tables", "log"])
async def test_a_full_disk_under_postgresql_loses_nothing_and_it_goes_on(
    server: PostgresServer, gateway: GatewayProcess, small_disk: Path, until: str
) -> None:
    shopper = Shopper(gateway)
    assert [await shopper.write() for _ in range(20)] == [200] * 20
    filler = small_disk / "filler"
    await asyncio.to_thread(fill, filler)
    word = "could not extend file" if until == "tables" else "PANIC"
    statuses: list[int] = []
    began = monotonic()
    while word not in server.log() or len(statuses) < 100:
        assert monotonic() - began < 200, f"the disk is not full enough for {word}:\n{server.log()[-2000:]}"
        statuses.append(await shopper.write())
        if until == "log":
            # Its log, which is kept ready in pieces, is used up so much sooner.
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await run_sql(server.url(DATABASE), "SELECT pg_switch_wal()")
    assert set(statuses) <= {200, 503}
    async with aiohttp.ClientSession() as session:
        kept = await spooled([gateway], session)
        assert kept, "the disk was full, and nothing was spooled: this test sees too little"
        filler.unlink()
        began = monotonic()
        if await asyncio.to_thread(ended, server):
            # As systemd does it.
            await asyncio.to_thread(server.start)
        async with asyncio.timeout(MOST_SECONDS):
            while await spooled([gateway], session):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        seconds = monotonic() - began
    assert await shopper.write() == 200
    shopper.leave()
    store = await open_store(server.url(DATABASE))
    try:
        await eventually(lambda: history(store), lambda found: sorted(found) == sorted(shopper.taken))
        assert await store.check() == []
    finally:
        await store.close()
    assert await gateway.stop() == 0, gateway.said()
    print(  # noqa: T201 - the figures belong in the report
        f"\nPostgreSQL's disk full ({until}): {len(statuses)} messages meanwhile, {statuses.count(503)} refused, {kept} spooled, "
        f"slowest answer {shopper.slowest:.2f} s, handed over {seconds:.1f} s after there was room, lost 0"
    )


def ended(server: PostgresServer) -> bool:
    """Has it given up, and does it stay so? It begins anew by itself as long as it can."""
    assert server._process is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        server._process.wait(2)
    return server._process.poll() is not None


async def history(store: Store) -> list[str]:
    """The first word of every shopper's line; within a chat they have to be in order."""

    async def work(tx: Transaction) -> list[str]:
        found: list[str] = []
        for one in await tx.conversations.page(Scope(everything=True), states=[], queue_id="", assignee_id="", before=0, limit=100):
            lines = await tx.messages.of_conversation(one.id, 0, 0, 10_000)
            words = [plain_text(line.parts).split()[0] for line in lines if line.kind is MessageKind.INBOUND]
            assert words == sorted(words, key=lambda word: int(word[1:])), "a chat is out of order"
            found += words
        return found

    return await store.view(work)
