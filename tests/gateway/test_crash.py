"""kill -9 at the places where a crash hurts most: what was answered is kept, and what was accepted still goes out."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.admin import Order, send_order
from gateway.crashpoint import VARIABLE
from tests.support.post import eventually
from tests.support.telegram import SECRET, TOKEN, Bench, telegram_bench

ROOT = Path(__file__).parents[2]
USER = 4711

pytestmark = pytest.mark.crash


@dataclass
class Shop:
    """A folder, a provider, and gateways that come and go."""

    folder: Path
    bench: Bench

    async def start(self, **environment: str) -> tuple[asyncio.subprocess.Process, str]:
        settings = {
            "SPORTELLO__DATA_DIR": str(self.folder),
            "SPORTELLO__SERVER__PORT": "0",
            "SPORTELLO__LOG__FORMAT": "json",
            "SPORTELLO__CHANNELS__BOT__KIND": "telegram",
            "SPORTELLO__CHANNELS__BOT__TOKEN": TOKEN,
            "SPORTELLO__CHANNELS__BOT__SECRET_TOKEN": SECRET,
            "SPORTELLO__CHANNELS__BOT__API_BASE": self.bench.root,
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SPORTELLO")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", cwd=self.folder, stderr=asyncio.subprocess.PIPE,
            env={**clean, "PYTHONPATH": str(ROOT), **settings, **environment},
        )  # fmt: skip
        assert process.stderr is not None
        seen = ""
        async with asyncio.timeout(60):
            while line := (await process.stderr.readline()).decode():
                seen += line
                if found := re.search(r'"url":"([^"]+)"', line):
                    return process, found[1]
        raise AssertionError(seen)

    async def deliver(self, url: str, number: int) -> int:
        """A webhook as Telegram sends it; its status, 0 if the connection broke."""
        person = {"id": USER, "is_bot": False, "first_name": "Cleo"}
        message = {"message_id": number, "date": 1795000000, "chat": {"id": USER, "type": "private"}, "from": person, "text": f"m{number}"}
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
        try:
            body = json.dumps({"update_id": number, "message": message}).encode()
            async with self.bench.session.post(f"{url}/webhooks/bot", data=_stream(body), headers=headers) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


def _stream(body: bytes) -> aiohttp.BytesPayload:
    return aiohttp.BytesPayload(body, content_type="application/json")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with telegram_bench() as bench:
        yield Shop(tmp_path, bench)


class Api:
    """An admin's way into the gateway."""

    def __init__(self, shop: Shop, url: str, token: str) -> None:
        self.shop, self.url, self.token = shop, url, token

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        if key:
            headers |= {"Idempotency-Key": key}
        data = _stream(json.dumps(body).encode()) if body is not None else None
        async with self.shop.bench.session.request(method, f"{self.url}/api/v1/{path}", data=data, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def texts(self) -> list[str]:
        """The inbound history of the one conversation."""
        found = await self.call("GET", "conversations")
        if not found["items"]:
            return []
        history = await self.call("GET", f"conversations/{found['items'][0]['id']}/messages?limit=200")
        return [message["parts"][0]["text"] for message in history["items"] if message["kind"] == "inbound"]


async def admin(shop: Shop, url: str) -> Api:
    """Made once; afterwards there is another token."""
    known = await send_order(shop.folder, Order("agent.list"))
    if not known:
        arguments = {"name": "Ada", "email": "ada@example.org", "role": "admin", "capacity": 5, "queues": ["General"], "password": ""}
        await send_order(shop.folder, Order("agent.add", arguments))
    token = await send_order(shop.folder, Order("token.add", {"email": "ada@example.org", "label": "test", "days": 1}))
    return Api(shop, url, token["token"])


async def end(process: asyncio.subprocess.Process) -> int:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def test_a_crash_between_the_append_and_the_answer_loses_and_repeats_nothing(shop: Shop) -> None:
    process, url = await shop.start(**{VARIABLE: "intake.appended:3"})
    answers = [await shop.deliver(url, number) for number in (1, 2, 3)]
    assert answers == [200, 200, 0]
    assert await end(process) == -signal.SIGKILL

    process, url = await shop.start()
    try:
        # The provider delivers again what it has no answer for, and what it lost count of.
        assert [await shop.deliver(url, number) for number in (3, 2)] == [200, 200]
        api = await admin(shop, url)
        assert await eventually(api.texts, lambda texts: len(texts) >= 3) == ["m1", "m2", "m3"]
    finally:
        assert await end(process) == 0


@pytest.mark.parametrize(
    ("point", "sent_before", "doubtful"),
    [("outbox.claimed", 0, True), ("outbox.called", 1, True), ("outbox.recorded", 1, False)],
)
async def test_an_accepted_reply_goes_out_whatever_happens_to_the_sender(
    shop: Shop, point: str, sent_before: int, *, doubtful: bool
) -> None:
    user = await shop.bench.phone.user("Cleo")
    process, url = await shop.start(**{VARIABLE: f"{point}:1"})
    api = await admin(shop, url)
    await shop.bench.phone.say(user, text="hello")
    update = {"update_id": 1, "message": (await _last_message(shop, user))}
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    async with shop.bench.session.post(f"{url}/webhooks/bot", data=_stream(json.dumps(update).encode()), headers=headers) as answer:
        assert answer.status == 200
    await eventually(api.texts)
    conversation = (await api.call("GET", "conversations"))["items"][0]["id"]
    accepted = await api.call("POST", f"conversations/{conversation}/messages", {"text": "our answer"}, key="one")
    assert await end_by_itself(process) == -signal.SIGKILL
    assert len(await shop.bench.phone.ledger()) == sent_before

    process, url = await shop.start()
    try:
        api = Api(shop, url, api.token)

        async def message() -> dict[str, Any]:
            history = await api.call("GET", f"conversations/{conversation}/messages")
            return next(one for one in history["items"] if one["id"] == accepted["message"]["id"])

        done = await eventually(message, lambda one: one["status"] == "sent", seconds=60)
        assert bool(done.get("possible_duplicate")) is doubtful
        # At most one extra delivery, and only after an attempt whose outcome nobody knew.
        assert len(await shop.bench.phone.ledger()) == (2 if point == "outbox.called" else 1)
    finally:
        assert await end(process) == 0


async def _last_message(shop: Shop, user: int) -> dict[str, Any]:
    (kept,) = await shop.bench.phone.messages(user)
    person = {"id": user, "is_bot": False, "first_name": "Cleo"}
    return {
        "message_id": kept["message_id"],
        "date": kept["date"],
        "chat": {"id": user, "type": "private"},
        "from": person,
        "text": "hello",
    }


async def end_by_itself(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode
