"""What a bus does while its servers are away, and when they are back."""

import asyncio

from storage.buses import open_bus
from storage.protocol import WHOLE
from storage.record import Recorded
from storage.redis_bus.bus import RedisBus
from tests.support.rows import entry
from tests.support.waiting import DEADLINE, until

CANARY = "canary-hunter2"
#: Seconds: the time-out of a call, and what a crowded machine may add.
ONCE = 0.5 + 5
AT_ONCE = 0.25
EVENTS = [Recorded(pos=pos, prev_pos=pos - 1, entry=entry(f"k{pos}")) for pos in range(1, 21)]


async def open_redis(url: str) -> RedisBus:
    opened = await open_bus(url)
    assert isinstance(opened, RedisBus)
    return opened


async def everything(bus: RedisBus) -> tuple[object, ...]:
    """Each call once, as it is answered by a bus that is away; a rate is taken twice."""
    bus.tell("word", b"lost, perhaps")
    await bus.mirror(EVENTS)
    await bus.block("blocked", 60)
    await bus.arrive("desk", "ada", 60)
    await bus.leave("desk", "ada")
    await bus.reset()
    takes = (await bus.take("bot", 0.01), await bus.take("bot", 0.01), await bus.take("blocked", 100))
    return (await bus.mirrored(), await bus.read(WHOLE, 0, 10), await bus.read(3, 0, 10), await bus.present("desk"), *map(round, takes))


AWAY: tuple[object, ...] = (0, [], [], None, 0, 100, 60)


async def assert_away(bus: RedisBus, said: str, *, first: float = ONCE) -> None:
    """The first call may notice, the others take no time."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await bus.present("desk")
    noticed = loop.time()
    assert noticed - start < first
    assert said.lower() in bus.state.lower()
    assert CANARY not in bus.state
    assert await everything(bus) == AWAY
    assert loop.time() - noticed < AT_ONCE * 10


async def assert_back(bus: RedisBus, seconds: float = DEADLINE) -> None:
    await until(lambda: bus.state == "", seconds)
    await bus.mirror(EVENTS)
    assert await bus.read(WHOLE, 0, 100) == EVENTS
    await bus.arrive("desk", "ben", 60)
    assert await bus.present("desk") == frozenset({"ben"})
