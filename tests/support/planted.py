"""Tests that leave a secret somewhere; each must fail the run that it is in. ``shape/test_secrets_watch.py`` runs a copy."""

import base64
import gzip
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from config import Secret
from connectors.webchat.visitor import Visitor, sign_token
from gateway.credentials import new_secret, token_text
from gateway.keys import _in_folder
from gateway.passwords import Passwords
from gateway.web.state import STATE, WebState
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database, own_server, run_sql
from tests.support.redis import running_server

#: What must not be shown of any of them.
TAIL = "0123456789"


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer | ForeignServer]:
    yield from own_server()


def secret(name: str) -> str:
    return f"canary-planted-{name}-{TAIL}"


def test_log_line() -> None:
    logging.getLogger("any").error("the provider said %s", secret("log"))


def test_printed() -> None:
    sys.stdout.write(secret("printed"))


def test_read_output(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stderr.write(secret("read"))
    assert "canary" in capfd.readouterr().err


def test_file(tmp_path: Path) -> None:
    (tmp_path / "gateway.log").write_bytes(b"x" * 9_000_000 + secret("file").encode())


def test_forms(tmp_path: Path) -> None:
    for before in range(3):
        whole = b"u" * before + secret(f"coded-{'abc'[before]}").encode()
        (tmp_path / f"coded{before}").write_bytes(b"Basic " + base64.b64encode(whole))
    (tmp_path / "hex").write_text(secret("hex").encode().hex())
    (tmp_path / "upper").write_text(secret("upper").encode().hex().upper())
    (tmp_path / "address").write_text("https://x.example/?a=" + quote(secret("address") + "/+é", safe=""))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(secret("packed").encode()))


def test_sqlite_row(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE event (data TEXT)")
    connection.execute("INSERT INTO event VALUES (?)", (secret("sqlite"),))
    # Not closed in order: the row stays in the log.
    os.link(tmp_path / "some.db-wal", tmp_path / "kept-wal")
    connection.close()


async def test_postgres_row(server: PostgresServer) -> None:
    async with fresh_database(server) as url:
        await run_sql(url, f"INSERT INTO setting VALUES ('planted', '{secret('postgres')}')")  # noqa: S608


async def test_postgres_long_bytes(server: PostgresServer) -> None:
    """So long that they are compressed on the disk; and in a database that is dropped, not emptied."""
    async with fresh_database(server, empty=True) as url:
        await run_sql(url, "CREATE TABLE raw (data bytea)")
        await run_sql(url, f"INSERT INTO raw VALUES (convert_to(repeat('a', 9000) || '{secret('bytes')}', 'UTF8'))")  # noqa: S608


async def test_redis_key(tmp_path: Path) -> None:
    async with running_server(tmp_path / "valkey") as valkey, Redis(port=valkey.port) as client:
        # Its compression would keep nothing but the first letter.
        await client.set("k", "anary-planted-redis " * 9 + secret("redis"))
        await valkey.flush()
        await client.hset("h", "field", secret("hash"))


async def test_answer() -> None:
    async def repeat(_: web.Request) -> web.Response:
        return web.json_response({"detail": secret("body")}, headers={"X-Odd": secret("header")})

    async def talk(request: web.Request) -> web.WebSocketResponse:
        await (socket := web.WebSocketResponse()).prepare(request)
        await socket.send_str(secret("socket"))
        return socket

    app = web.Application()
    app[STATE] = cast("WebState", None)  # that it is there tells a gateway from others
    app.router.add_get("/api/v1/odd", repeat)
    app.router.add_get("/api/v1/feed", talk)
    async with TestServer(app) as running, aiohttp.ClientSession() as session:
        assert (await session.get(running.make_url("/api/v1/odd"))).status == 200
        async with session.ws_connect(running.make_url("/api/v1/feed")) as socket:
            await socket.receive()


def test_drawn(tmp_path: Path) -> None:
    def open_session() -> str:
        return new_secret()

    (tmp_path / "session").write_text(open_session())
    (tmp_path / "key").write_text(_in_folder(tmp_path).reveal())
    (tmp_path / "token").write_text(token_text("tok_0123456789abcdefghjkmnpqrs", "f" * 64))
    now = int(datetime.now(tz=UTC).timestamp())
    (tmp_path / "visitor").write_text(sign_token(Visitor(visitor="v", channel="web", iat=now), Secret(secret("chat"))))


def test_child(tmp_path: Path) -> None:
    """What another process draws, and prints."""
    code = "from gateway.credentials import new_secret\ndef draw(): return new_secret()\nprint(draw())"
    with (tmp_path / "child.log").open("wb") as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True)
    code = "from config import Secret\nSecret('unmarked-by-the-child')\nprint('canary-planted-pipe-0123456789')"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_removed(tmp_path: Path) -> None:
    (tmp_path / "removed").mkdir()
    (tmp_path / "removed" / "log").write_text(secret("removed"))
    shutil.rmtree(tmp_path / "removed")


async def test_unmarked() -> None:
    Secret("a-secret-without-a-marker")
    await Passwords().hash("a password without a marker")
    Secret("postgresql://shop:unmarked-in-an-address@db.example/shop")
    Secret("postgresql://shop@db.example/shop")


def test_crash(tmp_path: Path) -> None:
    """The worker is gone before it has searched anything."""
    if "CRASH" in os.environ:
        (tmp_path / "last-words").write_text(secret("crash"))
        os._exit(3)
