"""A load of signed Telegram webhooks, from a process of its own: ``python -m tests.bench.load``.

  closed     each connection sends as soon as it was answered, for some seconds
  paced      a fixed rate; how long until each is answered
  feed       a fixed rate; how long until an open feed shows each
  sustained  a number of messages as in closed; how long until an open feed has shown all of them, each once

Over plain sockets: an HTTP client library would be slower than the server. Prints one JSON object.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

import aiohttp

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


def update(number: int, chats: int) -> bytes:
    """A real-shaped text message; ``number`` makes it unique, chats take turns."""
    chat = 10_000 + number % chats
    person = {
        "id": chat,
        "is_bot": False,
        "first_name": "Cleo",
        "last_name": f"No {chat}",
        "username": f"cleo{chat}",
        "language_code": "it",
    }
    message = {
        "message_id": 1 + number,
        "from": person,
        "chat": {"id": chat, "first_name": "Cleo", "last_name": f"No {chat}", "username": f"cleo{chat}", "type": "private"},
        "date": int(time.time()),
        "text": f"bench-{number}: Buongiorno, avete ancora la giacca verde in taglia M? Vorrei ritirarla domani pomeriggio. " + "x" * 400,
    }
    return json.dumps({"update_id": 500_000_000 + number, "message": message}).encode()


def request(host: str, path: str, secret: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{SECRET_HEADER}: {secret}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one response; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    if size:
        await reader.readexactly(size)
    return int(head[9:12])


async def closed_loop(port: int, path: str, secret: str, numbers: Iterator[int], options: argparse.Namespace) -> dict[str, Any]:
    """``options.connections`` connections, each sending as soon as it was answered, for ``options.seconds``."""
    latencies: list[float] = []
    bad = 0
    end = time.perf_counter() + options.seconds

    async def one() -> None:
        nonlocal bad
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            payload = request(f"127.0.0.1:{port}", path, secret, update(next(numbers), options.chats))
            begun = time.perf_counter()
            writer.write(payload)
            if await answer(reader) == 200:
                latencies.append(time.perf_counter() - begun)
            else:
                bad += 1
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(options.connections)))
    return {"per_second": len(latencies) / (time.perf_counter() - begun), "bad": bad, **percentiles(latencies)}


async def paced(port: int, path: str, secret: str, numbers: Iterator[int], options: argparse.Namespace) -> dict[str, Any]:
    """``options.rate`` webhooks a second over a few connections; none waits for the answer to another."""
    latencies: list[float] = []
    bad = 0
    free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
    for _ in range(options.connections):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def one(payload: bytes, begun: float) -> None:
        nonlocal bad
        reader, writer = await free.get()
        writer.write(payload)
        bad += await answer(reader) != 200
        latencies.append(time.perf_counter() - begun)
        free.put_nowait((reader, writer))

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index in range(int(options.rate * options.seconds)):
            payload = request(f"127.0.0.1:{port}", path, secret, update(next(numbers), options.chats))
            await asyncio.sleep(max(0.0, begun + index / options.rate - time.perf_counter()))
            group.create_task(one(payload, time.perf_counter()))
    while not free.empty():
        free.get_nowait()[1].close()
    return {"bad": bad, **percentiles(latencies)}


def shown(frame: str) -> int | None:
    """The number of the new message that a frame of a feed shows; None if it shows something else."""
    if not frame.startswith('{"type":"message.added"') or '"kind":"activity"' in frame:
        return None
    mark = frame.index("bench-") + 6
    return int(frame[mark : frame.index(":", mark)])


class Feed:
    """An open feed, and when it showed which message. Used as a context; ``seen`` is complete when ``all_seen`` is set."""

    def __init__(self, port: int, options: argparse.Namespace, expected: int) -> None:
        self._url = f"http://127.0.0.1:{port}{options.feed}"
        self._token = options.token
        self._expected = expected
        self._stack = contextlib.AsyncExitStack()
        self.seen: dict[int, float] = {}
        self.all_seen = asyncio.Event()

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        session = await self._stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        socket = await self._stack.enter_async_context(session.ws_connect(self._url, max_msg_size=0))
        if self._token:
            assert (await socket.receive_json(timeout=10))["type"] == "hello"
        listener = asyncio.create_task(self._listen(socket))
        self._stack.callback(listener.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            now, number = time.perf_counter(), shown(str(message.data))
            if number is None:
                continue
            if number in self.seen:
                raise SystemExit(f"message {number} was on the feed twice")
            self.seen[number] = now
            if len(self.seen) == self._expected:
                self.all_seen.set()
        raise SystemExit("the feed was closed")

    async def complete(self, seconds: float) -> None:
        """Wait until all are there."""
        try:
            await asyncio.wait_for(self.all_seen.wait(), seconds)
        except TimeoutError:
            raise SystemExit(f"of {self._expected} messages {len(self.seen)} were on the feed {seconds:g} s after the last") from None


async def to_feed(port: int, path: str, secret: str, numbers: Iterator[int], options: argparse.Namespace) -> dict[str, Any]:
    """``options.rate`` webhooks a second; how long until the open feed shows each."""
    sent: dict[int, float] = {}
    count = int(options.rate * options.seconds)
    async with Feed(port, options, count) as feed:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = time.perf_counter()
        for index in range(count):
            number = next(numbers)
            payload = request(f"127.0.0.1:{port}", path, secret, update(number, options.chats))
            await asyncio.sleep(max(0.0, begun + index / options.rate - time.perf_counter()))
            sent[number] = time.perf_counter()
            writer.write(payload)
            await answer(reader)
        await feed.complete(20)
        writer.close()
    return percentiles([moment - sent[number] for number, moment in feed.seen.items()])


async def sustained(port: int, path: str, secret: str, numbers: Iterator[int], options: argparse.Namespace) -> dict[str, Any]:
    """``options.count`` messages over ``options.connections``; the end is when the last one was on the feed."""
    wanted = iter(list(itertools.islice(numbers, options.count)))
    bad = 0
    async with Feed(port, options, options.count) as feed:

        async def one() -> None:
            nonlocal bad
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in wanted:
                writer.write(request(f"127.0.0.1:{port}", path, secret, update(number, options.chats)))
                bad += await answer(reader) != 200
            writer.close()

        begun = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(options.connections)))
        accepted = time.perf_counter()
        if not bad:
            await feed.complete(120)
        end = max(feed.seen.values(), default=accepted)
    return {"per_second": options.count / (end - begun), "accepted_per_second": options.count / (accepted - begun), "bad": bad}


def percentiles(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    if not ordered:
        return {"p50_ms": float("nan"), "p99_ms": float("nan"), "count": 0}
    return {
        "p50_ms": 1000 * statistics.median(ordered),
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "count": len(ordered),
    }


RUNS = {"closed": closed_loop, "paced": paced, "feed": to_feed, "sustained": sustained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=list(RUNS))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/webhooks/shop")
    parser.add_argument("--secret", required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--chats", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="number of the first message; keep runs apart")
    parser.add_argument("--feed", default="/api/v1/feed")
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    result = asyncio.run(RUNS[options.mode](options.port, options.path, options.secret, itertools.count(options.first), options))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
