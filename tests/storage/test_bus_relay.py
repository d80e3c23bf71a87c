"""The relay between a real log and a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import open_store, relay
from storage.buses import open_bus
from storage.local_bus import LocalBus
from storage.protocol import WHOLE, Store
from storage.redis_bus.bus import RedisBus
from storage.relay import relay_once
from storage.told import MIRRORED, decode_heads
from tests.support.redis import RedisServer, running_cluster, running_server
from tests.support.rows import entry
from tests.support.waiting import until


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with running_server(tmp_path_factory.mktemp("relay")) as started:
        yield started


@pytest.fixture
async def bus(server: RedisServer) -> AsyncIterator[RedisBus]:
    await server.flush()
    opened = await open_bus(server.url)
    assert isinstance(opened, RedisBus)
    yield opened
    await opened.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite://{tmp_path}/log.db")
    yield opened
    await opened.close()


async def fill(store: Store, count: int, word: str = "k") -> None:
    await store.append([entry(f"{word}{number}", partition=number % 16) for number in range(count)])


async def whole(store: Store) -> list[object]:
    return list(await store.view(lambda tx: tx.stream.read(WHOLE, 0, 100_000)))


async def mirrored(bus: RedisBus) -> list[object]:
    found: list[object] = []
    while events := await bus.read(WHOLE, len(found), 1000):
        found += events
    return found


async def test_the_mirror_becomes_the_log(store: Store, bus: RedisBus) -> None:
    told: list[dict[int, int]] = []
    bus.hear(MIRRORED, lambda data: told.append(decode_heads(data)))
    assert await relay_once(store, bus) == 0
    await fill(store, 1203)
    assert await relay_once(store, bus) == 1203
    assert await relay_once(store, bus) == 0
    assert await mirrored(bus) == await whole(store)
    await until(lambda: len(told) == 3)
    assert max(told[-1].values()) == 1203
    await fill(store, 5, "more")
    assert await relay_once(store, bus) == 5
    assert await mirrored(bus) == await whole(store)


async def test_a_call_ends(store: Store, bus: RedisBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BATCH", 10)
    monkeypatch.setattr(relay, "STEPS", 3)
    await fill(store, 100)
    assert await relay_once(store, bus) == 30
    assert await relay_once(store, bus) == 30
    assert await bus.mirrored() == 60


async def test_an_empty_mirror_is_not_filled_from_the_beginning(store: Store, bus: RedisBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "WINDOW", 40)
    await fill(store, 100)
    assert await relay_once(store, bus) == 40
    assert await bus.mirrored() == 100
    assert await bus.read(WHOLE, 0, 10) == []
    assert await bus.read(WHOLE, 60, 100) == (await whole(store))[60:]
    assert await relay_once(store, bus) == 0


async def test_after_a_flush_it_is_filled_again(store: Store, bus: RedisBus, server: RedisServer) -> None:
    await fill(store, 700)
    await relay_once(store, bus)
    await server.flush()
    assert await bus.read(WHOLE, 0, 10) == []
    assert await relay_once(store, bus) == 700
    assert await mirrored(bus) == await whole(store)


async def test_a_flush_in_the_middle_of_reading_loses_nothing(store: Store, bus: RedisBus, server: RedisServer) -> None:
    await fill(store, 900)
    await relay_once(store, bus)
    seen: list[object] = []
    by_mirror = 0
    for turn in range(60):
        if turn in {3, 20}:
            await server.flush()
        if turn == 10:
            await fill(store, 300, "late")
            await relay_once(store, bus)
        events = await bus.read(WHOLE, len(seen), 37)
        by_mirror += len(events)
        seen += events or await store.read(WHOLE, len(seen), 37)
    assert seen == await whole(store)
    assert 0 < by_mirror < len(seen)


async def test_one_lost_partition_is_filled_again_even_if_it_is_quiet(
    store: Store, bus: RedisBus, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, 320)
    await store.append([entry(f"only{number}", partition=0) for number in range(320)])
    await relay_once(store, bus)
    await server.command("DEL", "sportello:ev:5")
    assert await relay_once(store, bus) == 640
    assert await mirrored(bus) == await whole(store)
    # And if what was lost is older than what is filled again, that is the end of it.
    monkeypatch.setattr(relay, "WINDOW", 40)
    await server.command("DEL", "sportello:ev:5")
    assert await relay_once(store, bus) == 40
    assert await relay_once(store, bus) == 0


async def test_two_at_once_are_harmless(store: Store, bus: RedisBus, server: RedisServer) -> None:
    other = await open_bus(server.url)
    try:
        for turn in range(5):
            await fill(store, 700, f"t{turn}-")
            await asyncio.gather(relay_once(store, bus), relay_once(store, other), relay_once(store, bus))
        await relay_once(store, bus)
        assert await mirrored(bus) == await whole(store)
        assert bus.state == other.state == ""
    finally:
        await other.close()


async def test_a_mirror_that_is_ahead_of_the_log_is_dropped(store: Store, bus: RedisBus, tmp_path: Path) -> None:
    """A backup was restored."""
    await fill(store, 600)
    await relay_once(store, bus)
    restored = await open_store(f"sqlite://{tmp_path}/restored.db")
    try:
        await fill(restored, 100, "r")
        assert await relay_once(restored, bus) == 100
        assert await bus.mirrored() == 100
        assert await mirrored(bus) == await whole(restored)
        assert await bus.read(3, 100, 10) == []
    finally:
        await restored.close()


async def test_an_unwell_bus_and_one_without_a_mirror_are_left_alone(store: Store, tmp_path: Path) -> None:
    await fill(store, 10)
    assert await relay_once(store, LocalBus()) == 0
    async with running_server(tmp_path / "redis") as server:
        bus = await open_bus(server.url)
        await server.kill()
        assert await relay_once(store, bus) == 0
        assert await relay_once(store, bus) == 0
        await server.start()
        await until(lambda: not bus.state)
        assert await relay_once(store, bus) == 10
        await bus.close()


async def test_a_cluster_is_mirrored_and_heals(store: Store, tmp_path: Path) -> None:
    async with running_cluster(tmp_path / "cluster") as cluster:
        bus = await open_bus(cluster.url)
        assert isinstance(bus, RedisBus)
        await fill(store, 800)
        assert await relay_once(store, bus) == 800
        assert await mirrored(bus) == await whole(store)
        lost = cluster.server_of("sportello:ev:5")
        await lost.flush()
        assert await bus.mirrored() == 0
        assert await relay_once(store, bus) == 800
        assert await mirrored(bus) == await whole(store)
        # A server that dies takes the mirror with it, until it is back: empty.
        await lost.kill()
        assert await bus.read(5, 0, 10) == []
        assert bus.state
        await lost.start()
        await until(lambda: not bus.state)
        await relay_once(store, bus)
        assert await mirrored(bus) == await whole(store)
        await bus.close()
