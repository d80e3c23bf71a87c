"""After an outage several nodes' spools get into the stream in the order in which their events were taken."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from storage import open_store, utc_now
from storage.buses import open_bus
from storage.errors import Unavailable
from storage.gathering import Gathering
from storage.postgres.gathering import BATCH, FORGOTTEN_AFTER, GAP, SILENT_FOR, SLOW_FOR, STARTING_FOR
from storage.protocol import WHOLE, Store
from storage.record import Appended, Duplicate, Entry, Gathered, Spooled
from storage.spool import open_spool
from storage.spool_thread import Limits
from storage.spooling import SpoolingAppender
from tests.support.postgres import PostgresServer, driver_url, own_server, run_sql
from tests.support.redis import running_server
from tests.support.rows import entry
from tests.support.waiting import eventually

ONE, TWO = "one", "two"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that may be started again."""
    yield from own_server()


@pytest.fixture
async def url(server: PostgresServer) -> AsyncIterator[str]:
    made = await server.create(empty=True)
    yield made
    await server.drop(made)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = await open_store(url)
    yield opened
    await opened.close()


@pytest.fixture
def gathering(store: Store) -> Gathering:
    assert store.gathering is not None
    return store.gathering


def ago(seconds: float, key: str) -> Entry:
    return entry(key, at=utc_now() - timedelta(seconds=seconds))


async def keys(store: Store) -> list[str]:
    return [one.entry.key for one in await store.read(WHOLE, 0, 10_000)]


async def merged(gathering: Gathering) -> int:
    """All that can be merged."""
    total = 0
    while number := await gathering.merge():
        total += number
    return total


async def both_done(gathering: Gathering) -> None:
    since = (await gathering.report(ONE, 0)).since
    assert since
    for source in (ONE, TWO):
        await gathering.report(source, since)


async def test_a_single_spool_has_nobody_to_wait_for(store: Store, gathering: Gathering) -> None:
    assert (await gathering.report(ONE, 0)).since == 0
    assert await gathering.append([entry("a")]) == [Appended(1)]
    assert await gathering.hand_over(ONE, [ago(5, "b"), entry("a")]) == [Appended(2), Duplicate(1)]
    assert (await gathering.report(ONE, 0), await gathering.merge()) == ((0, 0), 0)
    assert await keys(store) == ["a", "b"]


