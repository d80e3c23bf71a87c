"""What providers bring waits for the scanner, is fetched once, and messages do not wait with it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.abilities import FetchedMedia
from connectors.content import Media
from gateway.fetch import GuardedFetcher
from gateway.screen import Unchecked, Withheld
from gateway.web.public_files import file_linker
from gateway.work.media import MediaWorker
from storage.file import StoredFile, Verdict
from storage.protocol import WHOLE
from tests.support.clamd import EICAR, SIGNATURE, FakeClamd, fake_clamd
from tests.support.post import Letter, Office, office, running
from tests.support.waiting import eventually

PDF = b"%PDF-1.7 " + b"0" * 20


class Clock:
    """Real time, with an offset that a test sets."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


@pytest.fixture
async def scanner() -> AsyncIterator[FakeClamd]:
    async with fake_clamd() as daemon:
        yield daemon


@pytest.fixture
async def fetcher() -> AsyncIterator[GuardedFetcher]:
    made = GuardedFetcher()
    yield made
    await made.close()


async def media_of(open_: Office, sender: str = "ada") -> Media:
    part = (await open_.messages(sender))[0].parts[0]
    assert isinstance(part, Media)
    return part


async def file_of(open_: Office, file_id: str) -> StoredFile:
    found = await open_.services.store.view(lambda tx: tx.files.get(file_id))
    assert found is not None
    return found


def count(open_: Office, outcome: str) -> float:
    return open_.services.metrics.value("sportello_media_total", channel="post", outcome=outcome)


async def events_of(open_: Office, type_: str) -> list[Any]:
    found = await open_.services.store.read(WHOLE, 0, 1000)
    return [recorded.entry for recorded in found if recorded.entry.type == type_]


async def test_a_clean_file_is_had_and_an_infected_one_is_withheld(tmp_path: Path, scanner: FakeClamd, fetcher: GuardedFetcher) -> None:
    async with office(tmp_path, scanner=scanner.url) as open_:
        open_.provider.files |= {"good": FetchedMedia(data=PDF), "bad": FetchedMedia(data=PDF + EICAR, name="bill.pdf")}
        await open_.take(Letter(id="1", sender="ada", file="good"))
        await open_.take(Letter(id="2", sender="ben", file="bad"))
        async with running(MediaWorker(open_.services, fetcher).run):
            good = await eventually(lambda: media_of(open_, "ada"), lambda part: bool(part.stored))
            bad = await eventually(lambda: media_of(open_, "ben"), lambda part: bool(part.problem))
        assert sorted(scanner.streams) == [PDF, PDF + EICAR][: len(scanner.streams)]
        assert len(scanner.streams) == 2
        assert (await file_of(open_, good.stored)).verdict is Verdict.CLEAN
        assert (bad.stored, bad.withheld, bad.problem) == ("", SIGNATURE, f"a file was withheld: {SIGNATURE}")
        assert (count(open_, "stored"), count(open_, "withheld")) == (1, 1)
        assert open_.services.metrics.value("sportello_scans_total", outcome="withheld") == 1
        (event,) = await events_of(open_, "file.withheld")
        assert SIGNATURE.encode() in event.data
        assert b"bill.pdf" in event.data
        assert await open_.services.store.view(lambda tx: tx.files.next_due()) is None


async def test_while_the_scanner_is_away_the_file_waits_and_is_fetched_once(
    tmp_path: Path, scanner: FakeClamd, fetcher: GuardedFetcher
) -> None:
    clock = Clock()
    await scanner.stop()
    async with office(tmp_path, scanner=scanner.url, clock=clock) as open_:
        open_.provider.files["f1"] = FetchedMedia(data=PDF, name="a.pdf")
        await open_.take(Letter(id="1", sender="ada", file="f1"))
        async with running(MediaWorker(open_.services, fetcher).run):
            part = await eventually(lambda: media_of(open_), lambda part: part.checking)
            assert (part.stored, part.problem) == ("", "")
            # Others are heard meanwhile.
            await open_.take(Letter(id="2", sender="ada", text="Did you get it?"))
            assert len(await open_.messages("ada")) >= 2
        changes = len(await events_of(open_, "message.changed"))
    # The provider forgets it, and we are started anew.
    async with office(tmp_path, scanner=scanner.url, clock=clock) as open_:
        async with running(MediaWorker(open_.services, fetcher).run):
            for _ in range(12):
                clock.offset += timedelta(minutes=3)
                before = count(open_, "waiting")
                open_.services.media_wake.set()
                await eventually(lambda before=before: _number(count(open_, "waiting") - before))  # type: ignore[misc]
            assert (await media_of(open_)).checking
            # To wait is no news.
            assert len(await events_of(open_, "message.changed")) == changes
            await scanner.start()
            clock.offset += timedelta(minutes=3)
            open_.services.media_wake.set()
            part = await eventually(lambda: media_of(open_), lambda part: bool(part.stored))
        assert (part.checking, part.name, part.size) == (False, "", len(PDF))
        file = await file_of(open_, part.stored)
        assert (file.verdict, file.finding, file.name) == (Verdict.CLEAN, "", "a.pdf")
        assert await open_.services.files.read(file.sha256) == PDF


