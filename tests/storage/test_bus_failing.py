"""Redis dies, hangs, refuses: nobody waits, nothing is raised, and it is back by itself."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from storage.redis_bus import talk as talk_module
from storage.redis_bus.bus import RedisBus
from tests.support.ports import free_port
from tests.support.redis import RedisServer, program, running_server
from tests.support.unwell import AT_ONCE, CANARY, EVENTS, ONCE, assert_away, assert_back, open_redis
from tests.support.waiting import until


@pytest.fixture(params=["valkey", "redis"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RedisServer]:
    program(request.param)
    async with running_server(tmp_path / "server", request.param, password=CANARY) as started:
        yield started


@pytest.fixture
async def bus(server: RedisServer) -> AsyncIterator[RedisBus]:
    opened = await open_redis(server.url)
    assert opened.state == ""
    yield opened
    await opened.close()


async def test_nobody_there_at_the_start() -> None:
    port = free_port()
    loop = asyncio.get_running_loop()
    start = loop.time()
    bus = await open_redis(f"redis://:{CANARY}@127.0.0.1:{port}")
    assert loop.time() - start < 2 * ONCE
    await assert_away(bus, "connect", first=AT_ONCE)
    await bus.close()
    assert bus.state


async def test_killed_and_started_again(bus: RedisBus, server: RedisServer) -> None:
    await bus.mirror(EVENTS)
    await server.kill()
    await assert_away(bus, f"127.0.0.1:{server.port}")
    await server.start()
    await assert_back(bus)


async def test_a_frozen_server_delays_once(bus: RedisBus, server: RedisServer) -> None:
    server.freeze()
    try:
        await assert_away(bus, "no answer")
        # And while it is looked for, too: the kernel still accepts connections for it.
        loop = asyncio.get_running_loop()
        for _ in range(20):
            start = loop.time()
            await bus.take("bot", 0.01)
            assert loop.time() - start < AT_ONCE * 4
            await asyncio.sleep(0.05)
        assert "no answer" in bus.state
    finally:
        server.thaw()
    await assert_back(bus)


async def test_many_callers_of_a_frozen_server_wait_together(bus: RedisBus, server: RedisServer) -> None:
    loop = asyncio.get_running_loop()
    server.freeze()
    try:
        start = loop.time()
        results = await asyncio.gather(*(bus.take(f"b{number}", 1) for number in range(500)))
        assert loop.time() - start < ONCE
        assert results == [0] * 500
    finally:
        server.thaw()


async def test_a_server_that_only_accepts() -> None:
    """A half-open connection: it is established, and nothing ever comes."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        bus = await open_redis(f"redis://127.0.0.1:{deaf.getsockname()[1]}")
        await until(lambda: "no answer" in bus.state)
        await assert_away(bus, "no answer", first=AT_ONCE)
        await bus.close()


async def test_what_answers_is_no_redis() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        writer.close()

    web = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with web:
        bus = await open_redis(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}")
        await assert_away(bus, "away", first=AT_ONCE)
        await bus.close()


async def test_a_server_that_quotes_the_password() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                writer.write(f"-ERR what is {CANARY}?\r\n".encode())
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as strange:
        bus = await open_redis(f"redis://:{CANARY}@127.0.0.1:{strange.sockets[0].getsockname()[1]}")
        await assert_away(bus, "what is ***?", first=AT_ONCE)
        await bus.close()


@pytest.mark.parametrize("login", ["", f":{CANARY}wrong@", f"nobody:{CANARY}wrong@"])
async def test_a_wrong_password_is_said_and_not_shown(server: RedisServer, login: str) -> None:
    bus = await open_redis(f"redis://{login}127.0.0.1:{server.port}")
    await assert_away(bus, "auth" if not login else "password", first=AT_ONCE)
    await bus.close()


