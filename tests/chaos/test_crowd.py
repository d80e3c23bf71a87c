"""Many uploads at once that never end: memory stays within bounds, and who means it is served."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.web.bodies import Bodies
from tests.chaos.crowd import MOST_BYTES, crowd


@pytest.mark.chaos
async def test_six_hundred_bodies_that_never_end_fit_into_memory() -> None:
    """They would be twice the bound. Ten thousand: ``python -m tests.chaos --long --only crowd``."""
    found = await crowd(600, lambda _: None)
    assert found.violations == []
    assert found.sent > 1.5 * MOST_BYTES
    assert found.refused > 400


async def half(server: TestServer, size: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stranger who has sent so many bytes of a body of a thousand."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * size)
    return reader, writer


async def test_the_oldest_makes_room_for_the_newest() -> None:
    bodies, arrived = Bodies(budget=2000), asyncio.Semaphore(0)

    async def take(request: web.Request) -> web.Response:
        arrived.release()
        try:
            return web.Response(text=str(len(await bodies.read(request, 30))))
        except TimeoutError:
            return web.Response(status=408)

    app = web.Application()
    app.router.add_post("/", take)
    server = TestServer(app)
    async with TestClient(server) as client:
        slow: list[Any] = []
        for _ in range(2):
            slow.append(await half(server, 700))
            await arrived.acquire()
        async with client.post("/", data=b"x" * 900) as answer:
            assert (answer.status, await answer.text()) == (200, "900")
        assert b" 408 " in await slow[0][0].readline()
        # What the first had held was enough.
        slow[1][1].write(b"x" * 300)
        assert b" 200 " in await slow[1][0].readline()
        for _ in range(20):
            # All of it is given back, however a body ends.
            async with client.post("/", data=b"x" * 900) as answer:
                assert answer.status == 200
            _, writer = await half(server, 700)
            writer.transport.abort()
        for _, writer in slow:
            writer.transport.abort()
