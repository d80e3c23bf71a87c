"""A whole gateway beside a simulated Telegram; all its secrets are canaries."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from msgspec.structs import replace

from config import ChannelConfig, Config, Secret
from connectors.abilities import Provisioner
from connectors.telegram.simulator import create_simulator_app
from gateway.services import Services
from gateway.work.health import HealthWorker
from storage.interaction import Interaction, InteractionKind, LogFilter
from tests.support.cast import Cast, assemble
from tests.support.gateway import SHOP, gateway_config, running_gateway
from tests.support.serving import serving
from tests.support.telegram import SECRET, TOKEN, Phone
from tests.support.waiting import eventually

SERVER_KEY = "canary-KEY-of/the+server-0123456789abcdef"
CHAT_SECRET = 'canary-CHAT "secret" 0123456789abcdef'
IDENTITY = "canary-IDENTITY-é-0123456789abcdef012"
CANARIES = {"token": TOKEN, "secret_token": SECRET, "secret_key": SERVER_KEY, "secret": CHAT_SECRET, "identity_secret": IDENTITY}
HEADERS = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}


@dataclass
class Aviary:
    """What a test needs of both sides."""

    cast: Cast
    phone: Phone
    telegram: str

    @property
    def services(self) -> Services:
        return self.cast.gateway.services

    async def entries(self, channel: str = "shop", kind: InteractionKind | None = None) -> list[Interaction]:
        """What the log of a channel holds by now, oldest first."""
        await self.services.journal.write()
        found = await self.services.store.view(lambda tx: tx.channel_log.page(channel, LogFilter(kind=kind), "", 1000))
        return found[::-1]

    async def until_logged(self, kind: InteractionKind, number: int = 1, channel: str = "shop") -> list[Interaction]:
        """At least so many of a kind."""
        return await eventually(lambda: self.entries(channel, kind), lambda found: len(found) >= number)

    async def judge(self) -> None:
        """As the worker does every two seconds, and about everything."""
        await self.services.journal.write()
        await HealthWorker(self.services).look()

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """A webhook, as Telegram would post it."""
        return (await self.cast.gateway.request("POST", "/webhooks/shop", data=body, headers=HEADERS if headers is None else headers))[0]

    async def conversation(self, text: str = "Ciao") -> tuple[int, dict[str, Any]]:
        """A shopper writes by Telegram: their id, and the conversation."""
        user = await self.phone.user("Cleo")
        async with self.cast.sue.feed() as feed:
            await self.phone.say(user, text=text)
            frame = await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["conversation"]["channel"] == "shop")
        return user, frame["data"]["conversation"]

    async def reply(self, conversation: dict[str, Any], text: str, status: str = "sent") -> dict[str, Any]:
        """An agent answers; the message once it has this status."""
        async with self.cast.sue.feed() as feed:
            answer = await self.cast.sue.post(f"/conversations/{conversation['id']}/messages", {"text": text})
            assert answer.status == 201, answer.raw
            id_ = answer.json["message"]["id"]
            frame = await feed.until(lambda frame: _is_now(frame, id_, status))
        message: dict[str, Any] = frame["data"]["message"]
        return message


def _is_now(frame: dict[str, Any], id_: str, status: str) -> bool:
    data = frame.get("data", {})
    return bool(frame["type"] == "message.status_changed" and data["message"]["id"] == id_ and data["message"]["status"] == status)


def bird_config(tmp_path: Path, telegram: str, **bot: Any) -> Config:
    """Web chat and a bot; every secret is a canary."""
    settings = {"token": TOKEN, "secret_token": SECRET, "api_base": telegram, "mode": "webhook", **bot}
    channels = {
        "web": ChannelConfig(
            kind="webchat", title="Chat", settings={"origins": [SHOP], "secret": CHAT_SECRET, "identity_secret": IDENTITY}
        ),
        "shop": ChannelConfig(kind="telegram", title="Telegram", settings=settings),
    }
    config = gateway_config(tmp_path, channels)
    return replace(config, server=replace(config.server, secret_key=Secret(SERVER_KEY)))


@contextlib.asynccontextmanager
async def aviary(tmp_path: Path, *, bodies: bool = True) -> AsyncIterator[Aviary]:
    """All of it, connected."""
    app = create_simulator_app(token=TOKEN, rate_limits=False)
    async with serving(app) as telegram, aiohttp.ClientSession() as session:
        config = bird_config(tmp_path, telegram)
        config = replace(config, log=replace(config.log, bodies=bodies))
        async with running_gateway(config) as gateway:
            client = gateway.services.channels["shop"].client
            assert isinstance(client, Provisioner)
            await client.provision(f"{gateway.url}/webhooks/shop")
            yield Aviary(await assemble(gateway), Phone(session, telegram), telegram)


def plain(value: Any) -> str:
    """Anything as text to look into."""
    return json.dumps(value, default=str, ensure_ascii=False)
