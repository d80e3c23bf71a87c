"""From the chat window, or from a link that an agent gives, to Telegram: one customer, without repeating themselves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from config import ChannelConfig
from connectors.abilities import Provisioner
from connectors.telegram.simulator import create_simulator_app
from routing.link import LIFE
from tests.support.cast import Cast, Shopper, assemble, say
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.serving import serving
from tests.support.telegram import SECRET, TOKEN, Phone
from tests.support.visitor import call

OTHER = "800000002:canary-TOKEN-of-another-bot"


@dataclass
class Town:
    cast: Cast
    phone: Phone
    base: str

    async def asks(self, shopper: Shopper, text: str = "Is it in stock?") -> dict[str, Any]:
        """A visitor writes in the chat window; gives the conversation."""
        async with self.cast.ada.feed() as feed, shopper.open() as window:
            (hello,) = [frame for frame in window.seen if frame["type"] == "hello"]
            assert [(way["channel"], way["kind"], way["title"]) for way in hello["links"]] == [("shop", "telegram", "Telegram")]
            await say(window, text)
            frame = await feed.of("message.added")
        return dict(frame["data"]["conversation"])

    async def follows(self, url: str) -> int:
        """Somebody opens the link on their phone and presses Start; their id."""
        user = await self.phone.user("Cleo", last_name="Bianchi")
        async with self.cast.sue.feed() as feed:
            await self.phone.say(user, text=f"/start {word_of(url)}")
            await self.phone.say(user, text="Here I am")
            await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["message"]["channel"] == "shop")
        return user

    async def customer_of(self, user: int) -> str:
        items = (await self.cast.sue.get("/conversations")).json["items"]
        return str(next(item["customer_id"] for item in items if item["identity"]["value"] == str(user)))


def word_of(url: str) -> str:
    """The token in a link."""
    (word,) = parse_qs(urlsplit(url).query)["start"]
    assert len(word) <= 64
    return word


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    app = create_simulator_app(token=TOKEN, rate_limits=False)
    async with serving(app) as telegram, aiohttp.ClientSession() as session:
        settings = {"token": TOKEN, "secret_token": SECRET, "api_base": telegram, "link_base": f"{telegram}/t.me"}
        channels = {
            "web": CHANNELS["web"],
            "shop": ChannelConfig(kind="telegram", title="Telegram", settings=settings),
            "off": ChannelConfig(kind="telegram", title="Off", enabled=False, settings={**settings, "token": OTHER}),
        }
        async with running_gateway(gateway_config(tmp_path, channels)) as gateway:
            client = gateway.services.channels["shop"].client
            assert isinstance(client, Provisioner)
            await client.provision(f"{gateway.url}/webhooks/shop")
            yield Town(await assemble(gateway), Phone(session, telegram), telegram)


async def test_from_the_chat_window_to_telegram_and_apart_again(town: Town) -> None:
    chat = await town.asks(town.cast.cleo)
    asked = await call(town.cast.cleo, "POST", "links", {"channel": "shop"})
    assert asked.status == 201, asked.raw
    answer = asked.json
    assert answer["url"].startswith(f"{town.base}/t.me/demo_shop_bot?start=")
    left = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < LIFE - left < timedelta(minutes=1)

    user = await town.follows(answer["url"])
    sue = town.cast.sue
    customer = (await sue.get(f"/customers/{chat['customer_id']}")).json
    assert {(one["identity"]["scheme"], one["evidence"]) for one in customer["identities"]} == {
        ("visitor", "signed"),
        ("telegram", "signed"),
    }
    history = (await sue.get(f"/customers/{chat['customer_id']}/history")).json["items"]
    assert [(item["channel"], item["parts"][0]["text"]) for item in history if item["kind"] == "inbound"] == [
        ("web", "Is it in stock?"),
        ("shop", "Here I am"),
    ]
    assert [part["subject"] for item in history for part in item["parts"] if part.get("code") == "linked"] == ["shop"]
    # What is said by Telegram is no business of whoever has the chat window.
    async with town.cast.cleo.open() as window:
        assert "Here I am" not in repr(window.seen)

    recorded = await sue.get("/conversations")
    assert {item["customer_id"] for item in recorded.json["items"]} == {chat["customer_id"]}
    stranger = await town.follows(answer["url"])
    assert await town.customer_of(stranger) != chat["customer_id"], "a link is good once"
    assert await town.customer_of(user) == chat["customer_id"]


async def test_an_agent_gives_a_link_for_a_customer(town: Town) -> None:
    chat = await town.asks(town.cast.cleo)
    path = f"/customers/{chat['customer_id']}/links"
    made = await town.cast.ada.post(path, {"channel": "shop"})
    assert made.status == 201, made.raw
    assert (await town.cast.ben.post(path, {"channel": "shop"})).status == 404, "not a customer of his"
    user = await town.follows(made.json["url"])
    assert await town.customer_of(user) == chat["customer_id"]


@pytest.mark.parametrize("channel", ["off", "web", "nowhere"])
async def test_no_link_leads_elsewhere(town: Town, channel: str) -> None:
    chat = await town.asks(town.cast.cleo)
    refused = await town.cast.ada.post(f"/customers/{chat['customer_id']}/links", {"channel": channel})
    assert (refused.status, refused.code, refused.json["field"]) == (422, "no_link", "$.channel")
    assert "shop" in refused.json["detail"]
    assert (await call(town.cast.cleo, "POST", "links", {"channel": channel})).status == 422


async def test_visitors_without_a_token_or_a_word_get_none(town: Town) -> None:
    cleo, wanted = town.cast.cleo, {"channel": "shop"}
    nothing_said = await call(cleo, "POST", "links", wanted)
    assert (nothing_said.status, nothing_said.code) == (409, "nothing_said")
    assert (await call(cleo, "POST", "links", wanted, token="nonsense")).status == 401
    assert (await call(cleo, "POST", "links", wanted, Origin="https://evil.example")).status == 403
    assert (await call(cleo, "POST", "links", {})).status == 400


async def test_when_telegram_is_away_there_is_no_link_now(town: Town) -> None:
    chat = await town.asks(town.cast.cleo)
    await town.phone.post("faults", kind="500", method="getMe")
    refused = await town.cast.ada.post(f"/customers/{chat['customer_id']}/links", {"channel": "shop"})
    assert (refused.status, refused.code) == (503, "unavailable")
    assert TOKEN not in repr(refused.json)
    assert (await town.cast.ada.post(f"/customers/{chat['customer_id']}/links", {"channel": "shop"})).status == 201


async def test_the_simulators_door_says_what_a_phone_would_send(town: Town) -> None:
    async with town.phone.session.get(f"{town.base}/t.me/demo_shop_bot?start=abc-1") as answer:
        assert answer.status == 200
        assert "/start abc-1" in await answer.text()
    async with town.phone.session.get(f"{town.base}/t.me/demo_shop_bot?start=%3Cscript%3E") as answer:
        assert answer.status == 400
