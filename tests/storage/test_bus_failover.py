"""Sentinels and clusters: another server takes over, slots move, slots are missing."""

from pathlib import Path

from tests.support.redis import running_cluster, running_sentinel
from tests.support.unwell import AT_ONCE, CANARY, assert_away, assert_back, open_redis
from tests.support.waiting import until


async def test_a_failover_by_sentinel(tmp_path: Path) -> None:
    async with running_sentinel(tmp_path / "sentinel", password=CANARY) as redis:
        bus = await open_redis(redis.url)
        assert bus.state == ""
        await assert_back(bus)
        await redis.primary.kill()
        await assert_away(bus, "127.0.0.1")
        await assert_back(bus, 20)
        # The old one comes back, and is told to follow the new one.
        await redis.primary.start()
        await assert_back(bus)
        assert CANARY not in bus.state
        await bus.close()


async def test_a_sentinel_that_knows_nothing_of_us(tmp_path: Path) -> None:
    async with running_sentinel(tmp_path / "sentinel") as redis:
        bus = await open_redis(redis.url.replace("/shop", "/other"))
        await assert_away(bus, "knows no service 'other'", first=AT_ONCE)
        await bus.close()


async def test_a_cluster_that_moves_slots_and_one_that_misses_some(tmp_path: Path) -> None:
    async with running_cluster(tmp_path / "cluster") as cluster:
        bus = await open_redis(cluster.url)
        await assert_back(bus)
        one = cluster.server_of("sportello:here:desk")
        await one.command("DEL", "sportello:here:desk")
        two = next(server for server in cluster.servers if server is not one)
        slot = await one.command("CLUSTER", "KEYSLOT", "sportello:here:desk")
        there = await two.command("CLUSTER", "MYID")
        for server in (two, one, *cluster.servers):
            await server.command("CLUSTER", "SETSLOT", slot, "NODE", there)
        assert await bus.present("desk") is None
        assert "moved" in bus.state.lower()
        await assert_back(bus)
        for server in cluster.servers:
            await server.command("CLUSTER", "DELSLOTS", slot)
        assert await bus.present("desk") is None
        await until(lambda: "clusterdown" in bus.state.lower())
        for server in cluster.servers:
            await server.command("CLUSTER", "SETSLOT", slot, "NODE", there)
        await assert_back(bus)
        await bus.close()