async def test_a_password_where_none_is_asked_for(tmp_path: Path) -> None:
    async with running_server(tmp_path / "open") as open_server:
        bus = await open_redis(f"redis://nobody:{CANARY}@127.0.0.1:{open_server.port}")
        await assert_away(bus, "AuthenticationError", first=AT_ONCE)
        await bus.close()


async def refuses(server: RedisServer) -> bool:
    try:
        await server.command("SET", "x", "y")
    except RedisError:
        return True
    return False


async def test_readonly(bus: RedisBus, server: RedisServer) -> None:
    """It has become a replica of somebody."""
    await server.command("REPLICAOF", "127.0.0.1", free_port())
    await assert_away_after_use(bus, "read only replica")
    await server.command("REPLICAOF", "NO", "ONE")
    await assert_back(bus)


async def test_out_of_memory(bus: RedisBus, server: RedisServer) -> None:
    await server.command("CONFIG", "SET", "maxmemory", 1)
    await assert_away_after_use(bus, "used memory")
    await server.command("CONFIG", "SET", "maxmemory", 0)
    await assert_back(bus)


async def test_too_few_replicas(bus: RedisBus, server: RedisServer) -> None:
    await server.command("CONFIG", "SET", "min-replicas-to-write", 1)
    await assert_away_after_use(bus, "NOREPLICAS")
    await server.command("CONFIG", "SET", "min-replicas-to-write", 0)
    await assert_back(bus)


async def test_its_disk_is_gone(bus: RedisBus, server: RedisServer) -> None:
    await server.command("CONFIG", "SET", "save", "3600 1000000")
    shutil.rmtree(server.folder)
    await server.command("BGSAVE")
    await until(lambda: refuses(server))
    await assert_away_after_use(bus, "MISCONF")
    await server.command("CONFIG", "SET", "save", "")
    await assert_back(bus)


async def test_loading(bus: RedisBus, server: RedisServer) -> None:
    for number in range(100):
        await server.command("SET", f"key{number}", os.urandom(200_000))  # it answers after each 2 MB that it has read
    await server.command("SAVE")
    await server.kill()
    await server.launch("--key-load-delay", "20000")
    await until(lambda: "loading" in bus.state.lower())
    await assert_away(bus, "loading", first=AT_ONCE)
    await assert_back(bus, 20)


async def test_a_script_that_hangs(bus: RedisBus, server: RedisServer) -> None:
    """BUSY: somebody else's script keeps the server."""
    await server.command("CONFIG", "SET", "lua-time-limit", 10)
    other = asyncio.create_task(server.command("EVAL", "while true do end", 0))
    try:
        await until(lambda: refuses(server))
        await assert_away_after_use(bus, "busy")
    finally:
        await server.command("SCRIPT", "KILL")
        await asyncio.gather(other, return_exceptions=True)
    await assert_back(bus)


async def assert_away_after_use(bus: RedisBus, said: str) -> None:
    await bus.arrive("desk", "ada", 60)
    await assert_away(bus, said, first=AT_ONCE * 4)


async def test_rates_go_on_per_node_and_blocks_outlive_the_server(bus: RedisBus, server: RedisServer) -> None:
    await bus.block("bot", 60)
    await server.kill()
    assert await bus.take("bot", 1) > 55
    assert await bus.take("other", 0.01) == 0
    assert await bus.take("other", 0.01) > 90
    assert "per node" in bus.state
    await server.start()
    await until(lambda: bus.state == "")
    assert await bus.take("bot", 1) > 55


async def test_hearing_goes_on_after_a_restart(bus: RedisBus, server: RedisServer) -> None:
    other = await open_redis(server.url)
    heard: list[bytes] = []
    other.hear("word", heard.append)
    await server.kill()
    await until(lambda: bool(bus.state and other.state))
    for number in range(1500):
        bus.tell("word", b"%d" % number)
    await server.start()
    await until(lambda: not bus.state and not other.state)

    async def reached() -> bool:
        bus.tell("word", b"back")
        await asyncio.sleep(0)
        return b"back" in heard

    await until(reached)
    # Those that waited are bounded, oldest dropped; whether they were heard depends on who was back first.
    assert b"499" not in heard
    await other.close()


