"""The stream's guarantees: nothing twice, no gap, no hole, and what a cursor and a lease are worth."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from time import monotonic

import pytest
from msgspec.structs import replace

from storage.errors import Conflict, StorageError, Superseded
from storage.protocol import WHOLE, Store, Transaction
from storage.record import Appended, Duplicate, Entry, Node, Recorded
from tests.support.rows import NOW, after, entry


async def _all(store: Store, partition: int = WHOLE, limit: int = 100_000) -> list[Recorded]:
    """Everything, in as many steps as the store likes."""
    events: list[Recorded] = []
    while batch := await store.read(partition, events[-1].pos if events else 0, limit):
        assert len(batch) <= limit
        events += batch
    return events


def _check_order(events: list[Recorded]) -> None:
    """Positions have no gap, and prev_pos is a chain within each partition."""
    assert [event.pos for event in events] == list(range(1, len(events) + 1))
    newest: dict[int, int] = {}
    for event in events:
        assert event.prev_pos == newest.get(event.entry.partition, 0)
        newest[event.entry.partition] = event.pos


async def test_an_event_comes_back_as_it_went_in(store: Store) -> None:
    whole = entry(
        "k1",
        data=b'{"a":1}',
        raw=b"\x00\xff",
        partition=15,
        conversation="cnv_1",
        queues=("que_1", "que_2"),
        agent="agt_1",
        identity="tel::+1",
    )
    assert await store.append([whole]) == [Appended(1)]
    assert await store.read(WHOLE, 0, 10) == [Recorded(pos=1, prev_pos=0, entry=whole)]


async def test_duplicates_within_one_batch(store: Store) -> None:
    outcomes = await store.append([entry("a"), entry("b"), entry("a"), entry(), entry("c"), entry("b")])
    assert outcomes == [Appended(1), Appended(2), Duplicate(1), Appended(3), Appended(4), Duplicate(2)]
    assert await store.append([entry("c"), entry("d"), entry("d")]) == [Duplicate(4), Appended(5), Duplicate(5)]
    assert [event.entry.key for event in await _all(store)] == ["a", "b", "", "c", "d"]


async def test_an_event_is_found_by_its_key(store: Store) -> None:
    await store.append([entry("a", raw=b"raw a"), entry("a", channel="sms", raw=b"other"), entry()])
    found = await store.view(lambda tx: tx.stream.by_key("tg", "a"))
    assert found is not None
    assert (found.pos, found.entry.raw) == (1, b"raw a")
    assert await store.view(lambda tx: tx.stream.by_key("tg", "b")) is None
    assert await store.view(lambda tx: tx.stream.by_key("webchat", "a")) is None


async def test_the_same_key_on_another_channel_is_another_event(store: Store) -> None:
    assert await store.append([entry("a"), entry("a", channel="sms"), entry("ga", channel="t")]) == [Appended(1), Appended(2), Appended(3)]


async def test_entries_without_key_are_never_duplicates(store: Store) -> None:
    assert await store.append([entry(), entry()]) == [Appended(1), Appended(2)]


async def test_twenty_at_once_append_one(store: Store) -> None:
    outcomes = [(await calls)[0] for calls in asyncio.as_completed([store.append([entry("same")]) for _ in range(20)])]
    assert outcomes.count(Appended(1)) == 1
    assert outcomes.count(Duplicate(1)) == 19


async def test_many_entries_at_once(store: Store) -> None:
    outcomes = await store.append([entry(f"k{number}", partition=number % 16) for number in range(1, 300)])
    assert outcomes == [Appended(number) for number in range(1, 300)]
    _check_order(await _all(store))


async def test_no_entries_are_no_events(store: Store) -> None:
    assert await store.append([]) == []
    assert await store.view(lambda tx: tx.stream.head()) == 0


async def test_positions_under_concurrent_writers_and_rollbacks(store: Store) -> None:
    """Eight writers, some of whose transactions fail, and a reader with a plain cursor who must miss nothing."""
    kept: set[str] = set()
    running = 8

    async def writer(name: int) -> None:
        nonlocal running
        dice = random.Random(name)
        for turn in range(40):
            entries = [entry(f"{name}-{turn}-{index}", partition=dice.randrange(16)) for index in range(dice.randint(1, 4))]
            fails = dice.random() < 0.3
            if not fails and dice.random() < 0.5:
                await store.append(entries)
            else:
                with pytest.raises(ZeroDivisionError) if fails else nullcontext():
                    await store.transact(_appending(entries, fails=fails))
            if not fails:
                kept.update(each.key for each in entries)
        running -= 1

    async def reader() -> list[Recorded]:
        seen: list[Recorded] = []
        while True:
            last_round = running == 0
            events = await store.read(WHOLE, seen[-1].pos if seen else 0, 7)
            seen += events
            if last_round and not events:
                return seen
            await store.wait(WHOLE, seen[-1].pos if seen else 0, 0.01)

    reading = asyncio.create_task(reader())
    await asyncio.gather(*(writer(name) for name in range(8)))
    seen = await reading
    _check_order(seen)
    assert {event.entry.key for event in seen} == kept
    for partition in range(16):
        assert await _all(store, partition) == [event for event in seen if event.entry.partition == partition]


def _appending(entries: list[Entry], *, fails: bool) -> Callable[[Transaction], Awaitable[None]]:
    async def work(tx: Transaction) -> None:
        await tx.stream.append(entries)
        if fails:
            raise ZeroDivisionError

    return work


async def test_an_append_in_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        assert await tx.stream.append([entry("a")]) == [Appended(1)]
        raise KeyError("no")

    with pytest.raises(KeyError):
        await store.transact(work)
    assert await store.append([entry("a")]) == [Appended(1)]


async def test_reading_a_partition_pages_in_order(store: Store) -> None:
    await store.append([entry(f"{number}", partition=number % 3) for number in range(30)])
    events = await _all(store, 1, limit=4)
    assert [event.pos for event in events] == list(range(2, 31, 3))
    assert [event.prev_pos for event in events] == [0, *range(2, 30, 3)][:10]
    assert await store.read(7, 0, 4) == []


async def test_waiting_ends_when_something_comes(store: Store) -> None:
    await store.append([entry("old")])
    waiters = [asyncio.create_task(store.wait(partition, 1, 60)) for partition in (WHOLE, 3, 3)]
    elsewhere = asyncio.create_task(store.wait(4, 1, 60))
    await asyncio.sleep(0)
    began = monotonic()
    await store.append([entry("new", partition=3)])
    await asyncio.gather(*waiters)
    assert monotonic() - began < 30
    assert not elsewhere.done()
    elsewhere.cancel()
    await store.wait(WHOLE, 1, 60)  # there is something already
    assert monotonic() - began < 30
    await store.wait(WHOLE, 2, 0.01)  # nothing comes


async def test_a_cursor_moves_only_from_where_it_is(store: Store) -> None:
    async def advance(old: int, new: int) -> None:
        async def work(tx: Transaction) -> None:
            await tx.stream.append([entry()])
            await tx.stream.advance("router", 3, old, new, 0)

        await store.transact(work)

    await advance(0, 5)
    for old, new in ((0, 6), (4, 6)):
        with pytest.raises(Superseded, match="cursor"):
            await advance(old, new)
    await advance(5, 9)
    assert await store.view(lambda tx: tx.stream.head(11)) == 0
    assert set((await store.view(lambda tx: tx.stream.heads())).values()) == {2}
    assert await store.view(lambda tx: tx.stream.cursor("router", 3)) == 9
    assert await store.view(lambda tx: tx.stream.cursor("router", 4)) == 0
    assert await store.view(lambda tx: tx.stream.head()) == 2  # what was appended beside a refused move is gone


async def test_a_reader_who_lost_the_lease_commits_nothing(store: Store) -> None:
    duty = ("router", 1)
    first = (await store.lease("a", [duty], 60))[duty]
    await store.transact(lambda tx: tx.stream.advance("router", 1, 0, 1, first))
    assert await store.lease("b", [duty, ("router", 2)], 60) == {("router", 2): 1}
    await store.release("a", {duty: first})
    second = (await store.lease("b", [duty], 60))[duty]
    assert second > first
    for attempt in (
        lambda tx: tx.stream.advance("router", 1, 1, 2, first),
        lambda tx: tx.stream.guard("router", {1: first}),
        lambda tx: tx.stream.guard("router", {2: 1, 3: 1}),
    ):
        with pytest.raises(Superseded, match="lease"):
            await store.transact(attempt)
    await store.transact(lambda tx: tx.stream.advance("router", 1, 1, 2, second))
    await store.transact(lambda tx: tx.stream.guard("router", {1: second, 2: 1}))
    assert await store.lease("a", [duty], 60) == {}
    await store.release("a", {duty: first})  # a no-op: it is another's
    assert await store.lease("b", [duty], 60) == {duty: second}


async def test_a_lease_ends_by_itself(store: Store) -> None:
    duty = ("router", 1)
    first = (await store.lease("a", [duty], 0.02))[duty]
    assert (await store.lease("a", [duty], 0.02))[duty] in {first, first + 1}
    deadline = monotonic() + 10
    while not (held := await store.lease("b", [duty], 60)):
        assert monotonic() < deadline
    assert held[duty] > first


async def test_many_leases_at_once(store: Store) -> None:
    """A node asks for all of its duties in one go; each is decided by itself."""
    every = [("router", number) for number in range(16)] + [("tick", 0)]
    mine = await store.lease("a", every[::2], 60)
    others = await store.lease("b", every, 60)
    assert set(mine) | set(others) == set(every)
    assert not set(mine) & set(others)
    assert await store.lease("a", [], 60) == {}
    await store.release("b", others)
    assert set(await store.lease("a", every, 60)) == set(every)


async def test_which_nodes_run(store: Store) -> None:
    one, two = (Node(id=name, roles=("edge", "router"), since=NOW, version="1.0") for name in ("one", "two"))
    assert await store.beat(one, 60) == [one]
    assert await store.beat(two, 60) == [one, two]
    assert await store.beat(two, 0) == [one]
    changed = replace(one, roles=("sender",))
    assert await store.beat(changed, 60) == [changed]


async def test_counting(store: Store) -> None:
    await store.append([entry("a"), entry("b"), entry("a", channel="sms"), entry(type="message.added")])
    assert await store.view(lambda tx: tx.stream.count("message.received")) == 3
    assert await store.view(lambda tx: tx.stream.count("message.received", "sms")) == 1
    assert await store.view(lambda tx: tx.stream.count("nothing.happened")) == 0


async def test_quarantined_payloads_leave_the_list_but_not_the_stream(store: Store) -> None:
    await store.append([entry("a"), entry("b", type="payload.quarantined"), entry("c", type="payload.quarantined")])
    assert [event.pos for event in await store.view(lambda tx: tx.stream.quarantined(0, 10))] == [2, 3]
    assert [event.pos for event in await store.view(lambda tx: tx.stream.quarantined(2, 10))] == [3]
    assert len(await store.view(lambda tx: tx.stream.quarantined(0, 1))) == 1
    assert await store.view(lambda tx: tx.stream.quarantine_counts()) == {"tg": 2}
    await store.transact(lambda tx: tx.stream.mark_reprocessed(2))
    assert [event.pos for event in await store.view(lambda tx: tx.stream.quarantined(0, 10))] == [3]
    assert len(await _all(store)) == 3


async def test_times_keep_microseconds_and_their_moment(store: Store) -> None:
    await store.append([entry("a", at=after(0.000001).astimezone(tz=None))])
    assert (await _all(store))[0].entry.at == after(0.000001)
    assert str((await _all(store))[0].entry.at.tzinfo) == "UTC"
    with pytest.raises(StorageError, match="time zone"):
        await store.append([entry("b", at=NOW.replace(tzinfo=None))])


async def test_one_bad_entry_harms_its_own_caller_only(store: Store) -> None:
    calls = [store.append([entry(f"k{number}", identity="\ud800" if number == 4 else "")]) for number in range(9)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [4]
    assert isinstance(outcomes[4], StorageError)
    assert "surrogate" in str(outcomes[4])
    _check_order(await _all(store))
    assert await store.append([entry("k4")]) == [Appended(9)]


async def test_an_append_is_whole_even_if_its_error_is_swallowed(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        with pytest.raises(StorageError):
            await tx.stream.append([entry("a"), entry("b", type="\udfff")])
        await tx.stream.append([entry("c")])

    await store.transact(work)
    assert [event.entry.key for event in await _all(store)] == ["c"]
    assert await store.append([entry("a"), entry("b")]) == [Appended(2), Appended(3)]


async def test_nul_and_strange_keys_are_kept(store: Store) -> None:
    keys = ["a\0b", "a", "a\0c", "ключ", "👩‍👩‍👧", "%_'\"; --", "x" * 512]
    assert await store.append([entry(key) for key in keys]) == [Appended(number) for number in range(1, len(keys) + 1)]
    assert [event.entry.key for event in await _all(store)] == keys
    assert await store.append([entry("a\0b")]) == [Duplicate(1)]


async def test_a_partition_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(Conflict):
        await store.append([entry("a", partition=16)])
    assert await store.append([entry("a")]) == [Appended(1)]
