"""What every bus does: within one process, over Valkey, over Redis where it is installed, over a cluster."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from storage.bucket import Bucket, Buckets, take
from storage.bus import Bus
from storage.buses import open_bus
from storage.local_bus import LocalBus
from storage.told import HEAD, decode_heads, encode_heads, merge_heads
from tests.support.redis import any_server, running_cluster, running_server
from tests.support.waiting import until

OpenBus = Callable[[], Awaitable[Bus]]


@pytest.fixture(scope="module", params=["local", "valkey", "redis", "cluster"])
async def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder: Path = tmp_path_factory.mktemp("bus")
    if request.param == "local":
        yield ""
    elif request.param == "valkey":
        async with any_server(folder) as found:
            yield found
    elif request.param == "redis":
        async with running_server(folder, "redis") as server:
            yield server.url
    else:
        async with running_cluster(folder) as cluster:
            yield cluster.url


@pytest.fixture
async def node(url: str, request: pytest.FixtureRequest) -> AsyncIterator[OpenBus]:
    """Opens one more bus of the same installation; in one process there is but one."""
    opened: list[Bus] = []
    name = f"t{abs(hash(request.node.name)) % 10**9}"

    async def open_one() -> Bus:
        if not url and opened:
            return opened[0]
        opened.append(await open_bus(f"{url}?prefix={name}" if url else ""))
        assert opened[-1].state == ""
        return opened[-1]

    yield open_one
    for bus in opened:
        await bus.close()


async def test_what_is_told_is_heard_everywhere_and_here(node: OpenBus) -> None:
    one, two = await node(), await node()
    heard: list[tuple[str, bytes]] = []
    one.hear("word", lambda data: heard.append(("one", data)))
    end = two.hear("word", lambda data: heard.append(("two", data)))
    two.hear("other", lambda data: heard.append(("other", data)))
    one.tell("word", b"\0hello")
    await until(lambda: len(heard) == 2)
    assert sorted(heard) == [("one", b"\0hello"), ("two", b"\0hello")]
    end()
    two.tell("word", b"again")
    await until(lambda: len(heard) == 3)
    assert heard[2] == ("one", b"again")


async def test_an_error_in_a_listener_is_its_own(node: OpenBus) -> None:
    one, two = await node(), await node()
    heard: list[bytes] = []
    blamed: list[dict[str, object]] = []

    def fail(_: bytes) -> None:
        raise RuntimeError

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: blamed.append(context))
    try:
        two.hear("word", fail)
        two.hear("word", heard.append)
        one.tell("word", b"1")
        one.tell("word", b"2")
        await until(lambda: heard == [b"1", b"2"] and len(blamed) == 2)
    finally:
        loop.set_exception_handler(None)


async def test_many_are_told_in_order(node: OpenBus) -> None:
    one, two = await node(), await node()
    heard: list[bytes] = []
    two.hear("count", heard.append)
    for number in range(500):
        one.tell("count", b"%d" % number)
    await until(lambda: len(heard) == 500)
    assert heard == [b"%d" % number for number in range(500)]


async def test_heads_that_wait_are_told_together(node: OpenBus) -> None:
    one, two = await node(), await node()
    heard: list[bytes] = []
    two.hear(HEAD, heard.append)
    for pos in range(1, 301):
        one.tell(HEAD, encode_heads({pos % 3: pos}))
    await until(lambda: bool(heard) and any(300 in decode_heads(data).values() for data in heard))
    assert one is two or len(heard) < 100
    together = b"{}"
    for data in heard:
        together = merge_heads(together, data)
    assert decode_heads(together) == {0: 300, 1: 298, 2: 299}


async def test_a_rate_is_kept_together(node: OpenBus) -> None:
    one, two = await node(), await node()
    assert [await bus.take("bot", 0.01, 4) for bus in (one, two, one, two)] == [0, 0, 0, 0]
    waits = [await bus.take("bot", 0.01, 4) for bus in (one, two)]
    assert all(95 < wait <= 100 for wait in waits)
    assert await two.take("another", 0.01) == 0


async def test_many_at_once_take_what_there_is(node: OpenBus) -> None:
    one, two = await node(), await node()
    results = await asyncio.gather(*(bus.take("crowd", 0.01, 10) for bus in (one, two) for _ in range(40)))
    assert results.count(0) == 10


async def test_a_bucket_fills_again(node: OpenBus) -> None:
    one = await node()
    assert await one.take("quick", 20) == 0
    wait = await one.take("quick", 20)
    assert 0 < wait <= 0.05
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def taken() -> bool:
        return await one.take("quick", 20) == 0

    await until(taken)
    assert loop.time() - start > wait - 0.02


async def test_a_blocked_bucket_is_blocked_for_all(node: OpenBus) -> None:
    one, two = await node(), await node()
    await one.block("bot", 50)
    await one.block("bot", 1)
    for bus in (one, two):
        assert 49 < await bus.take("bot", 1000, 1000) <= 50
        assert 49 < await bus.take("bot", 0) <= 50
    await one.block("short", 0.05)

    async def open_again() -> bool:
        return await two.take("short", 1) == 0

    await until(open_again)


async def test_no_rate_is_no_limit(node: OpenBus) -> None:
    one = await node()
    assert [await one.take("free", 0) for _ in range(20)] == [0] * 20


async def test_who_is_present_is_known_everywhere(node: OpenBus) -> None:
    one, two = await node(), await node()
    await one.arrive("desk", "ada", 60)
    await two.arrive("desk", "bén", 60)
    await two.arrive("other", "cleo", 60)
    assert await one.present("desk") == await two.present("desk") == frozenset({"ada", "bén"})
    await two.leave("desk", "ada")
    await two.leave("desk", "nobody")
    assert await one.present("desk") == frozenset({"bén"})
    assert await one.present("empty") == frozenset()


async def test_who_is_silent_is_gone(node: OpenBus) -> None:
    one, two = await node(), await node()
    await one.arrive("desk", "ada", 0.05)
    await one.arrive("desk", "ben", 60)

    async def alone() -> bool:
        return await two.present("desk") == frozenset({"ben"})

    await until(alone)
    await one.arrive("desk", "ada", 60)
    assert await two.present("desk") == frozenset({"ada", "ben"})


# --- the arithmetic, and what is kept in this process ------------------------------------------------------------------


def test_a_bucket_by_hand() -> None:
    bucket, now = Bucket(), 1_000_000_000
    for _ in range(3):
        bucket, wait = take(bucket, now, 2, 3)
        assert wait == 0
    assert take(bucket, now, 2, 3)[1] == 500_000
    assert take(bucket, now + 500_000, 2, 3)[1] == 0
    assert take(bucket, now + 499_999, 2, 3)[1] == 1


def test_a_clock_that_went_back_closes_nothing_for_long() -> None:
    assert take(Bucket(due=10**15), 1_000_000, 1, 5)[1] <= 1_000_000


async def test_what_one_process_keeps_is_bounded() -> None:
    now = [100.0]
    buckets = Buckets(10, lambda: now[0])
    for number in range(50):
        buckets.take(f"b{number}", 0.001, 1)
    assert len(buckets) == 10
    assert buckets.take("b49", 0.001, 1) > 0
    local = LocalBus(members=10, clock=lambda: now[0])
    for number in range(50):
        await local.arrive("desk", f"m{number}", 60)
    assert len(await local.present("desk") or ()) == 10
    now[0] += 61
    assert await local.present("desk") == frozenset()


def test_foreign_heads_are_no_error() -> None:
    assert decode_heads(b"\xff") == decode_heads(b"[1]") == decode_heads(b'{"a":1}') == {}
