"""A gateway that is told to stop says so first, works on meanwhile, and sees to it that its clients do not come back all at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace

from config import Config
from gateway.server import Occasion, run_gateway
from gateway.services import Services
from gateway.web.live import COME_BACK, RESTART, come_back
from tests.support.cast import assemble
from tests.support.gateway import RunningGateway, gateway_config, running_gateway, with_server
from tests.support.process import free_port
from tests.support.waiting import eventually


@dataclass
class Started:
    """A gateway that can be told to stop."""

    gateway: RunningGateway
    stop: asyncio.Event
    server: asyncio.Task[None]


@contextlib.asynccontextmanager
async def started(config: Config) -> AsyncIterator[Started]:
    stop = asyncio.Event()
    ready: asyncio.Future[Services] = asyncio.get_running_loop().create_future()

    async def announce(services: Services) -> None:
        ready.set_result(services)

    server = asyncio.create_task(run_gateway(config, Occasion(ready=announce), stop))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        try:
            yield Started(RunningGateway(await ready, http), stop, server)
        finally:
            stop.set()
            await asyncio.wait_for(server, 60)


async def test_before_it_refuses_connections_it_says_that_it_will(tmp_path: Path) -> None:
    async with started(with_server(gateway_config(tmp_path), drain=1.0)) as open_:
        gateway = open_.gateway
        assert (await gateway.request("GET", "/readyz"))[0] == 200
        open_.stop.set()

        async def health() -> tuple[int, str]:
            status, _, body = await gateway.request("GET", "/readyz")
            return status, msgspec.json.decode(body)["status"]

        assert await eventually(health, lambda seen: seen[0] == 503) == (503, "stopping")
        status, headers, _ = await gateway.request("GET", "/healthz")
        assert (status, headers["Connection"]) == (200, "close")
        assert not open_.server.done()


async def test_a_socket_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with started(gateway_config(tmp_path)) as open_:
        cast = await assemble(open_.gateway)
        async with cast.ada.feed() as frames:
            open_.stop.set()
            frame = await frames.of("restart")
            assert await frames.closed() == RESTART
    assert COME_BACK[0] <= frame["retry_after"] <= COME_BACK[1]


async def test_a_stream_of_events_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with started(gateway_config(tmp_path)) as open_:
        cast = await assemble(open_.gateway)
        headers = {**cast.ada.cookie_header, "Accept": "text/event-stream"}
        async with open_.gateway.http.get(f"{open_.gateway.url}/api/v1/feed", headers=headers) as answer:
            assert b"hello" in await answer.content.readline()
            open_.stop.set()
            lines = [line.decode().strip() async for line in answer.content]
    (retry,) = [line for line in lines if line.startswith("retry: ")]
    assert COME_BACK[0] * 1000 <= int(retry.removeprefix("retry: ")) <= COME_BACK[1] * 1000


def test_clients_come_back_one_after_the_other() -> None:
    """5,000 within five seconds: no tenth of a second has more than a few times its share."""
    pauses = [come_back() for _ in range(5000)]
    assert COME_BACK[0] <= min(pauses) < 1
    assert 4.5 < max(pauses) <= COME_BACK[1]
    assert max(pauses.count(value) for value in set(pauses)) < 250


async def test_figures_have_a_port_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    config = gateway_config(tmp_path)
    async with running_gateway(_with_node(config, metrics_port=port - 2, slot=2)) as gateway:
        for path in ("healthz", "readyz", "metrics"):
            async with gateway.http.get(f"http://127.0.0.1:{port}/{path}") as answer:
                assert answer.status == 200, path
                text = await answer.text()
        assert 'sportello_duties{kind="router"} 16.0' in text
        assert "sportello_nodes 1.0" in text
        assert "sportello_bus_up 1.0" in text
        # Another slot's process takes the orders.
        assert not (tmp_path / "data" / "admin.sock").exists()
        async with gateway.http.get(f"http://127.0.0.1:{port}/inbox/") as answer:
            assert answer.status == 404


def _with_node(config: Config, **fields: Any) -> Config:
    return replace(config, node=replace(config.node, **fields))
