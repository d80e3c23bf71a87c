"""When the database or the disk is away: nothing is done twice for it, nothing stays undone after it."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connectors.abilities import FetchedMedia
from connectors.content import Media
from connectors.event import Status
from gateway.fetch import GuardedFetcher
from gateway.metrics import Metrics
from gateway.work import outbox, supervise
from gateway.work.media import MediaWorker
from gateway.work.outbox import OutboxWorker
from gateway.work.supervise import Supervisor, Worker
from routing.command import FinishAttempt
from routing.router import Router
from storage.errors import Unavailable
from storage.protocol import Store, Transaction
from tests.support.post import Letter, Office, office, running
from tests.support.waiting import eventually

T = TypeVar("T")


class Frail:
    """A store that is away when it is told so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._store.transact(work) if not self.away else self._refuse()

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._store.view(work) if not self.away else self._refuse()

    def _refuse(self) -> Any:
        raise Unavailable("the disk is full")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def frail(open_: Office) -> tuple[Office, Frail]:
    """The same office, over a store that can go away."""
    services = open_.services
    store = Frail(services.store)
    router = Router(store, services.router._rules, services.clock, services.router._signals)
    return replace(open_, services=replace(services, store=store, router=router)), store


async def test_what_was_sent_during_an_outage_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the outage: the outcome waits for the database, and is not cut off by the worker's own restart."""
    for name in ("DRAIN_SECONDS", "POLL_SECONDS", "RECORD_AGAIN_SECONDS"):
        monkeypatch.setattr(outbox, name, 0.02)
    monkeypatch.setattr(supervise, "OUTAGE_PAUSE", 0.02)
    async with office(tmp_path) as whole:
        open_, store = frail(whole)
        answer = asyncio.Event()
        open_.provider.answers.append(answer)
        message = await open_.reply("ada", "one")
        supervisor = Supervisor(Metrics(), first_pause=0.02)
        supervisor.start(Worker("outbox", OutboxWorker(open_.services).run))

        async def called() -> int:
            return len(open_.provider.calls)

        await eventually(called)
        store.away = True
        open_.services.outbox_wake.set()
        answer.set()
        await asyncio.sleep(0.5)  # many times what a restart would have taken
        store.away = False
        done = await eventually(lambda: whole.message(message.id), lambda one: one.status is Status.SENT)
        await supervisor.stop(5)
        assert open_.provider.texts == ["one"]
        assert not done.possible_duplicate


async def test_an_outcome_that_cannot_be_recorded_ends_as_unknown_and_holds_nobody_up(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        router = open_.services.router
        handle = router.handle

        async def fail_once(command: Any) -> Any:
            if isinstance(command, FinishAttempt) and command.attempt.outcome == "sent" and command.attempt.number == 1:
                raise RuntimeError("a bug in a decision")
            return await handle(command)

        first, second = await open_.reply("ada", "one"), await open_.reply("ada", "two")
        router.handle = fail_once  # type: ignore[method-assign]
        async with running(OutboxWorker(open_.services).run):
            found = await eventually(
                lambda: open_.services.store.view(lambda tx: tx.outbox.attempts(first.id)), lambda found: bool(found and found[0].outcome)
            )
            assert (found[0].outcome, "RuntimeError" in found[0].detail) == ("unknown", True)
            done = await eventually(lambda: open_.message(first.id), lambda one: one.status is Status.SENT)
            assert done.possible_duplicate
            assert (await eventually(lambda: open_.message(second.id), lambda one: one.status is not Status.QUEUED)) is not None


async def test_a_worker_whose_database_is_away_comes_back_soon_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pauses do not grow, however long the outage was."""
    monkeypatch.setattr(supervise, "OUTAGE_PAUSE", 0.01)
    loop, times = asyncio.get_running_loop(), list[float]()
    enough = asyncio.Event()

    async def run() -> None:
        times.append(loop.time())
        if len(times) == 12:
            enough.set()
            await asyncio.Event().wait()
        raise Unavailable("the disk is full")

    supervisor = Supervisor(Metrics(), first_pause=0.01)
    supervisor.start(Worker("route", run))
    async with asyncio.timeout(60):
        await enough.wait()
    await supervisor.stop(1)
    # Doubled each time, the last pause alone would have been 20 s.
    assert times[-1] - times[0] < 15


@pytest.fixture
async def fetcher() -> AsyncIterator[GuardedFetcher]:
    made = GuardedFetcher()
    yield made
    await made.close()


async def test_a_file_that_cannot_be_kept_is_tried_later_and_harms_no_other(
    tmp_path: Path, fetcher: GuardedFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path) as open_:
        files = open_.services.files
        save = files.save

        async def full(data: bytes) -> Any:
            if data == b"unlucky":
                raise OSError(errno.ENOSPC, "No space left on device")
            return await save(data)

        monkeypatch.setattr(files, "save", full)
        open_.provider.files = {"f1": FetchedMedia(data=b"unlucky"), "f2": FetchedMedia(data=b"lucky")}
        for number in (1, 2):
            await open_.take(Letter(id=str(number), sender=f"s{number}", file=f"f{number}"))
        async with running(MediaWorker(open_.services, fetcher).run) as worker:

            async def parts() -> list[Any]:
                return [(await open_.messages(f"s{number}"))[0].parts[0] for number in (1, 2)]

            unlucky, _ = await eventually(parts, lambda found: bool(found[1].stored))
            assert isinstance(unlucky, Media)

            async def retries() -> float:
                return open_.services.metrics.value("sportello_media_total", channel="post", outcome="retry")

            await eventually(retries)
            assert not worker.done()
        (job,) = await open_.services.store.view(lambda tx: tx.files.due_jobs(open_.services.clock().replace(year=9000), 9))
        assert (job.ref, job.attempts) == ("f1", 1)
