"""A node that starts while its database is away takes in what providers deliver, refuses the rest, and joins when it is back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from config import Config, Secret
from config.model import Spool, Storage
from gateway.server import Occasion, run_gateway
from gateway.services import Services
from storage import open_store
from storage.errors import SchemaError, Unavailable
from storage.protocol import WHOLE
from storage.spool_file import look
from tests.support.gateway import BOT_SECRET, SHOP, RunningGateway, gateway_config, running_gateway
from tests.support.postgres import PostgresServer, own_server, run_sql
from tests.support.waiting import eventually

HEADERS = {"X-Telegram-Bot-Api-Secret-Token": BOT_SECRET, "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that may be stopped."""
    yield from own_server()


@pytest.fixture
async def url(server: PostgresServer) -> AsyncIterator[str]:
    made = await server.create(empty=True)
    yield made
    await server.drop(made)


def _config(tmp_path: Path, url: str) -> Config:
    config = gateway_config(tmp_path)
    channel = config.channels["bot"]
    return replace(
        config,
        storage=Storage(url=Secret(url)),
        spool=Spool(after=0.3),
        # Nobody has told this node the key: only the database knows it.
        server=replace(config.server, secret_key=Secret("")),
        channels={**config.channels, "bot": replace(channel, queue="Bots")},
    )


async def _deliver(gateway: RunningGateway, number: int) -> int:
    update = {
        "update_id": number,
        "message": {
            "message_id": number,
            "date": 1_790_000_000,
            "chat": {"id": 7000 + number, "type": "private", "first_name": "Cleo"},
            "from": {"id": 7000 + number, "is_bot": False, "first_name": "Cleo"},
            "text": f"Hello {number}",
        },
    }
    status, _, _ = await gateway.request("POST", "/webhooks/bot", data=msgspec.json.encode(update), headers=HEADERS)
    return status


async def test_what_comes_in_meanwhile_is_kept_and_routed_once(server: PostgresServer, url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(server.stop)
    try:
        async with running_gateway(_config(tmp_path, url)) as gateway:
            assert [await _deliver(gateway, number) for number in range(1, 51)] == [200] * 50
            # A provider that delivers again.
            assert await _deliver(gateway, 50) == 200
            status, _, body = await gateway.request("GET", "/readyz")
            assert (status, msgspec.json.decode(body)["degraded"], msgspec.json.decode(body)["spooled"]) == (200, True, 51)
            bearer = {"Authorization": "Bearer gw_nobody_nothing"}
            assert (await gateway.request("GET", "/api/v1/me", headers=bearer))[0] == 503
            door = {"Origin": SHOP, "Content-Type": "application/json"}
            assert (await gateway.request("POST", "/chat/v1/web/sessions", data=b"{}", headers=door))[0] == 503
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await gateway.http.ws_connect(f"{gateway.url}/chat/v1/web/socket", headers={"Origin": SHOP})
            assert refused.value.status == 503

            await asyncio.to_thread(server.start)
            store = gateway.services.store

            async def conversations() -> int:
                try:
                    return len({event.entry.identity for event in await store.read(WHOLE, 0, 5000) if event.entry.type == "message.added"})
                except Unavailable:
                    return 0

            assert await eventually(conversations, lambda number: number >= 50) == 50
            events = await store.read(WHOLE, 0, 5000)
            assert sorted(event.entry.key for event in events if event.entry.channel == "bot") == sorted(
                {event.entry.key for event in events if event.entry.channel == "bot"}
            )
            assert len([event for event in events if event.entry.type == "message.received"]) == 50
            assert "Bots" in {queue.name for queue in await store.view(lambda tx: tx.queues.all())}
            assert (await gateway.request("GET", "/api/v1/me", headers=bearer))[0] == 401
            assert (await gateway.request("POST", "/chat/v1/web/sessions", data=b"{}", headers=door))[0] == 201
            assert (await gateway.request("GET", "/readyz"))[0] == 200
    finally:
        if server._process is None:
            await asyncio.to_thread(server.start)


async def test_a_node_that_never_sees_its_database_stops_in_good_order(server: PostgresServer, url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(server.stop)
    try:
        async with asyncio.timeout(20), running_gateway(_config(tmp_path, url)) as gateway:
            assert await _deliver(gateway, 1) == 200
    finally:
        await asyncio.to_thread(server.start)
    assert look(tmp_path / "data" / "spool.db").waiting == 1


async def test_a_database_of_another_program_that_appears_later_ends_the_process(server: PostgresServer, url: str, tmp_path: Path) -> None:
    await run_sql(url, "CREATE TABLE orders (id int)")
    await asyncio.to_thread(server.stop)
    ready: asyncio.Future[Services] = asyncio.get_running_loop().create_future()

    async def announce(services: Services) -> None:
        ready.set_result(services)

    running = asyncio.create_task(run_gateway(_config(tmp_path, url), Occasion(ready=announce), asyncio.Event()))
    try:
        async with aiohttp.ClientSession() as http:
            assert await _deliver(RunningGateway(await asyncio.wait_for(ready, 60), http), 1) == 200
    finally:
        await asyncio.to_thread(server.start)
    with pytest.raises(SchemaError, match="another program"):
        await asyncio.wait_for(running, 60)
    assert await run_sql(url, "SELECT 1 FROM pg_tables WHERE tablename = 'schema_version'") == []
    assert look(tmp_path / "data" / "spool.db").waiting == 1


async def test_what_is_no_outage_is_refused_at_the_start(server: PostgresServer, url: str) -> None:
    del server
    name = url.partition("?")[0].rpartition("/")[2]
    with pytest.raises(Unavailable, match="check user"):
        await open_store(url.replace(name, "no_such_database"), may_be_away=True)
    await run_sql(url, "CREATE TABLE orders (id int)")
    with pytest.raises(SchemaError, match="another program"):
        await open_store(url, may_be_away=True)


async def test_without_leave_an_outage_is_an_error() -> None:
    with pytest.raises(Unavailable):
        await open_store("postgresql://x@127.0.0.1:1/x")
