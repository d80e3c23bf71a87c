"""A gateway process, Telegram beside it, shoppers and an agent; and what the outside world was promised."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from connectors.content import plain_text
from connectors.event import Status
from connectors.telegram.simulator import create_simulator_app
from routing.delivery import WORKING
from storage import open_store
from storage.access import Scope
from storage.protocol import WHOLE, Transaction
from storage.record import Message, MessageKind, OutboxItem
from tests.support.process import SECRET, TOKEN, GatewayProcess, free_port, seed_agent, write_config
from tests.support.serving import serving
from tests.support.telegram import Phone

HEADER = {"X-Telegram-Bot-Api-Secret-Token": SECRET}


@dataclass
class Promised:
    """What the outside world was promised."""

    acknowledged: set[str] = field(default_factory=set)
    posted: set[str] = field(default_factory=set)
    accepted: dict[str, str] = field(default_factory=dict)


@dataclass
class Shop:
    """A gateway process, Telegram beside it, and an agent's token."""

    gateway: GatewayProcess
    phone: Phone
    token: str
    session: aiohttp.ClientSession

    @property
    def database(self) -> Path:
        return self.gateway.config.parent / "data" / "sportello.db"


@contextlib.asynccontextmanager
async def open_shop(folder: Path, extra: str = "") -> AsyncIterator[Shop]:
    """Everything but the gateway's process, which a test starts, below ``folder``; ``extra`` goes into the channel's settings."""
    app = create_simulator_app(token=TOKEN, rate_limits=False)
    async with serving(app) as telegram, aiohttp.ClientSession() as session:
        port = free_port()
        gateway = GatewayProcess(write_config(folder, port, telegram, extra), port)
        token = await seed_agent(gateway.load())
        try:
            yield Shop(gateway, Phone(session, telegram), token, session)
        finally:
            if gateway.process is not None:
                await gateway.kill()


def update(number: int, user: int, text: str) -> dict[str, Any]:
    person = {"id": user, "is_bot": False, "first_name": f"Cleo {user}"}
    return {
        "update_id": number,
        "message": {"message_id": number, "from": person, "chat": {"id": user, "type": "private"}, "date": 1_790_000_000, "text": text},
    }


async def deliver(shop: Shop, body: dict[str, Any]) -> None:
    """As Telegram does: again until 2xx."""
    while True:
        try:
            async with shop.session.post(f"{shop.gateway.url}/webhooks/shop", json=body, headers=HEADER) as answer:
                if answer.status == 200:
                    return
                assert answer.status == 503, await answer.text()
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.02)


async def shopper(shop: Shop, promised: Promised, user: int, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        text = f"question {user}-{number}"
        promised.posted.add(text)
        await deliver(shop, update(user * 100_000 + number, user, text))
        promised.acknowledged.add(text)
        await asyncio.sleep(random.uniform(0, 0.02))


async def call(shop: Shop, method: str, path: str, **request: Any) -> Any:
    """One API call, again with the same key until it is answered."""
    headers = {"Authorization": f"Bearer {shop.token}", **request.pop("headers", {})}
    while True:
        try:
            async with shop.session.request(method, f"{shop.gateway.url}/api/v1{path}", headers=headers, **request) as answer:
                if answer.status < 300:
                    return await answer.json()
                problem = await answer.text()
                assert answer.status in {409, 503}, f"{answer.status} {problem}"
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.02)


async def agent(shop: Shop, promised: Promised, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        page = await call(shop, "GET", "/conversations?state=open&limit=50")
        for conversation in page["items"]:
            number += 1
            text = f"answer {number}"
            path = f"/conversations/{conversation['id']}/messages"
            answer = await call(shop, "POST", path, json={"text": text}, headers={"Idempotency-Key": f"key-{number}"})
            promised.accepted[text] = answer["message"]["id"]
            # Telegram takes one a second per chat; what is accepted faster only waits.
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.01)


async def everything(database: Path) -> tuple[list[Message], list[OutboxItem], int]:
    """All lines of all histories, what waits to be sent, and how many events there are."""
    store = await open_store(f"sqlite://{database}")
    try:

        async def work(tx: Transaction) -> tuple[list[Message], list[OutboxItem], int]:
            scope = Scope(everything=True)
            conversations = await tx.conversations.page(scope, states=[], queue_id="", assignee_id="", before=0, limit=1000)
            lines = [line for one in conversations for line in await tx.messages.of_conversation(one.id, 0, 0, 100_000)]
            items = [item for line in lines if (item := await tx.outbox.get(line.id)) is not None]
            return lines, items, await tx.stream.head()

        lines, items, head = await store.view(work)
        recorded = await store.read(WHOLE, 0, head + 1)
        assert [one.pos for one in recorded] == list(range(1, head + 1))
        return lines, items, head
    finally:
        await store.close()


async def at_rest(shop: Shop) -> None:
    """Until nothing is on its way to Telegram any more."""
    quiet, before = 0, -1
    async with asyncio.timeout(200):
        while quiet < 8:
            await asyncio.sleep(0.5)
            now = len(await shop.phone.ledger())
            quiet, before = (quiet + 1 if now == before else 0), now


def check(promised: Promised, lines: list[Message], sent: Counter[str]) -> None:
    """The promises, one by one."""
    inbound = Counter(plain_text(line.parts) for line in lines if line.kind is MessageKind.INBOUND)
    assert promised.acknowledged <= set(inbound), "an acknowledged message is not in the history"
    assert set(inbound) <= promised.posted
    assert max(inbound.values()) == 1, "a message is in the history twice"
    outbound = {plain_text(line.parts): line for line in lines if line.kind is MessageKind.OUTBOUND}
    assert len(outbound) == sum(line.kind is MessageKind.OUTBOUND for line in lines), "a reply is in the history twice"
    for text, id_ in promised.accepted.items():
        line = outbound[text]
        assert line.id == id_
        pending = line.status in WORKING
        assert sent[text] >= 1 or pending, f"{text} was accepted and vanished: {line}"
        if sent[text] > 1:
            assert line.possible_duplicate, f"{text} was sent {sent[text]} times and does not say so"
    assert not [line for line in outbound.values() if line.status in {Status.FAILED, Status.EXPIRED}]
    assert set(sent) <= set(outbound)
