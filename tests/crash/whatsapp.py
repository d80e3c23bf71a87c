"""A gateway process with one WhatsApp number, and WhatsApp beside it."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from connectors.whatsapp.simulator.app import HOOK
from tests.crash.shop import Shop
from tests.support.graph import Bench, Phones, raw_settings, whatsapp_bench
from tests.support.process import GatewayProcess, free_port, seed_agent
from tests.support.waiting import until


@dataclass
class WhatsAppShop:
    """As :class:`Shop`, at WhatsApp."""

    gateway: GatewayProcess
    phone: Phones
    token: str
    session: aiohttp.ClientSession
    bench: Bench

    database = Shop.database

    async def begin(self) -> None:
        """A shopper writes; then Meta falls silent: what went out must be known without its statuses."""
        hook = self.bench.app[HOOK]
        hook.url = f"{self.gateway.url}/webhooks/shop"
        await self.phone.say(await self.phone.person("Cleo"), "hello")
        await until(lambda: not self.bench.posted)
        hook.url = ""

    async def accepted(self) -> list[str]:
        return [entry["text"] for entry in await self.phone.ledger()]


@contextlib.asynccontextmanager
async def open_whatsapp_shop(folder: Path) -> AsyncIterator[WhatsAppShop]:
    """Everything but the gateway's process, which a test starts, below ``folder``."""
    async with whatsapp_bench() as bench:
        port = free_port()
        config = folder / "sportello.toml"
        # TOML strings are JSON strings.
        lines = [f"{name} = {json.dumps(value)}" for name, value in raw_settings(bench.root).items()]
        head = [f"data_dir = {json.dumps(str(folder / 'data'))}", "[server]", f"port = {port}", "[log]", 'level = "warning"']
        config.write_text("\n".join((*head, "[channels.shop]", 'kind = "whatsapp"', *lines, "")), encoding="utf-8")
        gateway = GatewayProcess(config, port)
        token = await seed_agent(gateway.load())
        try:
            yield WhatsAppShop(gateway, bench.phones, token, bench.session, bench)
        finally:
            if gateway.process is not None:
                await gateway.kill()
