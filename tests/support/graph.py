"""A simulated WhatsApp on a real port, its phones, and the number's client beside it."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
from aiohttp import web

from config import Secret
from connectors.contract import ClientContext
from connectors.signature import sign
from connectors.whatsapp import Settings
from connectors.whatsapp.client import WhatsAppClient
from connectors.whatsapp.simulator import Account, create_simulator_app
from connectors.whatsapp.simulator.app import HOOK, PROVIDER, WEBHOOKS, WORLD
from connectors.whatsapp.simulator.provider import WhatsApp
from connectors.whatsapp.simulator.state import World
from tests.support.serving import serving
from tests.support.settings import settings_of

TOKEN = "canary-ACCESS-token-9f3a"
APP_SECRET = "canary-APP-secret-77"
VERIFY_TOKEN = "canary-VERIFY-token-55"
NUMBER = "106540352242922"
WABA = "102290129340398"
ACCOUNT = Account(token=TOKEN, app_secret=APP_SECRET, phone_number_id=NUMBER, business_account_id=WABA)


def raw_settings(graph_base: str = "http://127.0.0.1:9", **changes: Any) -> dict[str, Any]:
    """As they stand in the channel's section."""
    return {
        "access_token": TOKEN,
        "app_secret": APP_SECRET,
        "verify_token": VERIFY_TOKEN,
        "phone_number_id": NUMBER,
        "business_account_id": WABA,
        "graph_base": graph_base,
        **changes,
    }


def make_settings(graph_base: str = "http://127.0.0.1:9", **changes: Any) -> Settings:
    """The same, decoded."""
    return settings_of(Settings, raw_settings(graph_base, **changes))


def signed_headers(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    """What Meta sends beside ``body``."""
    return {"Content-Type": "application/json", "X-Hub-Signature-256": "sha256=" + sign("sha256", Secret(secret), body)}


@dataclass(frozen=True)
class Phones:
    """The control interface of any simulator from Python."""

    session: aiohttp.ClientSession
    root: str

    async def post(self, path: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        async with self.session.post(f"{self.root}/control/{path}", data=BytesIO(json.dumps(body).encode()), headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def get(self, path: str) -> Any:
        async with self.session.get(f"{self.root}/control/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def person(self, name: str = "Cleo", id_: str = "") -> str:
        found: str = (await self.post("people", name=name, **({"id": id_} if id_ else {})))["id"]
        return found

    async def say(self, person: str, text: str = "", **more: Any) -> str:
        found: str = (await self.post(f"people/{person}/messages", text=text, **more))["id"]
        return found

    async def send_file(self, person: str, data: bytes, mime: str, name: str = "", text: str = "") -> str:
        file = {"data": base64.b64encode(data).decode(), "mime": mime, "name": name}
        return await self.say(person, text, files=[file])

    async def lines(self, person: str, *, from_shop: bool | None = None) -> list[dict[str, Any]]:
        state = await self.get("state")
        return [line for line in state["lines"] if line["person"] == person and from_shop in (None, line["from_shop"])]

    async def ledger(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("ledger"))["items"]
        return found

    async def fault(self, kind: str, **more: Any) -> None:
        await self.post("faults", kind=kind, **more)


@dataclass(frozen=True)
class Bench:
    """Simulator, phones, settings and client of one number."""

    root: str
    phones: Phones
    session: aiohttp.ClientSession
    app: web.Application
    files: dict[str, bytes]

    @property
    def world(self) -> World:
        return self.app[WORLD]

    @property
    def whatsapp(self) -> WhatsApp:
        return self.app[PROVIDER]

    @property
    def posted(self) -> int:
        """Webhooks that are still on their way."""
        return self.app[WEBHOOKS].waiting

    def batch(self, entries: int) -> None:
        """So many entries per webhook."""
        self.app[HOOK].batch = entries

    def settings(self, **changes: Any) -> Settings:
        return make_settings(**{"graph_base": self.root, **changes})

    def client(self, settings: Settings | None = None) -> WhatsAppClient:
        async def read_file(stored: str) -> bytes:
            return self.files[stored]

        return WhatsAppClient(settings or self.settings(), ClientContext(session=self.session, channel="shop", read_file=read_file))


@asynccontextmanager
async def whatsapp_bench(**options: Any) -> AsyncIterator[Bench]:
    """A fresh simulator with everything around it; ``options`` are the simulator's."""
    settings: Mapping[str, Any] = {"limits": False, "retries": (0.05, 0.05, 0.1, 0.2), **options}
    app = create_simulator_app(ACCOUNT, **settings)
    async with serving(app) as root, aiohttp.ClientSession() as session:
        yield Bench(root, Phones(session, root), session, app, {})
