"""The floor: a bare aiohttp handler which checks the same secret, decodes the same fields, and shares a durable commit with whoever
else waits, on SQLite or PostgreSQL. Nothing else: no dedup, no routing, no history, no access. What the gateway costs is measured
against this.
"""

import argparse
import asyncio
import hmac
import queue
import threading
from collections import deque
from pathlib import Path
from typing import Protocol

import apsw
import asyncpg
import msgspec
from aiohttp import web

from connectors.telegram.payload import Update
from gateway.loop import factory

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
BATCH = 200
_Job = tuple[bytes, "asyncio.Future[None]"]


class GroupCommit(Protocol):
    """Everything that has queued goes into one commit."""

    async def append(self, data: bytes) -> None:
        """Returns when it is durable."""


class SqliteCommit:
    """One writer thread (WAL, synchronous=FULL)."""

    def __init__(self, path: Path) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(path,), daemon=True).start()

    async def append(self, data: bytes) -> None:
        """See :class:`GroupCommit`."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put((data, done))
        await done

    def _run(self, path: Path) -> None:
        connection = apsw.Connection(str(path))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE event (pos INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT")
        while True:
            jobs = [self._jobs.get()]
            while not self._jobs.empty() and len(jobs) < BATCH:
                jobs.append(self._jobs.get())
            with connection:
                connection.executemany("INSERT INTO event (data) VALUES (?)", ((data,) for data, _ in jobs))
            self._loop.call_soon_threadsafe(_resolve, [done for _, done in jobs])


class PostgresCommit:
    """One connection, one statement for all."""

    def __init__(self, url: str) -> None:
        self._jobs: deque[_Job] = deque()
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(url))

    async def append(self, data: bytes) -> None:
        """See :class:`GroupCommit`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.append((data, done))
        self._news.set()
        await done

    async def _run(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE event (pos BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data BYTEA NOT NULL)")
        statement = await connection.prepare("INSERT INTO event (data) SELECT unnest($1::bytea[])")
        while True:
            if not self._jobs:
                self._news.clear()
                await self._news.wait()
            jobs = [self._jobs.popleft() for _ in range(min(BATCH, len(self._jobs)))]
            await statement.fetch([data for data, _ in jobs])
            _resolve([done for _, done in jobs])


def _resolve(waiting: list["asyncio.Future[None]"]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)


def create_app(secret: str, database: str) -> web.Application:
    """``POST /webhooks/shop`` and a WebSocket ``/feed`` that shows every body as soon as it is durable."""
    decoder = msgspec.json.Decoder(Update)
    expected = secret.encode()
    sockets: set[web.WebSocketResponse] = set()
    commits: list[GroupCommit] = []

    async def start(_: web.Application) -> None:
        commits.append(PostgresCommit(database) if database.startswith("postgresql://") else SqliteCommit(Path(database)))

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), expected):
            return web.Response(status=403)
        decoder.decode(body)
        await commits[0].append(body)
        if sockets:
            frame = b'{"type":"message.added","data":' + body + b"}"
            for socket in sockets:
                await socket.send_str(frame.decode())
        return web.Response()

    async def feed(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sockets.add(socket)
        async for _ in socket:
            pass
        sockets.discard(socket)
        return socket

    app = web.Application()
    app.on_startup.append(start)
    app.router.add_post("/webhooks/shop", receive)
    app.router.add_get("/feed", feed)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--database", required=True, help="path of a new SQLite file, or postgresql://…, an empty database")
    options = parser.parse_args()
    new_loop = factory()
    loop = None if new_loop is None else new_loop()
    app = create_app(options.secret, options.database)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None, loop=loop)


if __name__ == "__main__":
    main()
