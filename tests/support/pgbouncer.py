"""A real PgBouncer in transaction mode before a PostgreSQL of the tests; it comes from the packages of the system, and may be missing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support.postgres import USER

PROGRAM: Final = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
_SECONDS: Final = 20.0


class Pooler:
    """Running; ``url`` leads through it."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self._port = port
        self._process = process

    def url(self, direct: str) -> str:
        """The same database by the pooler."""
        parts = urlsplit(direct)
        query = "&".join(filter(None, [parts.query, "pgbouncer=true"]))
        return urlunsplit(parts._replace(netloc=f"{USER}@127.0.0.1:{self._port}", query=query))

    def freeze(self) -> None:
        """It takes what is sent, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def pooler(postgres_port: int, *, size: int = 4) -> Iterator[Pooler]:
    """A PgBouncer with ``size`` connections to the server; skips, loudly, where it is not installed."""
    if PROGRAM is None:
        text = "NO PGBOUNCER: install the package pgbouncer to run these tests"
        sys.stderr.write(f"\n*** {text}\n")
        pytest.skip(text)
    folder = Path(tempfile.mkdtemp(prefix="sportello-pool-"))
    port = _free_port()
    (folder / "users").write_text(f'"{USER}" ""\n')
    (folder / "ini").write_text(
        f"""[databases]
* = host=127.0.0.1 port={postgres_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
server_reset_query =
"""
    )
    with (folder / "log").open("wb") as log:
        as_user = [] if os.getuid() else ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        process = subprocess.Popen([*as_user, PROGRAM, str(folder / "ini")], stdout=log, stderr=log, cwd=folder)
    try:
        _wait_for(port, process, folder)
        yield Pooler(port, process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = monotonic() + _SECONDS
    while True:
        said = (folder / "log").read_text(errors="replace")[-2_000:]
        assert process.poll() is None, said
        assert monotonic() < deadline, said
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            sleep(0.02)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
