"""To note an exchange costs microseconds, never waits, never fails; what there is no room for is counted."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from config import Config
from connectors.contract import Call, Reply, Request, Sent
from gateway import channel_log
from gateway.channel_log import BATCH, KEEP, QUEUE, Journal, Note
from gateway.metrics import Metrics
from storage import open_store
from storage.errors import StorageError, Unavailable
from storage.interaction import Interaction, InteractionKind, LogFilter
from storage.protocol import Store
from tests.support.far_store import FarStore, Line
from tests.support.postgres import driver_url, fresh_database
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
DROPPED = "sportello_channel_log_dropped_total"


@dataclass
class Desk:
    """A journal on a store that can be away."""

    journal: Journal
    store: Store
    far: FarStore
    metrics: Metrics
    now: datetime = field(default=NOW)

    def note(self, number: int, *, ok: bool = True) -> None:
        self.journal.note(Note(channel="bot", at=NOW + timedelta(milliseconds=number), kind=InteractionKind.SEND, ok=ok, code=str(number)))

    async def codes(self) -> list[int]:
        found: Sequence[Interaction] = await self.store.view(lambda tx: tx.channel_log.page("bot", LogFilter(), "", 10_000))
        return [int(one.code) for one in found][::-1]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await open_store(f"sqlite://{tmp_path}/journal.db")
    far, metrics = FarStore(store), Metrics()
    yield Desk(Journal(far, Config(), {}, metrics, lambda: NOW), store, far, metrics)
    await store.close()


async def test_when_too_many_wait_what_went_well_gives_way(desk: Desk) -> None:
    for number in range(QUEUE):
        desk.note(number)
    assert desk.metrics.value(DROPPED, channel="bot") == QUEUE // 2
    for number in range(QUEUE, 2 * QUEUE):
        desk.note(number, ok=False)
    assert desk.metrics.value(DROPPED, channel="bot") == QUEUE // 2 + QUEUE // 2
    for _ in range(QUEUE // BATCH):
        await desk.journal.write()
    assert await desk.codes() == [*range(QUEUE // 2), *range(QUEUE, QUEUE + QUEUE // 2)]


async def test_nothing_waits_for_a_database_that_is_away(desk: Desk) -> None:
    desk.far.line = Line.CUT
    desk.note(1)
    with pytest.raises(Unavailable):
        await desk.journal.write()
    desk.note(2)
    desk.far.line = Line.UP
    await desk.journal.write()
    assert await desk.codes() == [1, 2]
    assert desk.metrics.value(DROPPED, channel="bot") == 0


async def test_the_worker_writes_the_last_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_log, "EVERY_SECONDS", 60.0)
    worker = asyncio.create_task(desk.journal.run())
    desk.note(1)
    await eventually(desk.codes)
    for number in range(2, BATCH * 2):
        desk.note(number)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert await desk.codes() == list(range(1, BATCH * 2))


async def test_a_batch_that_cannot_be_written_harms_no_other(desk: Desk) -> None:
    desk.journal.note(Note(channel="bot", at=datetime(2026, 11, 3), kind=InteractionKind.SEND, ok=True))  # noqa: DTZ001 - that is the fault
    await desk.journal.write()
    assert desk.metrics.value(DROPPED, channel="bot") == 1
    desk.note(2)
    await desk.journal.write()
    assert await desk.codes() == [2]


async def test_the_oldest_are_forgotten(desk: Desk) -> None:
    for number in range(KEEP + 50):
        desk.note(number)
        if number % BATCH == 0:
            await desk.journal.write()
    while len(await desk.codes()) < KEEP + 50:
        await desk.journal.write()
    assert await desk.journal.prune() == 50
    assert await desk.codes() == list(range(50, KEEP + 50))


async def test_to_note_is_cheap(desk: Desk) -> None:
    """A bound far above the usual few microseconds: what fails here is work that belongs behind the queue."""
    body = b'{"text": "' + b"ciao " * 100 + b'"}'
    request = Request(method="POST", url="http://x/webhooks/bot", headers={"a": "b"}, body=body, received_at=NOW)
    call, reply = Call(method="POST", url="http://x", json={"text": "ciao"}), Reply(status=200, body=body)
    best = min(_spent(desk.journal, request, call, reply) for _ in range(20))
    assert best < 200e-6, f"{best * 1e6:.0f} µs for one webhook and one sending"


def _spent(journal: Journal, request: Request, call: Call, reply: Reply) -> float:
    began = time.perf_counter()
    journal.arrived("bot", request, "appended", (), (1,), 0.001)
    journal.called("bot", "msg_1", call, reply, Sent("77"), 0.1)
    return time.perf_counter() - began


async def test_it_waits_for_no_one_who_holds_the_head(postgres_server: Any) -> None:
    """On PostgreSQL every append waits for one row; the log must not, and must not make anybody wait."""
    async with fresh_database(postgres_server) as url:
        store = await open_store(url)
        journal = Journal(store, Config(), {}, Metrics(), lambda: NOW)
        holder = await asyncpg.connect(driver_url(url))
        try:
            async with holder.transaction():
                await holder.execute("SELECT 1 FROM head FOR UPDATE")
                journal.note(Note(channel="bot", at=NOW, kind=InteractionKind.SEND, ok=True))
                async with asyncio.timeout(30):
                    await journal.write()
                assert len(await store.view(lambda tx: tx.channel_log.newest())) == 1
        finally:
            await holder.close()
            await store.close()


async def test_the_log_cannot_append_to_the_stream(postgres_server: Any) -> None:
    async with fresh_database(postgres_server) as url:
        store = await open_store(url)
        with pytest.raises(StorageError):
            await store.aside(lambda tx: tx.stream.append([]))
        await store.close()
