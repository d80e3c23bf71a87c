"""What waits in the spool gets into the database: all of it, once, in order, soon; and what cannot harms nobody."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import pytest
from structlog.testing import capture_logs

from gateway.crashpoint import CrashPoints
from gateway.intake import Outcome, take_in
from gateway.services import Services
from gateway.spool import announce_spool, figures_of
from gateway.work import drain
from gateway.work.drain import DrainWorker
from storage import utc_now
from storage.errors import StorageError, Unavailable
from storage.protocol import WHOLE
from storage.record import Entry, Recorded, Spooled
from storage.spool import Spool, open_spool
from storage.spool_file import look
from storage.spool_thread import Limits
from storage.spooling import SpoolingAppender
from tests.support.far_store import FarStore, Line
from tests.support.post import Letter, Office, office, request, running
from tests.support.rows import entry
from tests.support.waiting import eventually

CHANNELS = ("post", "other")


@dataclass
class Edge:
    """A node whose database is elsewhere."""

    office: Office
    services: Services
    far: FarStore
    spool: Spool
    spooling: SpoolingAppender

    @property
    def worker(self) -> DrainWorker:
        return DrainWorker(self.services, self.spooling)

    async def take(self, number: int, channel: str = "post") -> Outcome:
        letter = request(Letter(id=f"{channel}-{number}", sender="ada", text=str(number)))
        return (await take_in(self.services, self.services.channels[channel], letter)).outcome

    async def events(self, channel: str = "post") -> list[str]:
        """Keys of what is in the stream, in order."""
        found: list[Recorded] = await self.office.services.store.read(WHOLE, 0, 100_000)
        return [one.entry.key for one in found if one.entry.channel == channel and one.entry.type == "message.received"]

    def adds_up(self) -> bool:
        """Received = appended + duplicate + quarantined + refused + what waits."""
        for channel in CHANNELS:
            value = self.services.metrics.value
            outcomes = sum(value("sportello_inbound_total", channel=channel, outcome=outcome) for outcome in Outcome)
            if value("sportello_received_total", channel=channel) != outcomes + value("sportello_spool_events", channel=channel):
                return False
        return True

    async def left(self) -> int:
        return self.spool.waiting.total()

    async def drained(self) -> None:
        async def waiting() -> int:
            assert self.adds_up()
            return await self.left()

        await eventually(waiting, lambda left: not left)


@contextlib.asynccontextmanager
async def edge(folder: Path, crash: CrashPoints | None = None) -> AsyncIterator[Edge]:
    async with office(folder, crash=crash) as open_:
        far = FarStore(open_.services.store)
        spool = await open_spool(folder / "spool.db", Limits(64 * 1024 * 1024), clock=utc_now)
        spooling = SpoolingAppender(far, spool, 0.2)
        services = replace(open_.services, store=far, inbound=spooling, spooling=spooling)
        announce_spool(services)
        yield Edge(open_, services, far, spool, spooling)
        await spool.close()


async def test_all_get_there_in_order_however_often_the_line_is_cut(tmp_path: Path) -> None:
    """Two channels, a line that comes and goes, and somebody who sends all the time."""
    rand = random.Random(20261121)
    async with edge(tmp_path) as node, running(node.worker.run):
        places: set[Outcome] = set()
        for number in range(400):
            if number % 25 == 0:
                node.far.line = rand.choice([Line.UP, Line.UP, Line.CUT, Line.DEAF])
            places |= {await node.take(number, channel) for channel in CHANNELS}
            assert node.adds_up()
        node.far.line = Line.UP
        await node.drained()
        assert places == {Outcome.APPENDED, Outcome.SPOOLED}
        for channel in CHANNELS:
            assert await node.events(channel) == [f"{channel}-{number}" for number in range(400)]
        await node.take(400)
        assert (await node.events())[-1] == "post-400"


async def test_a_channel_becomes_direct_again_under_steady_load(tmp_path: Path) -> None:
    async with edge(tmp_path) as node:
        node.far.line = Line.CUT
        for number in range(300):
            await node.take(number)
        node.far.line = Line.UP
        done = asyncio.Event()
        numbers = iter(range(300, 1_000_000))

        async def send() -> None:
            while not done.is_set():
                if await node.take(next(numbers)) is Outcome.APPENDED:
                    done.set()

        async with running(node.worker.run), asyncio.timeout(15):
            await asyncio.gather(*(send() for _ in range(20)))
        await node.drained()


async def test_a_crash_between_the_database_and_the_spool_makes_duplicates_and_no_second_event(tmp_path: Path) -> None:
    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    async with edge(tmp_path, CrashPoints("drain.appended", 1, die)) as node:
        node.far.line = Line.CUT
        for number in range(5):
            await node.take(number)
        node.far.line = Line.UP
        with pytest.raises(Died):
            await node.worker.drain()
    async with edge(tmp_path) as node:
        assert node.spool.opened.waiting == {"post": 5}
        await node.worker.drain()
        assert await node.events() == [f"post-{number}" for number in range(5)]
        assert node.services.metrics.value("sportello_inbound_total", channel="post", outcome="duplicate") == 5
        assert not node.spool.waiting
    # And they are gone from the disk.
    assert look(tmp_path / "spool.db").waiting == 0


async def test_what_the_database_took_without_saying_so_is_a_duplicate(tmp_path: Path) -> None:
    async with edge(tmp_path) as node:
        node.far.line = Line.DEAF
        assert await node.take(1) is Outcome.SPOOLED
        node.far.line = Line.UP
        await node.worker.drain()
        assert await node.events() == ["post-1"]
        assert node.adds_up()


async def test_an_event_that_the_database_will_not_have_holds_nobody_up(tmp_path: Path) -> None:
    async with edge(tmp_path) as node:
        for number in range(5):
            await node.spool.put([entry("poison" if number == 2 else f"k{number}", channel="post")])
        with capture_logs() as logs:
            await node.worker.drain()
        assert await node.events() == ["k0", "k1", "k3", "k4"]
        assert [line["seq"] for line in logs if line["log_level"] == "error"] == [3]
        assert (node.spool.refused, node.spool.waiting) == (1, {})
        assert node.services.metrics.value("sportello_spool_refused_total") == 1
        assert node.services.metrics.value("sportello_spool_drained_total") == 4
    async with edge(tmp_path) as node:
        # It was kept, and has another chance.
        assert node.spool.opened.waiting == {"post": 1}


async def test_an_event_whose_bytes_were_damaged_holds_nobody_up(tmp_path: Path) -> None:
    async with edge(tmp_path) as node:
        await node.spool.put([entry(f"k{number}", channel="post", raw=b"x" * 1500) for number in range(3)])
    data = (tmp_path / "spool.db").read_bytes()
    at = data.index(b"x" * 1500) + 700
    (tmp_path / "spool.db").write_bytes(data[:at] + b"y" + data[at + 1 :])
    async with edge(tmp_path) as node:
        await node.worker.drain()
        assert len(await node.events()) == 2
        assert node.spool.refused == 1


async def test_a_database_that_goes_away_among_single_events_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with edge(tmp_path) as node:
        for key in ("a", "poison", "b", "c"):
            await node.spool.put([entry(key, channel="post")])
        append, calls = node.far.append, list[int]()

        async def fail_third(entries: list[Entry]) -> object:
            calls.append(len(entries))
            if len(calls) == 4:
                raise Unavailable("gone in the middle")
            return await append(entries)

        monkeypatch.setattr(node.far, "append", fail_third)
        async with running(node.worker.run):
            await eventually(node.left, lambda left: not left)
        assert await node.events() == ["a", "b", "c"]
        assert node.spool.refused == 1


async def test_it_asks_seldom_while_the_database_is_away_and_goes_on_at_once_when_it_is_back(tmp_path: Path) -> None:
    async with edge(tmp_path) as node:
        node.far.line = Line.CUT
        await node.take(1)
        with capture_logs() as logs:
            async with running(node.worker.run):
                before = node.far.asked
                await asyncio.sleep(2.5)  # how often it asks in so long is what this is about
                assert 2 <= node.far.asked - before <= 14
                node.far.line = Line.UP
                before = node.far.asked
                await node.drained()
                assert node.far.asked - before <= 3

                async def said() -> list[str]:
                    return [line["event"] for line in logs]

                await eventually(said, lambda texts: "the spool is drained" in texts)
        events = [line["event"] for line in logs if line["log_level"] in ("warning", "info")]
        assert len([text for text in events if "is away" in text]) == 1


async def test_what_cannot_be_swept_does_not_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with edge(tmp_path) as node:
        sweep = node.spool.sweep

        async def full() -> None:
            raise Unavailable("the disk is full")

        monkeypatch.setattr(node.spool, "sweep", full)
        await node.spool.put([entry("a", channel="post")])
        await node.worker.drain()
        monkeypatch.setattr(node.spool, "sweep", sweep)
        await node.spool.put([entry("b", channel="post")])
        await node.worker.drain()
        assert await node.events() == ["a", "b"]


async def test_twelve_thousand_are_drained_in_seconds(tmp_path: Path) -> None:
    async with edge(tmp_path) as node:
        for start in range(0, 12_000, 200):
            await node.spool.put([entry(f"k{number}", channel="post", raw=b"x" * 500) for number in range(start, start + 200)])
        began = monotonic()
        async with running(node.worker.run):
            await eventually(node.left, lambda left: not left)
        seconds = monotonic() - began
        sys.stdout.write(f"drained {12_000 / seconds:.0f} events/s\n")
        assert seconds < 30
        assert max(node.far.done) == drain.BATCH


async def test_the_log_tells_when_it_fills_up(tmp_path: Path) -> None:
    async with edge(tmp_path) as whole:
        spool = await open_spool(tmp_path / "small.db", Limits(1024 * 1024), clock=utc_now)
        spooling = SpoolingAppender(whole.far, spool, 0.2)
        worker = DrainWorker(replace(whole.services, spooling=spooling), spooling)
        with capture_logs() as logs:
            with contextlib.suppress(StorageError):
                for number in range(100):
                    assert isinstance((await spool.put([entry(f"k{number}", raw=b"x" * 20_000)]))[0], Spooled)
                    worker._watch()
            worker._watch()
        warned = [line["percent"] for line in logs if "fills up" in line["event"]]
        assert len(warned) == 2
        assert 80 <= warned[0] < 95 <= warned[1]
        assert figures_of(spool, utc_now()).events == spool.waiting
        await spool.close()
