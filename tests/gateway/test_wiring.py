"""A gateway stands up whole, or not at all; and it is not the only one in its process."""

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from config import ChannelConfig, Config, ConfigError
from config.model import Server
from gateway.admin import AdminError, Order, send_order
from gateway.keys import BadKey
from gateway.listener import CannotListen
from gateway.server import DiskLost, Occasion, run_gateway
from gateway.services import Services
from gateway.wiring import open_gateway
from storage import open_store
from storage.errors import Unavailable
from storage.protocol import Store
from tests.support.gateway import CHANNELS, running_gateway


def _agent(email: str) -> dict[str, Any]:
    return {"name": "Ada", "email": email, "role": "agent", "capacity": 5, "queues": [], "password": ""}


def config_in(folder: Path, **channels: ChannelConfig) -> Config:
    return Config(data_dir=str(folder), server=Server(port=0), channels=channels)


async def test_two_gateways_live_in_one_process(tmp_path: Path) -> None:
    one, two = config_in(tmp_path / "1", web=CHANNELS["web"]), config_in(tmp_path / "2", bot=CHANNELS["bot"])
    async with running_gateway(one) as first, running_gateway(two) as second:
        assert first.port != second.port
        assert (list(first.services.channels), list(second.services.channels)) == (["web"], ["bot"])
        assert first.services.config.server.secret_key != second.services.config.server.secret_key
        await send_order(tmp_path / "1", Order("agent.add", _agent("ada@example.org")))
        assert [agent["email"] for agent in await send_order(tmp_path / "1", Order("agent.list"))] == ["ada@example.org"]
        assert await send_order(tmp_path / "2", Order("agent.list")) == []
        assert await send_order(tmp_path / "2", Order("reprocess", {"channel": ""})) == {"recovered": 0, "remaining": 0, "events": 0}
        for running in (first, second):
            status, _, body = await running.request("GET", "/healthz")
            assert status == 200, body


async def test_one_database_has_one_gateway(tmp_path: Path) -> None:
    async with open_gateway(config_in(tmp_path), workers=False):
        with pytest.raises(Unavailable, match="in use by process"):
            async with open_gateway(config_in(tmp_path), workers=False):
                pass
    async with open_gateway(config_in(tmp_path), workers=False) as services:
        assert services.channels == {}


async def test_a_channel_with_wrong_settings_stops_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = ChannelConfig(kind="telegram", settings={"token": "canary-no-token"})
    with pytest.raises(ConfigError) as caught:
        await run_gateway(config_in(tmp_path / "data", shop=wrong, other=ChannelConfig(kind="fax")))
    assert "channels.shop: token must look like" in str(caught.value)
    assert "channels.other.kind: there is no connector 'fax'" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert not (tmp_path / "data").exists()


async def test_a_queue_that_a_channel_names_is_made_once(tmp_path: Path) -> None:
    channel = replace(CHANNELS["web"], queue="Sales")
    for _ in range(2):
        async with open_gateway(config_in(tmp_path, web=channel), workers=False) as services:
            queues = await services.store.view(lambda tx: tx.queues.all())
        assert sorted(queue.name for queue in queues) == ["General", "Sales"]


async def test_the_secret_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with open_gateway(config_in(folder), workers=False) as services:
        first = services.config.server.secret_key
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    async with open_gateway(config_in(folder), workers=False) as services:
        assert services.config.server.secret_key == first
    assert len(first.reveal()) == 64


async def test_a_broken_key_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("short", "ascii")
    with pytest.raises(BadKey, match="fewer than 32 characters: remove it"):
        async with open_gateway(config_in(tmp_path), workers=False):
            pass


async def test_a_stop_ends_everything_within_ten_seconds(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    before = {task for task in asyncio.all_tasks() if not task.done()}
    async with running_gateway(config_in(tmp_path, web=CHANNELS["web"])) as running:
        status, _, _ = await running.request("GET", "/readyz")
        assert status == 200
        began = loop.time()
    assert loop.time() - began < 30
    after = {task for task in asyncio.all_tasks() if not task.done()}
    assert after <= before | {asyncio.current_task()}


async def test_a_busy_port_is_found_before_the_database_is_touched(tmp_path: Path) -> None:
    async with running_gateway(config_in(tmp_path / "1")) as running:
        config = Config(data_dir=str(tmp_path / "2"), server=Server(port=running.port))
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{running.port}"):
            await run_gateway(config)
    assert not (tmp_path / "2").exists()


async def test_a_failure_while_getting_ready_closes_everything(tmp_path: Path) -> None:
    async def fail(services: Services) -> None:
        del services
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        await run_gateway(config_in(tmp_path), Occasion(ready=fail))
    async with open_gateway(config_in(tmp_path), workers=False):
        pass  # the lock is free again


async def test_orders_that_make_no_sense_are_answered(tmp_path: Path) -> None:
    async with running_gateway(config_in(tmp_path)):
        with pytest.raises(AdminError, match="does not know 'dance'"):
            await send_order(tmp_path, Order("dance"))
        with pytest.raises(AdminError, match="does not understand"):
            await send_order(tmp_path, Order("agent.link", {"mail": "x"}))
        with pytest.raises(AdminError, match="there is no queue 'Nowhere'"):
            await send_order(tmp_path, Order("agent.add", {**_agent("x@example.org"), "queues": ["Nowhere"]}))
        reader, writer = await asyncio.open_unix_connection(tmp_path / "admin.sock")
        writer.write(b"{nonsense\n")
        assert b"cannot be read" in await reader.readline()
        writer.close()
    with pytest.raises(FileNotFoundError):
        await send_order(tmp_path, Order("status"))


async def test_a_failed_disk_ends_the_gateway_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fatal: list[Callable[[BaseException], None]] = []

    async def remember(url: str, **options: Any) -> Store:
        fatal.append(options["on_fatal"])
        return await open_store(url, **options)

    monkeypatch.setattr("gateway.wiring.open_store", remember)

    async def break_disk(services: Services) -> None:
        del services
        fatal[0](OSError("input/output error"))

    async with asyncio.timeout(20):
        with pytest.raises(DiskLost, match="the disk failed"):
            await run_gateway(config_in(tmp_path), Occasion(ready=break_disk))


async def test_metrics_and_health_are_there(tmp_path: Path) -> None:
    async with running_gateway(config_in(tmp_path, web=CHANNELS["web"])) as running, aiohttp.ClientSession() as http:
        async with http.get(f"{running.url}/metrics") as answer:
            text = await answer.text()
        assert 'sportello_worker_up{worker="outbox"} 1.0' in text
        assert answer.status == 200
