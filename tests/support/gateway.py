"""A whole gateway on a free port: real server, real database, all workers."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from msgspec.structs import replace

from config import ChannelConfig, Config, Secret
from config.model import Server
from gateway.server import Occasion, run_gateway
from gateway.services import Services

SHOP = "https://shop.example.org"
IDENTITY_SECRET = "canary-identity-of-the-shop-0123456789"
BOT_TOKEN = "1000001:canary-token-of-a-bot-that-is-not-there-0"
BOT_SECRET = "canary-webhook-of-the-bot-0123"

#: Web chat, a Telegram bot whose provider is away, the same switched off, and a second web chat.
CHANNELS = {
    "web": ChannelConfig(kind="webchat", title="Shop chat", settings={"origins": [SHOP], "identity_secret": IDENTITY_SECRET}),
    "web2": ChannelConfig(kind="webchat", title="Other shop", settings={"origins": ["https://other.example.org"]}),
    "bot": ChannelConfig(
        kind="telegram", title="Bot", settings={"token": BOT_TOKEN, "secret_token": BOT_SECRET, "api_base": "http://127.0.0.1:9"}
    ),
    "off": ChannelConfig(
        kind="telegram",
        title="Off",
        enabled=False,
        settings={"token": BOT_TOKEN, "secret_token": BOT_SECRET, "api_base": "http://127.0.0.1:9"},
    ),
}


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers."""

    services: Services
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Its own address, without a slash at the end."""
        return self.services.config.public_url

    @property
    def port(self) -> int:
        return self.services.config.server.port

    async def request(self, method: str, path: str, **more: Any) -> tuple[int, Mapping[str, str], bytes]:
        """One plain request: status, headers, body."""
        if isinstance(more.get("data"), bytes):
            more["data"] = io.BytesIO(more["data"])
        async with self.http.request(method, self.url + path, allow_redirects=False, **more) as response:
            return response.status, response.headers, await response.read()


def gateway_config(tmp_path: Path, channels: Mapping[str, ChannelConfig] | None = None) -> Config:
    """Settings for a gateway below ``tmp_path``."""
    server = Server(port=0, secret_key=Secret("canary-key-of-the-tests-0123456789abcdef"))
    return Config(data_dir=str(tmp_path / "data"), server=server, channels=CHANNELS if channels is None else channels)


@contextlib.asynccontextmanager
async def running_gateway(config: Config, *, demo: bool = False) -> AsyncIterator[RunningGateway]:
    """Start it, and stop it in good order."""
    stop = asyncio.Event()
    ready: asyncio.Future[Services] = asyncio.get_running_loop().create_future()

    async def announce(services: Services) -> None:
        ready.set_result(services)

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        server = asyncio.create_task(run_gateway(config, Occasion(demo=demo, ready=announce), stop))
        try:
            waits: set[asyncio.Future[Any]] = {server, ready}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if server.done():
                server.result()
            yield RunningGateway(ready.result(), http)
        finally:
            stop.set()
            await server


def with_server(config: Config, **fields: Any) -> Config:
    """The same with other settings of the server."""
    return replace(config, server=replace(config.server, **fields))