async def _number(value: float) -> float:
    return value


async def test_an_absent_scanner_is_not_asked_for_each_file(tmp_path: Path, scanner: FakeClamd) -> None:
    clock = Clock()
    async with office(tmp_path, scanner=scanner.url, clock=clock) as open_:
        screen = open_.services.screen
        saved = await open_.services.files.save(PDF)
        file = StoredFile(id="med_1", sha256=saved.sha256, mime=saved.mime, name="", size=saved.size, created_at=clock())
        scanner.drops_after = 1
        assert "hung up" in (await screen.look(file)).finding
        for _ in range(20):
            assert (await screen.look(file)).verdict is Verdict.WAITING
        assert len(scanner.commands) == 1
        scanner.drops_after = None
        clock.offset = timedelta(minutes=1)
        assert (await screen.look(file)).verdict is Verdict.CLEAN


async def test_what_the_scanner_cannot_look_at_waits_and_holds_up_nobody(
    tmp_path: Path, scanner: FakeClamd, fetcher: GuardedFetcher
) -> None:
    clock = Clock()
    scanner.limit = len(PDF)
    async with office(tmp_path, scanner=scanner.url, clock=clock) as open_:
        open_.provider.files |= {"large": FetchedMedia(data=PDF + PDF), "small": FetchedMedia(data=PDF)}
        await open_.take(Letter(id="1", sender="ada", file="large"))
        async with running(MediaWorker(open_.services, fetcher).run):
            await eventually(lambda: media_of(open_), lambda part: part.checking)
            await open_.take(Letter(id="2", sender="ben", file="small"))
            open_.services.media_wake.set()
            await eventually(lambda: media_of(open_, "ben"), lambda part: bool(part.stored))
            assert not (await media_of(open_)).stored
            scanner.limit = 1000
            clock.offset = timedelta(minutes=3)
            open_.services.media_wake.set()
            await eventually(lambda: media_of(open_), lambda part: bool(part.stored))


async def test_without_a_scanner_what_had_waited_is_had(tmp_path: Path, scanner: FakeClamd, fetcher: GuardedFetcher) -> None:
    clock = Clock()
    await scanner.stop()
    async with office(tmp_path, scanner=scanner.url, clock=clock) as open_:
        open_.provider.files["f1"] = FetchedMedia(data=PDF)
        await open_.take(Letter(id="1", sender="ada", file="f1"))
        async with running(MediaWorker(open_.services, fetcher).run):
            await eventually(lambda: media_of(open_), lambda part: part.checking)
    clock.offset = timedelta(minutes=3)
    async with office(tmp_path, clock=clock) as open_, running(MediaWorker(open_.services, fetcher).run):
        part = await eventually(lambda: media_of(open_), lambda part: bool(part.stored))
        assert (await file_of(open_, part.stored)).verdict is Verdict.NONE


async def test_a_client_gets_no_bytes_and_no_link_of_what_is_not_cleared(tmp_path: Path, scanner: FakeClamd) -> None:
    async with office(tmp_path, scanner=scanner.url) as open_:
        services = open_.services
        saved = await services.files.save(PDF + EICAR)
        file = StoredFile(
            id="med_1", sha256=saved.sha256, mime=saved.mime, name="", size=saved.size, created_at=services.clock(), verdict=Verdict.WAITING
        )
        with pytest.raises(Unchecked):
            await services.screen.clear(file)
        await services.store.transact(lambda tx: tx.files.put(file))
        linker = file_linker(services.config, services.store, services.screen, services.clock)
        for give in (services.screen.read_file, linker):
            with pytest.raises(FileNotFoundError):
                await give("med_1")
        with pytest.raises(Withheld):
            await services.screen.clear(replace(file, verdict=Verdict.NONE))
        # Those that are older than the scanner are looked at when somebody wants them, and remembered.
        assert (await file_of(open_, "med_1")).verdict is Verdict.WITHHELD
        assert len(await events_of(open_, "file.withheld")) == 1
        await services.screen.clear(replace(file, verdict=Verdict.CLEAN))
        assert scanner.commands == ["zINSTREAM"]
