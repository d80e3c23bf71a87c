"""What is done to the Valkey between two nodes: emptied, killed, cut off, and replaced by a replica that has missed the last seconds."""

import asyncio
from time import monotonic
from typing import Final

from tests.chaos.proxy import Weather, chaos_proxy
from tests.chaos.scene import Scene, Struck
from tests.support.redis import RedisServer
from tests.support.waiting import until

_CUT_OFF_SECONDS: Final = 5.0
_DEAD_SECONDS: Final = 2.0


async def redis_emptied(scene: Scene, struck: Struck) -> None:
    """FLUSHALL."""
    await scene.site.redis.flush()
    struck.over = monotonic()


async def redis_killed(scene: Scene, struck: Struck) -> None:
    """kill -9; it comes back empty."""
    await scene.site.redis.kill()
    await asyncio.sleep(_DEAD_SECONDS)
    await scene.site.redis.start()
    struck.over = monotonic()


async def redis_cut_off(scene: Scene, struck: Struck) -> None:
    """Half-open: whoever was connected, or connects now, hears nothing for ever; later connections work."""
    scene.network.suffer(deaf=True)
    await asyncio.sleep(_CUT_OFF_SECONDS)
    states = await scene.noticed()
    for link in scene.network.links:
        link.suffer(deaf=True)
    scene.network.weather = Weather()
    struck.over = monotonic()
    struck.violations += [f"node {index} did not notice that Valkey is cut off" for index, state in enumerate(states, 1) if not state]


async def redis_failed_over(scene: Scene, struck: Struck) -> None:
    """The primary and its replica are parted for a while; then the primary dies, and the replica takes its place without what it missed."""
    primary = scene.site.redis
    async with chaos_proxy(primary.port) as between:
        options = ("--replicaof", f"127.0.0.1 {between.port}", "--repl-diskless-sync-delay", "0")
        replica = RedisServer(primary.program, primary.folder.parent / "replica", options=options)
        # From here on it is the site's, which kills it at the end.
        scene.site.redis = replica
        try:
            await replica.start()
            await until(lambda: _follows(replica))
            between.suffer(deaf=True)
            await asyncio.sleep(_CUT_OFF_SECONDS)
            missed = await _heard(primary) - await _heard(replica)
        finally:
            await primary.kill()
        await replica.command("REPLICAOF", "NO", "ONE")
        scene.network.lead_to(replica.port)
        scene.network.reset()
    struck.over = monotonic()
    struck.seen.append(f"the new one had missed {missed >> 10} KiB")
    if missed <= 0:
        struck.violations.append("the replica had missed nothing: this harness sees too little")


async def _follows(replica: RedisServer) -> bool:
    role = await replica.command("ROLE")
    return bool(role[0] == b"slave" and role[3] == b"connected")


async def _heard(server: RedisServer) -> int:
    """How far it is in the primary's own log, in bytes."""
    found = await server.command("INFO", "replication")
    return int(found["slave_repl_offset" if found["role"] == "slave" else "master_repl_offset"])
