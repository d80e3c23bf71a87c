"""A load of signed Telegram webhooks, from a process of its own: ``python -m tests.bench.load``.

Closed loop over plain sockets (an HTTP client library would be slower than the server), or a fixed rate with the time each
message takes to reach an open feed.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

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


async def to_feed(port: int, path: str, secret: str, numbers: Iterator[int], options: argparse.Namespace) -> dict[str, Any]:
    """``options.rate`` webhooks a second; how long until the open feed shows each."""
    sent: dict[int, float] = {}
    seen: list[float] = []
    count = int(options.rate * options.seconds)
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    url = f"http://127.0.0.1:{port}{options.feed}"
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url) as socket:
        if options.token:
            assert (await socket.receive_json(timeout=10))["type"] == "hello"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def listen() -> None:
            while len(seen) < count:
                text = (await socket.receive(timeout=10)).data
                now = time.perf_counter()
                mark = text.find("bench-") if "message.received" not in text else -1
                if mark >= 0 and "message.added" in text:
                    number = int(text[mark + 6 : text.index(":", mark)])
                    seen.append(now - sent[number])

        listener = asyncio.create_task(listen())
        begun = time.perf_counter()
        for index in range(count):
            await asyncio.sleep(max(0.0, begun + index / options.rate - time.perf_counter()))
            number = next(numbers)
            payload = request(f"127.0.0.1:{port}", path, secret, update(number, options.chats))
            sent[number] = time.perf_counter()
            writer.write(payload)
            await answer(reader)
        await asyncio.wait_for(listener, 20)
        writer.close()
    return percentiles(seen)


def percentiles(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    if not ordered:
        return {"p50_ms": float("nan"), "p99_ms": float("nan"), "count": 0}
    return {
        "p50_ms": 1000 * statistics.median(ordered),
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "count": len(ordered),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["closed", "feed"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/webhooks/shop")
    parser.add_argument("--secret", required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--chats", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="number of the first message; keep runs apart")
    parser.add_argument("--feed", default="/api/v1/feed")
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    run = closed_loop if options.mode == "closed" else to_feed
    result = asyncio.run(run(options.port, options.path, options.secret, itertools.count(options.first), options))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
