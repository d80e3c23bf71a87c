"""The mirror: what is read from it is what the log has, or nothing."""

from collections.abc import AsyncIterator

import pytest

from storage.buses import open_bus
from storage.protocol import WHOLE
from storage.record import Recorded
from storage.redis_bus.bus import RedisBus
from tests.support.redis import RedisServer, program, running_server
from tests.support.rows import entry


@pytest.fixture(scope="module", params=["valkey", "redis"])
async def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    program(request.param)
    async with running_server(tmp_path_factory.mktemp("mirror"), request.param) as started:
        yield started


@pytest.fixture
async def bus(server: RedisServer) -> AsyncIterator[RedisBus]:
    await server.flush()
    opened = await open_bus(f"{server.url}?keep=100")
    assert isinstance(opened, RedisBus)
    yield opened
    await opened.close()


def log(count: int, spread: int = 3, word: str = "x") -> list[Recorded]:
    """Events as a store would give them."""
    tops: dict[int, int] = {}
    made = []
    for pos in range(1, count + 1):
        partition = pos % spread
        data = entry(f"{word}{pos}", partition=partition, raw=b"\xff\0", queues=("q1", "q2"), conversation="c", agent="a", identity="ï")
        made.append(Recorded(pos=pos, prev_pos=tops.get(partition, 0), entry=data))
        tops[partition] = pos
    return made


def of(partition: int, events: list[Recorded]) -> list[Recorded]:
    return [event for event in events if event.entry.partition == partition]


async def test_what_is_read_is_what_was_mirrored(bus: RedisBus) -> None:
    events = log(60)
    assert await bus.mirrored() == 0
    await bus.mirror(events)
    assert await bus.mirrored() == 60
    assert await bus.read(WHOLE, 0, 1000) == events
    assert await bus.read(WHOLE, 17, 5) == events[17:22]
    for partition in range(3):
        assert await bus.read(partition, 0, 1000) == of(partition, events)
    assert await bus.read(1, 10, 2) == of(1, events[10:])[:2]
    # A reader may stand between two events of its partition.
    assert await bus.read(1, 11, 2) == of(1, events[11:])[:2]
    assert await bus.read(9, 0, 10) == await bus.read(WHOLE, 60, 10) == await bus.read(1, 60, 10) == await bus.read(1, 0, 0) == []


async def test_twice_is_no_harm(bus: RedisBus) -> None:
    events = log(60)
    await bus.mirror(events[:40])
    await bus.mirror(events[20:50])
    await bus.mirror(events[:40])
    await bus.mirror(events)
    await bus.mirror([])
    assert bus.state == ""
    assert await bus.mirrored() == 60
    assert await bus.read(WHOLE, 0, 1000) == events


async def test_a_hole_is_not_read_over(bus: RedisBus, server: RedisServer) -> None:
    events = log(60)
    await bus.mirror(events)
    await server.command("XDEL", "sportello:ev:1", "31-0")
    assert await bus.read(1, 0, 1000) == of(1, events[:30])
    assert await bus.read(1, 28, 1000) == []
    assert await bus.read(1, 31, 1000) == of(1, events[31:])
    assert await bus.read(WHOLE, 0, 1000) == events[:30]
    assert await bus.read(WHOLE, 30, 1000) == []
    assert await bus.read(WHOLE, 31, 1000) == events[31:]


async def test_what_was_dropped_at_the_old_end_is_not_read_over(bus: RedisBus, server: RedisServer) -> None:
    events = log(60)
    await bus.mirror(events)
    await server.command("XTRIM", "sportello:ev:1", "MINID", "31-0")
    assert await bus.read(1, 0, 1000) == []
    assert await bus.read(1, 28, 1000) == of(1, events[30:])


async def test_old_events_make_room(bus: RedisBus, server: RedisServer) -> None:
    events = log(3000, spread=1)
    await bus.mirror(events)
    assert 100 <= await server.command("XLEN", "sportello:ev:0") <= 300
    assert await bus.read(0, 0, 10) == []
    assert await bus.read(0, 2950, 100) == events[2950:]


