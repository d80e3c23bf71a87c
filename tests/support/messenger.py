"""A simulated page or Instagram account on a real port, a shopper's phone, and the connector's client beside it."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Literal

import aiohttp

from connectors import instagram, messenger
from connectors.contract import ClientContext, Request, no_links
from connectors.instagram.client import InstagramClient
from connectors.messenger.client import MessengerClient
from connectors.messenger.simulator import SIMULATOR, Account, Simulator, create_simulator_app
from tests.support.pictures import PNG
from tests.support.serving import serving
from tests.support.settings import settings_of

Platform = Literal["messenger", "instagram"]

TOKEN = "canary-PAGE-token-31c4"
APP_SECRET = "canary-APP-secret-8e21"
VERIFY = "canary-VERIFY-token-55"
APP = "880000000000005"
PAGE = "104000000000001"
ACCOUNT = "17841400000000009"


def raw_settings(platform: Platform, graph: str = "http://127.0.0.1:9", **changes: Any) -> dict[str, Any]:
    """As in the channel's section of the configuration."""
    whose = {"page_id": PAGE} if platform == "messenger" else {"account_id": ACCOUNT}
    secrets = {"access_token": TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY}
    return {**secrets, **whose, "app_id": APP, "graph_base": graph, **changes}


def messenger_settings(**changes: Any) -> messenger.Settings:
    """Of the page."""
    return settings_of(messenger.Settings, raw_settings("messenger", **changes))


def instagram_settings(**changes: Any) -> instagram.Settings:
    """Of the account."""
    return settings_of(instagram.Settings, raw_settings("instagram", **changes))


def account_of(platform: Platform, **more: Any) -> Account:
    """What the simulator plays."""
    whose = PAGE if platform == "messenger" else ACCOUNT
    return Account(platform=platform, id=whose, access_token=TOKEN, app_secret=APP_SECRET, app_id=APP, **more)


@dataclass(frozen=True)
class Handset:
    """The control interface from Python."""

    session: aiohttp.ClientSession
    root: str

    async def post(self, path: str, **body: Any) -> Any:
        stream, headers = BytesIO(json.dumps(body).encode()), {"Content-Type": "application/json"}
        async with self.session.post(f"{self.root}/control/{path}", data=stream, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def get(self, path: str) -> Any:
        async with self.session.get(f"{self.root}/control/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def person(self, name: str = "Cleo Bianchi") -> str:
        found: str = (await self.post("people", name=name))["id"]
        return found

    async def say(self, person: str, **message: Any) -> str:
        found: str = (await self.post(f"people/{person}/messages", **message))["id"]
        return found

    async def lines(self, person: str, *, from_shop: bool | None = None) -> list[dict[str, Any]]:
        """What stands on the phone, oldest first."""
        lines = [line for line in (await self.get("state"))["lines"] if line["person"] == person]
        return [line for line in lines if from_shop in (None, line["from_shop"])]

    async def ledger(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("ledger"))["items"]
        return found


def a_file(data: bytes = PNG, mime: str = "image/png", name: str = "shoe.png") -> dict[str, str]:
    """For :meth:`Handset.say`."""
    return {"data": base64.b64encode(data).decode(), "mime": mime, "name": name}


@dataclass
class MetaBench:
    """Simulator, phone, and the connector's client."""

    platform: Platform
    root: str
    phone: Handset
    session: aiohttp.ClientSession
    simulator: Simulator
    files: dict[str, bytes] = field(default_factory=dict)

    def settings(self, **changes: Any) -> Any:
        make = messenger_settings if self.platform == "messenger" else instagram_settings
        return make(**{"graph": self.root, **changes})

    def client(self, *, links: bool = False, **changes: Any) -> MessengerClient | InstagramClient:
        async def read_file(stored: str) -> bytes:
            return self.files[stored]

        async def link_file(stored: str, *, for_people: bool = False) -> str:
            assert not for_people
            name = self.simulator.phone.add_file(self.files[stored], "image/png").id
            return f"{self.root}/cdn/{name}/x"

        context = ClientContext(
            session=self.session, channel="shop", read_file=read_file, link_file=link_file if links else no_links
        )  # fmt: skip
        kind = MessengerClient if self.platform == "messenger" else InstagramClient
        return kind(self.settings(**changes), context, pause=0.0)


@asynccontextmanager
async def meta_bench(platform: Platform, **account: Any) -> AsyncIterator[MetaBench]:
    """A fresh simulator with everything around it."""
    app = create_simulator_app(account_of(platform, **account), retries=(0.02, 0.05, 0.1))
    async with serving(app) as root, aiohttp.ClientSession() as session:
        yield MetaBench(platform, root, Handset(session, root), session, app[SIMULATOR])


def make_request(body: bytes, headers: dict[str, str] | None = None, **more: Any) -> Request:
    """A webhook."""
    fields = {"method": "POST", "url": "https://shop.example/webhooks/page", "received_at": datetime(2026, 11, 21, tzinfo=UTC), **more}
    return Request(headers=headers or {}, body=body, **fields)


def signed(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    """The header that proves ``body``."""
    return {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def with_extra(value: Any) -> Any:
    """The same with fields that nobody knows, at every level."""
    if isinstance(value, list):
        return [with_extra(item) for item in value]
    if isinstance(value, dict):
        return {**{key: with_extra(item) for key, item in value.items()}, "zz_extra": {"a": [1, None, "x"]}}
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path]
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value in one place."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_value(document[path[0]], path[1:], value)
    return copy
