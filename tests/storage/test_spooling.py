"""Which way an event goes: into the store, or behind others into the spool."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from storage import utc_now
from storage.errors import StorageError, Unavailable
from storage.record import Appended, Duplicate, Spooled
from storage.spool import Spool, open_spool
from storage.spool_thread import Limits
from storage.spooling import SpoolingAppender
from storage.sqlite.store import SqliteStore
from tests.support.far_store import FarStore, Line
from tests.support.rows import entry
from tests.support.waiting import eventually

AFTER = 0.2


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    made = await open_spool(tmp_path / "spool.db", Limits(1024 * 1024), clock=utc_now)
    yield made
    await made.close()


@pytest.fixture
def far(store: SqliteStore) -> FarStore:
    return FarStore(store)


@pytest.fixture
async def appender(far: FarStore, spool: Spool) -> SpoolingAppender:
    return SpoolingAppender(far, spool, AFTER)


async def test_a_store_that_answers_is_all_there_is(appender: SpoolingAppender, spool: Spool) -> None:
    assert await appender.append([entry("a")]) == [Appended(1)]
    assert await appender.append([entry("a"), entry("b")]) == [Duplicate(1), Appended(2)]
    assert not spool.waiting


async def test_an_event_that_is_wrong_in_itself_is_refused_and_not_spooled(appender: SpoolingAppender, spool: Spool) -> None:
    for bad in ("poison", "\ud800"):
        with pytest.raises(StorageError):
            await appender.append([entry(bad)])
    assert (spool.waiting, appender.away) == ({}, False)


@pytest.mark.parametrize("line", [Line.CUT, Line.SILENT, Line.DEAF])
async def test_the_first_waits_no_longer_than_it_must_and_the_next_not_at_all(
    appender: SpoolingAppender, far: FarStore, spool: Spool, line: Line
) -> None:
    far.line = line
    began = monotonic()
    assert await appender.append([entry("a")]) == [Spooled(1)]
    assert monotonic() - began < AFTER + 5
    asked = far.asked
    # Other channels learn from it too.
    places = await asyncio.gather(*(appender.append([entry(f"k{number}", channel=f"c{number % 3}")]) for number in range(50)))
    assert all(isinstance(place, Spooled) for (place,) in places)
    assert far.asked == asked
    assert spool.waiting.total() == 51


async def test_nothing_overtakes_what_waits(appender: SpoolingAppender, far: FarStore) -> None:
    far.line = Line.CUT
    await appender.append([entry("first")])
    far.line = Line.UP
    appender.note_back()
    assert await appender.append([entry("second")]) == [Spooled(2)]
    assert await appender.append([entry("elsewhere", channel="sms")]) == [Appended(1)]
    # One that has company of another channel waits with it.
    assert await appender.append([entry("third"), entry("fourth", channel="sms")]) == [Spooled(3), Spooled(4)]
    assert await appender.append([entry("fifth", channel="sms")]) == [Spooled(5)]


async def test_a_database_that_is_back_is_found_also_with_nothing_to_drain(tmp_path: Path, far: FarStore) -> None:
    """A full disk keeps the spool empty: then somebody who comes has to try."""
    spool = await open_spool(tmp_path / "full.db", Limits(1024 * 1024, min_free_percent=100), clock=utc_now)
    appender = SpoolingAppender(far, spool, AFTER)
    far.line = Line.CUT
    with pytest.raises(Unavailable, match="full"):
        await appender.append([entry("a")])
    assert appender.away
    far.line = Line.UP

    async def away() -> bool:
        return appender.away

    await eventually(away, lambda still: not still)
    assert await appender.append([entry("a")]) == [Appended(1)]
    await spool.close()


async def test_who_comes_while_the_last_ones_are_drained_waits_for_them_and_is_not_spooled(
    appender: SpoolingAppender, far: FarStore, spool: Spool
) -> None:
    far.line = Line.CUT
    await appender.append([entry("a")])
    far.line = Line.UP
    appender.note_back()
    with appender.handing_over(10):
        taken = await spool.take(10)
        late = [asyncio.create_task(appender.append([entry(f"late-{number}")])) for number in range(3)]
        await asyncio.sleep(0)
        await far.append([one.entry for one in taken if one.entry is not None])
        spool.done(taken)
    assert await asyncio.gather(*late) == [[Appended(2)], [Appended(3)], [Appended(4)]]


async def test_a_handing_over_that_fails_lets_them_go_behind(appender: SpoolingAppender, far: FarStore) -> None:
    far.line = Line.CUT
    await appender.append([entry("a")])
    appender.note_back()
    with appender.handing_over(10):
        late = asyncio.create_task(appender.append([entry("late")]))
        await asyncio.sleep(0)
    assert await late == [Spooled(2)]