async def test_a_listener_alone_that_is_cut_off_comes_back(bus: RedisBus, server: RedisServer) -> None:
    other = await open_redis(server.url)
    heard: list[bytes] = []
    other.hear("word", heard.append)
    await server.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def reached() -> bool:
        bus.tell("word", b"back")
        await asyncio.sleep(0.01)
        return b"back" in heard

    await until(reached)
    await until(lambda: not bus.state and not other.state)
    await other.close()


async def test_a_silent_listener_is_tried_and_a_dead_one_given_up(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_module, "_PING", 0.05)
    monkeypatch.setattr(talk_module, "_SILENCE", 0.5)
    bus = await open_redis(server.url)

    async def listener() -> bytes:
        listed: bytes = await server.command("CLIENT", "LIST", "TYPE", "PUBSUB")
        return listed.split()[0]

    first = await listener()
    loop = asyncio.get_running_loop()
    later = loop.time() + 1.5
    # Nothing is told for three times as long as a dead one is given.
    await until(lambda: loop.time() > later)
    assert await listener() == first
    server.freeze()
    try:
        await until(lambda: "silent" in bus._talk.trouble or "no answer" in bus._talk.trouble)
    finally:
        server.thaw()
    await assert_back(bus)
    await bus.close()


async def test_foreign_messages_on_our_channel_are_ignored(bus: RedisBus, server: RedisServer) -> None:
    heard: list[bytes] = []
    bus.hear("word", heard.append)
    await server.command("PUBLISH", "sportello:told:0", b"\xc1")
    await server.command("PUBLISH", "sportello:told:0", b"\x93\xc4\x01x\xa4word\xc4\x01y")
    await until(lambda: heard == [b"y"])
    assert bus.state == ""


async def test_a_limited_user_is_enough(server: RedisServer) -> None:
    """The rights that ``storage.redis_bus.address`` names."""
    rights = ["~sportello:*", "&sportello:*", "+@connection", "+eval", "+@read", "+@write", "+@pubsub", "+time"]
    await server.command("ACL", "SETUSER", "shop", "on", f">{CANARY}", "resetchannels", *rights)
    bus = await open_redis(f"redis://shop:{CANARY}@127.0.0.1:{server.port}")
    other = await open_redis(server.url)
    heard: list[bytes] = []
    bus.hear("word", heard.append)
    other.tell("word", b"in")
    await until(lambda: heard == [b"in"])
    other.hear("word", heard.append)
    bus.tell("word", b"out")
    await until(lambda: heard == [b"in", b"out", b"out"])
    assert await bus.take("bot", 1) == 0
    await bus.block("bot", 1)
    await assert_back(bus)
    await bus.leave("desk", "ben")
    assert await bus.mirrored() == 20
    await bus.reset()
    assert bus.state == ""
    await bus.close()
    await other.close()


async def test_databases_of_one_server_do_not_hear_each_other(bus: RedisBus, server: RedisServer) -> None:
    other = await open_redis(f"{server.url}/3")
    heard: list[bytes] = []
    other.hear("word", heard.append)
    bus.tell("word", b"not for you")
    await bus.mirror(EVENTS)
    assert await other.mirrored() == 0
    third = await open_redis(f"{server.url}/3")
    third.tell("word", b"for you")
    await until(lambda: heard == [b"for you"])
    await other.close()
    await third.close()


async def test_closing_is_quick_and_leaves_nothing(server: RedisServer) -> None:
    before = asyncio.all_tasks()
    bus = await open_redis(server.url)
    server.freeze()
    waiting = asyncio.create_task(bus.take("bot", 1))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await bus.close()
    assert loop.time() - start < ONCE
    assert await waiting == 0
    assert asyncio.all_tasks() == before
    server.thaw()
    assert await bus.take("bot", 1) > 0
