"""A simulated Telegram on a real port, and the bot's client beside it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from connectors.content import AnyPart, Text
from connectors.contract import ClientContext, Failure, Outbound, Outcome, Request
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.client import PollTiming, TelegramClient
from connectors.telegram.simulator import create_simulator_app
from tests.support.serving import serving
from tests.support.settings import settings_of

TOKEN = "700000001:canary-TOKEN-9f3a"
SECRET = "canary-SECRET-77"
#: The smallest PNG.
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@dataclass(frozen=True)
class Phone:
    """The control API from Python."""

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

    async def user(self, first_name: str = "Ada", **more: str) -> int:
        number: int = (await self.post("users", first_name=first_name, **more))["user_id"]
        return number

    async def say(self, user: int, **message: Any) -> int:
        number: int = (await self.post(f"users/{user}/message", **message))["message_id"]
        return number

    async def messages(self, user: int) -> list[dict[str, Any]]:
        state = await self.get("state")
        found: list[dict[str, Any]] = next(chat["messages"] for chat in state["chats"] if chat["chat_id"] == user)
        return found

    async def ledger(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("ledger"))["items"]
        return found


@dataclass(frozen=True)
class Bench:
    """Simulator, phone, and settings of the bot."""

    root: str
    phone: Phone
    session: aiohttp.ClientSession
    app: web.Application
    files: dict[str, bytes]

    def settings(self, **changes: Any) -> Settings:
        raw: Mapping[str, Any] = {"token": TOKEN, "secret_token": SECRET, "mode": "poll", "api_base": self.root, **changes}
        return settings_of(Settings, raw)

    def client(self, settings: Settings | None = None) -> TelegramClient:
        async def read_file(stored: str) -> bytes:
            return self.files[stored]

        context = ClientContext(session=self.session, channel="shop", read_file=read_file)
        timing = PollTiming(hold=1, first_wait=0.01, last_wait=0.05)
        return TelegramClient(settings or self.settings(), context, timing)


@asynccontextmanager
async def telegram_bench(*, rate_limits: bool = False, ledger_path: Path | None = None) -> AsyncIterator[Bench]:
    """A fresh simulator with everything around it."""
    app = create_simulator_app(token=TOKEN, rate_limits=rate_limits, ledger_path=ledger_path)
    async with serving(app) as root, aiohttp.ClientSession() as session:
        yield Bench(root, Phone(session, root), session, app, {})


async def deliver(bench: Bench, to: int | str, *parts: AnyPart, reply_to: str = "", client: TelegramClient | None = None) -> list[Outcome]:
    """What came of each call of one message."""
    settings = bench.settings()
    client = client or bench.client(settings)
    calls = CONNECTOR.render(Outbound(id="msg_1", to=str(to), parts=parts, reply_to=reply_to), settings)
    return [CONNECTOR.read_reply(call, await client.send(call), settings) for call in calls]


async def failure(bench: Bench, to: int | str) -> Failure:
    """Why a word did not arrive."""
    (outcome,) = await deliver(bench, to, Text(text="hello"))
    assert isinstance(outcome, Failure)
    return outcome


async def take(updates: AsyncIterator[Request]) -> Request:
    """The next one, within seconds."""
    async with asyncio.timeout(60):
        return await anext(updates)
