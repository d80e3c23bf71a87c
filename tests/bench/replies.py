"""From an agent's reply to the provider's Bot API: how long one takes, and how many a second go out.

A bot may send 30 messages a second, so there are many of them. The floor calls the same provider with the connector's own client,
which is python-telegram-bot over aiohttp, and does nothing else: no history, no outbox, no record of the attempt.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from connectors.contract import Call, ClientContext
from connectors.telegram import Settings
from connectors.telegram.client import TelegramClient
from tests.bench.figures import Figure
from tests.bench.ground import ENGINES, BenchFailed, Engine, Ground, Site
from tests.bench.load import SECRET_HEADER, percentiles, update
from tests.support.process import SECRET, TOKEN
from tests.support.serving import serving
from tests.support.settings import settings_of

_BOTS = 24
_CHATS = 4
_RATE = 40.0
_SAMPLES = 60
_AT_ONCE = 16
_DEADLINE = 60.0
#: A chat gets one message a second.
_CHAT_SECONDS = 1.1


#: Sends a text to the chat with this index.
Send = Callable[[int, str], Coroutine[Any, Any, None]]


@dataclass
class Provider:
    """Takes every message, and notes when."""

    url: str = ""
    called: dict[str, float] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def take(self, request: web.Request) -> web.Response:
        """``/bot<token>/sendMessage``."""
        now = time.perf_counter()
        body = await request.text()
        values: Any = msgspec.json.decode(body) if body.startswith("{") else dict(await request.post())
        text = str(values["text"])
        if text in self.called:
            raise BenchFailed(f"{text} was sent twice")
        self.called[text] = now
        chat = {"id": int(values["chat_id"]), "type": "private", "first_name": "Cleo"}
        result = {"message_id": next(self._numbers), "date": int(time.time()), "chat": chat, "text": text}
        return web.json_response({"ok": True, "result": result})

    async def complete(self, texts: list[str]) -> None:
        """Wait until all of these have come."""
        async with asyncio.timeout(_DEADLINE):
            while not all(text in self.called for text in texts):  # noqa: ASYNC110  each may come from any bot
                await asyncio.sleep(0.005)


@asynccontextmanager
async def _provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_post("/bot{token}/{method}", provider.take)
    async with serving(app) as provider.url:
        yield provider


async def replies(ground: Ground) -> None:
    """Both engines, one node each."""
    async with _provider() as provider:
        for engine in ENGINES:
            bots = "".join(
                f'\n[channels.bot{bot}]\nkind = "telegram"\ntoken = "{800000000 + bot}:token-of-a-bot"\nsecret_token = "{SECRET}"\n'
                f'api_base = "{provider.url}"\n'
                for bot in range(_BOTS)
            )
            async with ground.site(engine, extra=bots) as site:
                await _measure(ground, engine, provider, Desk(ground, site))


async def _measure(ground: Ground, engine: Engine, provider: Provider, desk: "Desk") -> None:
    await desk.open()
    client = _client(ground, provider)
    send: dict[str, Send] = {
        "floor": lambda index, text: _call(client, index, text),
        "ours": desk.reply,
    }
    took: dict[str, list[dict[str, Any]]] = {"floor": [], "ours": []}
    rates: dict[str, list[float]] = {"floor": [], "ours": []}
    await _burst(provider, desk.reply, _BOTS)
    for _ in range(ground.pairs if ground.long else min(ground.pairs, 3)):
        for name, one in send.items():
            took[name].append(await _paced(provider, one))
            await asyncio.sleep(_CHAT_SECONDS)
            rates[name].append(await _burst(provider, one, _BOTS * _CHATS))
            await asyncio.sleep(_CHAT_SECONDS)
    for name in ("p50", "p99"):
        ours, floor = ([one[f"{name}_ms"] for one in took[who]] for who in ("ours", "floor"))
        ground.add(Figure(f"reply {name}", f"agent's POST to provider's API at {_RATE:g}/s, {name}, {engine}", "ms", ours, floor))
    ground.add(Figure("replies", f"replies sent in a burst, {engine}", "/s", rates["ours"], rates["floor"]))


class Desk:
    """An agent with a conversation in every chat of every bot."""

    def __init__(self, ground: Ground, site: Site) -> None:
        self._session = ground.session
        self._site = site
        self._headers = {"Authorization": f"Bearer {site.token}"}
        self._conversations: list[str] = []

    async def open(self) -> None:
        """Every shopper writes; wait until the inbox shows them, in turn by bot."""
        headers = {SECRET_HEADER: SECRET, "Content-Type": "application/json"}
        for index in range(_BOTS * _CHATS):
            url = f"{self._site.edge.url}/webhooks/bot{index % _BOTS}"
            async with self._session.post(url, data=update(index, _BOTS * _CHATS), headers=headers) as answer:
                if answer.status != 200:
                    raise BenchFailed(f"a webhook was answered {answer.status}")
        async with asyncio.timeout(_DEADLINE):
            while len(found := await self._inbox()) < _BOTS * _CHATS:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        self._conversations = [found[chat] for chat in sorted(found)]

    async def _inbox(self) -> dict[int, str]:
        """chat -> conversation."""
        found: dict[int, str] = {}
        query = ""
        while True:
            url = f"{self._site.edge.url}/api/v1/conversations?limit=200{query}"
            async with self._session.get(url, headers=self._headers) as answer:
                page = await answer.json()
            if "items" not in page:
                raise BenchFailed(f"the inbox was answered {page}")
            found |= {int(item["identity"]["value"]): item["id"] for item in page["items"]}
            if not page.get("next"):
                return found
            query = f"&after={page['next']}"

    async def reply(self, index: int, text: str) -> None:
        """One reply; taken when this returns."""
        url = f"{self._site.edge.url}/api/v1/conversations/{self._conversations[index]}/messages"
        headers = {**self._headers, "Idempotency-Key": uuid.uuid4().hex}
        async with self._session.post(url, json={"text": text}, headers=headers) as answer:
            if answer.status != 201:
                raise BenchFailed(f"a reply was answered {answer.status}: {await answer.text()}")


def _client(ground: Ground, provider: Provider) -> TelegramClient:
    async def read_file(stored: str) -> bytes:
        raise FileNotFoundError(stored)

    settings = settings_of(Settings, {"token": TOKEN, "secret_token": SECRET, "api_base": provider.url})
    return TelegramClient(settings, ClientContext(session=ground.session, channel="shop", read_file=read_file))


async def _call(client: TelegramClient, index: int, text: str) -> None:
    reply = await client.send(Call(method="POST", url="sendMessage", json={"chat_id": 10_000 + index, "text": text}))
    if reply.status != 200:
        raise BenchFailed(f"the provider answered {reply.status}")


async def _paced(provider: Provider, send: Send) -> dict[str, Any]:
    """How long from the start of ``send`` until the provider is called, at a rate that keeps nobody waiting."""
    begun, sent = time.perf_counter(), {}
    async with asyncio.TaskGroup() as group:
        for index in range(_SAMPLES):
            await asyncio.sleep(max(0.0, begun + index / _RATE - time.perf_counter()))
            text = uuid.uuid4().hex
            sent[text] = time.perf_counter()
            group.create_task(send(index, text))
    await provider.complete(list(sent))
    return percentiles([provider.called[text] - moment for text, moment in sent.items()])


async def _burst(provider: Provider, send: Send, number: int) -> float:
    """Replies a second, when all are given at once."""
    texts = [uuid.uuid4().hex for _ in range(number)]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int, text: str) -> None:
        async with gate:
            await send(index, text)

    begun = time.perf_counter()
    await asyncio.gather(*(one(index, text) for index, text in enumerate(texts)))
    await provider.complete(texts)
    return number / (max(provider.called[text] for text in texts) - begun)
