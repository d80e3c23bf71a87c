"""A gateway with a page or an Instagram account of a simulated Meta, and people on both sides."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from msgspec.structs import replace

from config import ChannelConfig
from config.model import Media
from connectors.abilities import Provisioner
from connectors.messenger.simulator import SIMULATOR, Simulator, create_simulator_app
from storage.protocol import WHOLE
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.messenger import APP_SECRET, Handset, Platform, account_of, raw_settings
from tests.support.serving import serving
from tests.support.waiting import eventually

OTHER_PAGE = "104000000000777"


@dataclass
class Town:
    """A gateway with its people, and Meta with a phone."""

    platform: Platform
    cast: Cast
    phone: Handset
    simulator: Simulator

    async def lines(self, conversation: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.cast.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"]
        return found

    async def answer(self, conversation: dict[str, Any], **body: Any) -> dict[str, Any]:
        sent = await self.cast.ada.post(f"/conversations/{conversation['id']}/messages", body)
        assert sent.status == 201, sent.raw
        found: dict[str, Any] = sent.json
        return found

    async def until_status(self, conversation: dict[str, Any], status: str, nth: int = -1) -> dict[str, Any]:
        """The nth reply, once it has come so far."""

        async def look() -> dict[str, Any]:
            return [line for line in await self.lines(conversation) if line["kind"] == "outbound"][nth]

        return await eventually(look, lambda line: bool(line["status"] == status))

    async def post(self, body: bytes, secret: str = APP_SECRET) -> int:
        """A webhook, as Meta would post it."""
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        return (await self.cast.gateway.request("POST", "/webhooks/shop", data=body, headers=headers))[0]

    async def events(self, channel: str = "shop") -> list[dict[str, Any]]:
        """What the channel has brought into the stream."""
        recorded = await self.cast.gateway.services.store.read(WHOLE, 0, 100_000)
        return [json.loads(one.entry.data) for one in recorded if one.entry.channel == channel and one.entry.key]


@asynccontextmanager
async def town_of(platform: Platform, folder: Path) -> AsyncIterator[Town]:
    """A page or an account, its gateway on ``folder``, and people on both sides."""
    app = create_simulator_app(account_of(platform), retries=(0.05, 0.1, 0.2))
    async with serving(app) as graph, aiohttp.ClientSession() as session:
        shop = ChannelConfig(kind=platform, title="Page", settings=raw_settings(platform, graph))
        channels = {"web": CHANNELS["web"], "shop": shop}
        if platform == "messenger":
            channels["other"] = ChannelConfig(kind=platform, title="Other", settings=raw_settings(platform, graph, page_id=OTHER_PAGE))
        config = replace(gateway_config(folder, channels), media=Media(allow_private_hosts=(graph.removeprefix("http://"),)))
        async with running_gateway(config) as gateway:
            hook = f"{gateway.url}/webhooks/shop"
            client = gateway.services.channels["shop"].client
            assert isinstance(client, Provisioner)
            await client.provision(hook)
            if platform == "instagram":
                app[SIMULATOR].account.webhook_url = hook
            assert app[SIMULATOR].account.webhook_url == hook
            yield Town(platform, await assemble(gateway), Handset(session, graph), app[SIMULATOR])


async def first_conversation(town: Town, **message: Any) -> tuple[str, dict[str, Any]]:
    person = await town.phone.person()
    async with town.cast.ada.feed() as feed:
        await town.phone.say(person, **{"text": "Ciao, siete aperti?", **message})
        frame = await feed.until(lambda frame: frame["type"] == "message.added")
    conversation: dict[str, Any] = frame["data"]["conversation"]
    return person, conversation