async def test_two_spools_are_merged_by_the_time_of_taking(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    assert await gathering.append([entry("before")]) == [Appended(1)]
    assert await gathering.hand_over(ONE, [ago(9, "q1"), ago(7, "q3")]) == [Gathered(), Gathered()]
    # What comes in now is behind it, though nothing of its own node waits.
    assert await gathering.append([entry("q6")]) == [Gathered()]
    assert await gathering.hand_over(ONE, [ago(5, "q5")]) == [Gathered()]
    await gathering.report(ONE, (await gathering.report(ONE, 0)).since)
    assert await gathering.merge() == 0
    assert await gathering.hand_over(TWO, [ago(8, "q2"), ago(6, "q4")]) == [Gathered(), Gathered()]
    assert await gathering.merge() == 0
    assert await keys(store) == ["before"]
    await both_done(gathering)
    assert await merged(gathering) == 6
    assert await keys(store) == ["before", "q1", "q2", "q3", "q4", "q5", "q6"]
    assert await gathering.report(ONE, 0) == (0, 0)
    assert await gathering.append([entry("after")]) == [Appended(8)]


async def test_a_server_that_was_started_again_lets_nothing_overtake_what_others_have(
    server: PostgresServer, gathering: Gathering, url: str
) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    assert await gathering.append([entry("before")]) == [Appended(1)]
    server.stop()
    server.start()
    again = await open_store(url)
    try:
        assert again.gathering is not None
        # This node has nothing in its spool; the other one has, and nobody knows it yet.
        assert await again.gathering.append([entry("later")]) == [Gathered()]
        assert await again.gathering.hand_over(TWO, [ago(3, "earlier")]) == [Gathered()]
        await both_done(again.gathering)
        assert await merged(again.gathering) == 2
        assert await keys(again) == ["before", "earlier", "later"]
        assert await again.gathering.append([entry("direct")]) == [Appended(4)]
    finally:
        await again.close()


async def test_what_is_known_is_known_wherever_it_lies(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    await gathering.append([entry("old")])
    places = await gathering.hand_over(ONE, [ago(9, "a"), ago(8, "old"), ago(7, "a"), ago(6, "b")])
    assert places == [Gathered(), Duplicate(1), Gathered(known=True), Gathered()]
    assert await gathering.append([entry("b"), entry("c"), entry("old")]) == [Gathered(known=True), Gathered(), Duplicate(1)]
    # The same key of another channel is another event.
    assert await gathering.append([entry("a", channel="sms")]) == [Gathered()]
    await both_done(gathering)
    assert await merged(gathering) == 4
    assert await keys(store) == ["old", "a", "b", "c", "a"]
    assert await gathering.append([entry("c")]) == [Duplicate(4)]


async def test_an_event_is_what_it_was(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    whole = entry("k\0", at=utc_now() - timedelta(days=3), data=b"\0d", raw=b"\xff", partition=7, conversation="c", queues=("a", "b"),
                  agent="g", identity="i\x01")  # fmt: skip
    await gathering.hand_over(ONE, [whole])
    await both_done(gathering)
    assert await merged(gathering) == 1
    assert [one.entry for one in await store.read(WHOLE, 0, 10)] == [whole]


async def test_the_order_of_a_spool_is_kept_however_its_clock_goes(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    await gathering.hand_over(ONE, [ago(5, "a"), ago(60, "b")])
    await gathering.hand_over(ONE, [ago(3_600, "c"), ago(-3_600, "d")])
    await gathering.hand_over(ONE, [ago(1, "e")])
    await both_done(gathering)
    await merged(gathering)
    assert await keys(store) == ["a", "b", "c", "d", "e"]


async def test_many_are_merged_a_batch_at_a_time(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    number = 2 * BATCH + 1
    await gathering.hand_over(ONE, [ago(1_000 - index, f"{index}") for index in range(0, number, 2)])
    await gathering.hand_over(TWO, [ago(1_000 - index, f"{index}") for index in range(1, number, 2)])
    await both_done(gathering)
    assert [await gathering.merge() for _ in range(4)] == [BATCH, BATCH, 1, 0]
    assert await keys(store) == [f"{index}" for index in range(number)]
    # Large ones are fewer at a time.
    await gathering.hand_over(ONE, [entry(f"large{index}", raw=bytes(3_000_000)) for index in range(3)])
    await both_done(gathering)
    assert [await gathering.merge() for _ in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("aged", "waits"),
    [
        ({"gathering": SILENT_FOR - 2_000_000, "seen": SILENT_FOR * 2}, True),
        ({"gathering": SILENT_FOR, "seen": SILENT_FOR * 2}, False),
        ({"gathering": STARTING_FOR - 2_000_000, "seen": SILENT_FOR * 4, "restarted": 1}, True),
        ({"gathering": STARTING_FOR, "seen": SILENT_FOR * 4, "restarted": 1}, False),
        ({"gathering": SILENT_FOR, "seen": 0}, True),
        ({"gathering": SLOW_FOR, "seen": 0}, False),
        ({"gathering": 0, "seen": FORGOTTEN_AFTER}, False),
    ],
    ids=[
        "a silent one for a while",
        "and no longer",
        "longer after a start of the server",
        "but not for ever either",
        "one that still reports",
        "but not for ever",
        "one of yesterday not at all",
    ],
)
async def test_a_spool_is_waited_for(store: Store, gathering: Gathering, url: str, aged: dict[str, int], *, waits: bool) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    if "restarted" in aged:
        await run_sql(driver_url(url), "UPDATE head SET server = server - 1")
    await gathering.hand_over(ONE, [ago(1, "a")])
    since = (await gathering.report(ONE, 0)).since
    older = aged["gathering"]
    await run_sql(driver_url(url), f"UPDATE head SET gathering = gathering - {older}, silent_until = silent_until - {older}")  # noqa: S608
    await run_sql(driver_url(url), f"UPDATE spool SET seen_at = seen_at - {aged['seen']} WHERE id = '{TWO}'")  # noqa: S608
    await gathering.report(ONE, since)
    assert await gathering.merge() == (0 if waits else 1)
    assert await keys(store) == ([] if waits else ["a"])


@pytest.mark.parametrize(
    ("unlike", "waits"),
    [
        ("SELECT 1", False),
        ("UPDATE spool SET warned_at = seen_at + 1 WHERE id = 'two'", True),
        ("UPDATE spool SET steady_since = steady_since + 1 WHERE id = 'one'", True),
        ("UPDATE spool SET idle = false WHERE id = 'two'", True),
        ("UPDATE spool SET steady_since = 0", True),
        ("UPDATE spool SET seen_at = seen_at - 1 WHERE id = 'one'", True),
        ("UPDATE head SET server = (SELECT seen_at + 1 FROM spool WHERE id = 'two')", True),
        ("UPDATE spool SET seen_at = (SELECT gathering + 1 FROM head) WHERE id = 'two'", True),
    ],
    ids=[
        "gone",
        "it was heard to spool",
        "the other had a gap then",
        "it had something",
        "nobody knows",
        "only just now",
        "the server was started since",
        "it has reported since",
    ],
)
async def test_a_node_that_stands_still_by_itself_is_not_waited_for(gathering: Gathering, url: str, unlike: str, *, waits: bool) -> None:
    await gathering.report(TWO, 0, idle=True)
    await gathering.report(ONE, 0)
    await gathering.hand_over(ONE, [ago(1, "a")])
    await gathering.report(ONE, (await gathering.report(ONE, 0)).since)
    other = f"UPDATE spool o SET steady_since = t.seen_at, seen_at = t.seen_at + {GAP} FROM spool t WHERE o.id = 'one' AND t.id = 'two'"  # noqa: S608
    await run_sql(driver_url(url), other)
    await run_sql(driver_url(url), unlike)
    assert await gathering.merge() == (0 if waits else 1)


async def test_who_hands_over_is_not_idle(gathering: Gathering, url: str) -> None:
    await gathering.report(ONE, 0, idle=True)
    await gathering.report(TWO, 0)
    await gathering.hand_over(ONE, [ago(1, "a")])
    assert await run_sql(driver_url(url), "SELECT idle FROM spool WHERE id = 'one'") == [(False,)]


async def test_reports_are_steady_until_there_is_a_gap(gathering: Gathering, url: str) -> None:
    async def steady() -> bool:
        await gathering.report(ONE, 0)
        ((since, seen),) = await run_sql(driver_url(url), "SELECT steady_since, seen_at FROM spool WHERE id = 'one'")
        return bool(since < seen)

    assert [await steady(), await steady()] == [False, True]
    await run_sql(driver_url(url), f"UPDATE spool SET seen_at = seen_at - {GAP}")  # noqa: S608
    assert [await steady(), await steady()] == [False, True]
    # Also if the first thing after it is what the spool holds: an outage is not bridged by that.
    await run_sql(driver_url(url), f"UPDATE spool SET seen_at = seen_at - {GAP}, steady_since = steady_since - {GAP}")  # noqa: S608
    await gathering.report(TWO, 0)
    assert await gathering.hand_over(ONE, [ago(1, "a")]) == [Gathered()]
    await gathering.report(ONE, 0)
    assert await run_sql(driver_url(url), f"SELECT seen_at - steady_since < {GAP} FROM spool WHERE id = 'one'") == [(True,)]  # noqa: S608
    await run_sql(driver_url(url), "UPDATE spool SET steady_since = 0")
    assert await steady() is False


async def test_one_that_left_is_not_waited_for(gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    await gathering.hand_over(ONE, [ago(1, "a")])
    await gathering.leave(TWO)
    await gathering.report(ONE, (await gathering.report(ONE, 0)).since)
    assert await gathering.merge() == 1
    assert await gathering.append([entry("b")]) == [Appended(2)]


async def test_who_spools_once_more_is_waited_for_again(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    await gathering.hand_over(ONE, [ago(2, "a")])
    await both_done(gathering)
    await gathering.hand_over(TWO, [ago(1, "b")])
    assert await gathering.merge() == 0
    await both_done(gathering)
    assert await merged(gathering) == 2
    assert await keys(store) == ["a", "b"]


async def test_an_event_that_no_store_would_take_begins_no_gathering(gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    await gathering.report(TWO, 0)
    with pytest.raises(Exception, match="partition"):
        await gathering.hand_over(ONE, [entry("bad", partition=99)])
    with pytest.raises(Exception, match="time zone"):
        await gathering.hand_over(ONE, [entry("bad", at=datetime(2026, 1, 1))])  # noqa: DTZ001 - the point of it
    assert (await gathering.report(ONE, 0)).since == 0
    assert await gathering.append([entry("good")]) == [Appended(1)]


async def test_what_is_behind_a_spool_is_gathered_or_goes_into_it(store: Store, gathering: Gathering) -> None:
    await gathering.report(ONE, 0)
    with pytest.raises(Unavailable, match="no other spool"):
        await gathering.append([entry("a")], behind=True)
    await gathering.report(TWO, 0)
    assert await gathering.append([entry("a")], behind=True) == [Gathered()]
    await both_done(gathering)
    assert await merged(gathering) == 1
    assert await keys(store) == ["a"]


async def test_a_node_that_hands_over_takes_no_more_into_its_spool(store: Store, gathering: Gathering, tmp_path: Path) -> None:
    spool = await open_spool(tmp_path / "spool.db", Limits(1 << 20), clock=utc_now)
    try:
        spooling = SpoolingAppender(store, spool, 5, gathering)
        await gathering.report(spool.id, 0)
        await gathering.report(TWO, 0)
        assert await spool.put([ago(9, "q1")]) == [Spooled(1)]
        assert await spool.put([ago(8, "q2")]) == [Spooled(2)]
        # Not known yet that the others have spools too.
        assert await spooling.append([ago(7, "q3")]) == [Spooled(3)]
        (first,) = await spool.take(1)
        assert first.entry is not None
        assert await spooling.hand_over([first.entry]) == [Gathered()]
        spool.done([first])
        assert await spooling.append([entry("q4")]) == [Gathered()]
        assert (spool.size(), spooling.done) == (2, False)
        rest = await spool.take(10)
        await spooling.hand_over([one.entry for one in rest if one.entry is not None])
        spool.done(rest)
        assert spooling.done
        since = (await gathering.report(spool.id, 0)).since
        for source in (spool.id, TWO):
            await gathering.report(source, since)
        await merged(gathering)
        assert await keys(store) == ["q1", "q2", "q3", "q4"]
    finally:
        await spool.close()


async def test_who_hears_that_another_spools_gathers_for_a_while(url: str, tmp_path: Path) -> None:
    async with running_server(tmp_path / "valkey") as valkey, AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            bus = await open_bus(valkey.url)
            stack.push_async_callback(bus.close)
            stores.append(await open_store(url, bus=bus))
            stack.push_async_callback(stores[-1].close)
        one, two = (store.gathering for store in stores)
        assert one is not None
        assert two is not None
        await one.report(ONE, 0)
        await two.report(TWO, 0)
        assert await two.append([entry("before")]) == [Appended(1)]

        async def heard() -> bool:
            # Said again and again, as the line to the bus may only just be made.
            one.warn(ONE)
            return await two.append([entry(f"{next(numbers)}")]) == [Gathered()]

        numbers = iter(range(1_000))
        await eventually(heard)
        assert await run_sql(driver_url(url), "SELECT id, warned_at > 0 FROM spool ORDER BY id") == [(ONE, True), (TWO, False)]
        await both_done(two)
        await merged(two)
        assert (await two.report(TWO, 0)).since == 0
