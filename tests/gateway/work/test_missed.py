"""What a webhook never brought is asked for: after an outage of ours and now and then, within bounds, and twice is no harm."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.contract import Request
from gateway.services import Services
from gateway.work.missed import LONGEST_GAP, OVERLAP, MissedWorker, duty_name, is_finder, setting_name
from gateway.work.roster import duties_of
from storage.interaction import InteractionKind
from tests.support.post import Letter, Office, Provider, office, request, running
from tests.support.waiting import eventually


class Archive(Provider):
    """A provider that can list what it took in."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Request] = []
        self.asked: list[datetime] = []
        self.error: Exception | None = None
        self.endless = False
        self.closed = 0

    async def missed(self, since: datetime) -> AsyncIterator[Request]:
        self.asked.append(since)
        try:
            for kept in self.kept:
                yield kept
            if self.error:
                raise self.error
            while self.endless:
                await asyncio.sleep(0)
                yield self.kept[0]
        finally:
            self.closed += 1


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def worker(open_: Office, archive: Archive, **more: int) -> MissedWorker:
    post = dataclasses.replace(open_.services.channels["post"], client=archive)
    assert is_finder(post)
    assert not is_finder(open_.services.channels["post"])
    assert not is_finder(dataclasses.replace(post, enabled=False))
    assert duties_of([post], mirrored=False)[duty_name("post"), 0] == "sender"
    return MissedWorker(open_.services, post, **more)


async def noted(services: Services) -> str:
    return await services.store.view(lambda tx: tx.settings.get(setting_name("post")))


async def test_after_an_outage_what_was_missed_comes_in_once(tmp_path: Path) -> None:
    clock, archive = Clock(), Archive()
    async with office(tmp_path, clock=clock) as open_:
        # A channel that is new begins now: an account's past is not imported.
        archive.kept = [request(Letter(id="old", sender="ada", text="old"))]
        assert await worker(open_, archive).look()
        assert (archive.asked, await noted(open_.services)) == ([], clock.now.isoformat())
        began, clock.now = clock.now, clock.now + timedelta(hours=3)
        await open_.take(Letter(id="1", sender="ada", text="came by webhook"))
        # Nothing signed it, as it is our own question's answer.
        archive.kept = [request(Letter(id=name, sender="ada", text=name), stamp="forged") for name in ("1", "2", "3")]
        assert await worker(open_, archive).look()
        assert archive.asked == [began - OVERLAP]
        await open_.settle()
        assert [line.parts[0].text for line in await open_.messages("ada")] == ["came by webhook", "2", "3"]  # type: ignore[union-attr]
        assert open_.services.metrics.value("sportello_missed_total", channel="post") == 2
        assert await noted(open_.services) == clock.now.isoformat()
        assert await worker(open_, archive).look()
        assert open_.services.metrics.value("sportello_missed_total", channel="post") == 2


async def test_a_provider_that_cannot_be_asked_is_asked_again_for_the_same_time(tmp_path: Path) -> None:
    clock, archive = Clock(), Archive()
    async with office(tmp_path, clock=clock) as open_:
        looking = worker(open_, archive)
        await looking.look()
        began, clock.now = clock.now, clock.now + timedelta(minutes=10)
        archive.kept, archive.error = [request(Letter(id="1", sender="ada", text="x"))], OSError("away")
        assert not await looking.look()
        assert await noted(open_.services) == began.isoformat()
        archive.error = None
        assert await looking.look()
        assert archive.asked == [began - OVERLAP] * 2
        since = f"since {began - OVERLAP:%Y-%m-%d %H:%M:%S}: 1 seen"
        assert {(one.ok, one.result, one.detail) for one in await open_.logged(InteractionKind.MISSED)} == {
            (False, "cut_short", f"{since}, 1 new; the provider could not be asked: OSError"),
            (True, "ok", f"{since}, 0 new"),
        }


async def test_a_look_is_bounded_and_the_next_one_may_take_more(tmp_path: Path) -> None:
    clock, archive = Clock(), Archive()
    async with office(tmp_path, clock=clock) as open_:
        looking = worker(open_, archive, most=4)
        await looking.look()
        began, clock.now = clock.now, clock.now + timedelta(days=30)
        archive.kept = [request(Letter(id=str(number), sender="ada", text="x")) for number in range(10)]
        assert not await looking.look()
        assert open_.services.metrics.value("sportello_missed_total", channel="post") == 4
        assert (archive.closed, await noted(open_.services)) == (1, began.isoformat())
        assert not await looking.look()
        assert await looking.look()
        assert open_.services.metrics.value("sportello_missed_total", channel="post") == 10
        # Nobody waits for an answer for longer than that.
        assert set(archive.asked) == {clock.now - LONGEST_GAP}


async def test_it_looks_at_the_start_and_goes_on(tmp_path: Path) -> None:
    archive = Archive()
    async with office(tmp_path) as open_:
        await worker(open_, archive).look()
        async with running(worker(open_, archive, every=0).run):
            await eventually(lambda: _asked(archive), lambda number: number >= 3)


async def _asked(archive: Archive) -> int:
    return len(archive.asked)
