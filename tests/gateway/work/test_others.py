"""Routing, listening, media and the clock, over a real store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.abilities import FetchedMedia
from connectors.content import Media
from connectors.event import Status
from gateway.fetch import GuardedFetcher
from gateway.intake import take_in
from gateway.work.actor import GATEWAY
from gateway.work.listen import ListenWorker, is_receiver
from gateway.work.media import MediaWorker
from gateway.work.route import RouteWorker
from gateway.work.tick import KEEP_KEYS, KEEP_PARKED, TickWorker
from routing.command import Snooze
from storage.record import State
from tests.support.pictures import PNG
from tests.support.post import Letter, Office, office, request, running
from tests.support.waiting import eventually


class Clock:
    """Real time, with an offset that a test sets."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


async def test_what_comes_in_is_routed_without_being_asked_for(tmp_path: Path) -> None:
    async with office(tmp_path) as open_, running(RouteWorker(open_.services).run):
        for number in range(3):
            await take_in(open_.services, open_.services.channels["post"], request(Letter(id=str(number), sender="ada", text="hi")))

            async def texts() -> int:
                return len([message for message in await open_.messages("ada") if message.kind == "inbound"])

            # The second and third come while the worker waits.
            await eventually(texts, lambda found, wanted=number + 1: found == wanted)  # type: ignore[misc]
        assert open_.services.metrics.value("sportello_routed_events_total") >= 3


async def test_a_receivers_letter_is_forgotten_by_the_provider_only_when_it_is_durable(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        provider, channel = open_.provider, open_.services.channels["post"]
        assert is_receiver(channel)
        worker = ListenWorker(open_.services, channel)
        async with running(worker.run):
            for number in range(3):
                provider.letters.put_nowait(request(Letter(id=str(number), sender="ada", text="hi")))

            async def forgotten() -> int:
                return provider.forgotten

            await eventually(forgotten, lambda number: number == 3)
        assert await open_.services.store.view(lambda tx: tx.stream.count("message.received", "post")) == 3


async def test_a_receiver_does_not_go_on_while_the_database_is_away(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        provider = open_.provider
        worker = ListenWorker(open_.services, open_.services.channels["post"])
        await open_.services.store.close()
        provider.letters.put_nowait(request(Letter(id="1", sender="ada", text="hi")))
        async with running(worker.run) as task:

            async def taken() -> bool:
                return provider.letters.empty()

            await eventually(taken)
            await asyncio.sleep(0.05)
            assert not task.done()
            assert provider.forgotten == 0


async def media_of(open_: Office, sender: str) -> Media:
    (part,) = (await open_.messages(sender))[0].parts
    assert isinstance(part, Media)
    return part


@pytest.fixture
async def fetcher() -> AsyncIterator[GuardedFetcher]:
    made = GuardedFetcher()
    yield made
    await made.close()


async def test_a_file_is_fetched_kept_and_shown_in_its_message(tmp_path: Path, fetcher: GuardedFetcher) -> None:
    async with office(tmp_path) as open_:
        open_.provider.files["f1"] = FetchedMedia(data=PNG, mime="text/html", name="photo.png")
        await open_.take(Letter(id="1", sender="ada", file="f1"))
        async with running(MediaWorker(open_.services, fetcher).run):
            part = await eventually(lambda: media_of(open_, "ada"), lambda part: bool(part.stored))
        file = await open_.services.store.view(lambda tx: tx.files.get(part.stored))
        assert file is not None
        assert (file.mime, file.name, file.size) == ("image/png", "photo.png", len(PNG))
        assert file.conversation_id == (await open_.conversation("ada")).id
        assert await open_.services.files.read(file.sha256) == PNG


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (FetchedMedia(problem="the photo was deleted"), "the photo was deleted"),
        (FetchedMedia(data=b"x" * 2000), "the file is too large"),
        (FetchedMedia(), "the file is empty"),
    ],
)
async def test_a_file_that_cannot_be_had_is_said_so(tmp_path: Path, fetcher: GuardedFetcher, found: FetchedMedia, problem: str) -> None:
    async with office(tmp_path, max_bytes=1024) as open_:
        open_.provider.files["f1"] = found
        await open_.take(Letter(id="1", sender="ada", file="f1"))
        async with running(MediaWorker(open_.services, fetcher).run):
            part = await eventually(lambda: media_of(open_, "ada"), lambda part: bool(part.problem))
        assert problem in part.problem
        assert await open_.services.store.view(lambda tx: tx.files.next_due()) is None


async def test_a_broken_download_is_tried_again_later(tmp_path: Path, fetcher: GuardedFetcher) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        open_.provider.files["f1"] = RuntimeError("a bug in the client")
        await open_.take(Letter(id="1", sender="ada", file="f1"))
        async with running(MediaWorker(open_.services, fetcher).run):

            async def retries() -> float:
                return open_.services.metrics.value("sportello_media_total", channel="post", outcome="retry")

            await eventually(retries)
            assert not (await media_of(open_, "ada")).problem
            open_.provider.files["f1"] = FetchedMedia(data=PNG)
            clock.offset = timedelta(seconds=3)
            open_.services.media_wake.set()
            await eventually(lambda: media_of(open_, "ada"), lambda part: bool(part.stored))


async def test_the_clock_wakes_expires_and_forgets(tmp_path: Path) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        conversation = await open_.conversation("ada")
        snooze = Snooze(id="cmd_x", actor=GATEWAY, conversation_id=conversation.id, until=clock() + timedelta(hours=1))
        await open_.services.router.handle(snooze)
        message = await open_.reply("ben", "late")
        await open_.services.store.transact(lambda tx: tx.requests.begin("agent", "key", "print", clock()))
        worker = TickWorker(open_.services)
        await worker.tick()
        assert (await open_.conversation("ada")).state is State.SNOOZED
        await worker.refresh_gauges()
        assert open_.services.metrics.value("sportello_outbox_waiting", channel="post") == 1

        clock.offset = timedelta(hours=25)
        await worker.tick()
        assert (await open_.conversation("ada")).state is State.QUEUED
        assert (await open_.message(message.id)).status is Status.EXPIRED
        await worker.refresh_gauges()
        assert open_.services.metrics.value("sportello_outbox_waiting", channel="post") == 0

        await open_.services.store.transact(lambda tx: tx.messages.park("post", "never", b"{}", clock()))
        await worker.clean()
        assert await open_.services.store.transact(lambda tx: tx.requests.begin("agent", "key", "print", clock())) is not None
        assert await open_.services.store.view(lambda tx: tx.messages.any_parked())
        clock.offset = KEEP_KEYS + timedelta(hours=1)
        await worker.clean()
        assert await open_.services.store.view(lambda tx: tx.messages.any_parked())
        clock.offset += KEEP_PARKED
        await worker.clean()
        assert not await open_.services.store.view(lambda tx: tx.messages.any_parked())
        assert await open_.services.store.transact(lambda tx: tx.requests.begin("agent", "key", "print", clock())) is None