async def test_after_a_flush_there_is_nothing_and_it_fills_again(bus: RedisBus, server: RedisServer) -> None:
    events = log(60)
    await bus.mirror(events[:40])
    assert await bus.read(WHOLE, 0, 10) == events[:10]
    await server.flush()
    assert await bus.read(WHOLE, 10, 10) == []
    assert await bus.mirrored() == 0
    await bus.mirror(events[40:])
    assert await bus.mirrored() == 60
    assert await bus.read(WHOLE, 10, 10) == await bus.read(1, 10, 10) == []
    assert await bus.read(WHOLE, 40, 100) == events[40:]


async def test_a_partition_that_lost_its_end_is_noticed(bus: RedisBus, server: RedisServer) -> None:
    """A server of a cluster that came back without its newest writes."""
    events = log(60)
    await bus.mirror(events)
    for pos in (58, 55):
        await server.command("XDEL", "sportello:ev:1", f"{pos}-0")
    assert await bus.mirrored() == 52
    await server.command("DEL", "sportello:ev:1")
    assert await bus.mirrored() == 0
    await bus.mirror(events)
    assert await bus.mirrored() == 60
    assert await bus.read(WHOLE, 0, 100) == events


async def test_another_log_is_not_read_and_makes_room(bus: RedisBus, server: RedisServer) -> None:
    bus.follow("before")
    await bus.mirror(log(60))
    restored = await open_bus(server.url)
    restored.follow("after")
    try:
        assert await restored.mirrored() == 0
        assert await restored.read(WHOLE, 0, 10) == await restored.read(1, 0, 10) == []
        ours = log(30, word="y")
        await restored.mirror(ours)
        assert await restored.mirrored() == 30
        assert await restored.read(WHOLE, 0, 100) == ours
        assert await bus.read(WHOLE, 0, 10) == []
        assert await bus.mirrored() == 0
    finally:
        await restored.close()


@pytest.mark.parametrize("reached", [30, 60])
async def test_a_log_that_goes_on_otherwise_takes_the_place_of_the_old(bus: RedisBus, reached: int) -> None:
    """A restored database that nobody gave another name: the old mirror ended within what comes now, or beyond."""
    old, new = log(reached), log(20) + log(60, word="y")[20:]
    await bus.mirror(old)
    await bus.mirror(new[18:45])
    assert await bus.mirrored() == 45
    assert await bus.read(WHOLE, 20, 100) == new[20:45]
    assert await bus.read(1, 43, 100) == []


async def test_a_relay_that_is_behind_removes_nothing(bus: RedisBus) -> None:
    events = log(60)
    await bus.mirror(events)
    await bus.mirror(events[10:13])
    assert await bus.read(WHOLE, 0, 100) == events


async def test_a_reset_drops_everything(bus: RedisBus, server: RedisServer) -> None:
    await bus.mirror(log(60))
    await bus.reset()
    assert [key for key in await server.command("KEYS", "*") if b"probe" not in key] == []
    assert await bus.mirrored() == 0


async def test_what_is_no_event_of_ours_is_not_read(bus: RedisBus, server: RedisServer) -> None:
    await bus.mirror(log(6))
    await server.command("XADD", "sportello:ev:1", "7-0", "1:", b"\xc1")
    assert await bus.read(1, 4, 10) == []
    await server.command("SET", "sportello:mirrored", b"\xc1")
    assert await bus.mirrored() == 0
    assert bus.state == ""


async def test_large_events_go_in_several_portions(bus: RedisBus) -> None:
    events = [Recorded(pos=pos, prev_pos=pos - 1, entry=entry(f"k{pos}", raw=b"r" * 700_000)) for pos in range(1, 11)]
    await bus.mirror(events)
    assert await bus.mirrored() == 10
    some = await bus.read(0, 0, 100)
    assert 0 < len(some) < 10
    assert await bus.read(0, some[-1].pos, 1) == [events[len(some)]]
    assert bus.state == ""
