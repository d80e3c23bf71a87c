"""Telegram, both directions, through the simulator and the whole gateway."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config import ChannelConfig
from connectors.abilities import Provisioner
from connectors.telegram.simulator import create_simulator_app
from storage.protocol import WHOLE
from tests.support import pictures
from tests.support.cast import Cast, Shopper, assemble
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.serving import serving
from tests.support.telegram import SECRET, TOKEN, Phone

PAYLOADS = Path(__file__).parents[1] / "connectors" / "telegram" / "payloads"
HEADERS = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
PNG = base64.b64encode(pictures.PNG).decode()


@dataclass
class Town:
    """A gateway with its people, and Telegram with a phone."""

    cast: Cast
    phone: Phone

    async def lines(self, conversation: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.cast.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"]
        return found

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """A webhook, as Telegram would post it."""
        return (await self.cast.gateway.request("POST", "/webhooks/shop", data=body, headers=HEADERS if headers is None else headers))[0]

    async def events(self) -> list[dict[str, Any]]:
        """What the channel has brought into the stream."""
        recorded = await self.cast.gateway.services.store.read(WHOLE, 0, 100_000)
        return [json.loads(one.entry.data) for one in recorded if one.entry.channel == "shop"]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    app = create_simulator_app(token=TOKEN, rate_limits=False)
    async with serving(app) as telegram, aiohttp.ClientSession() as session:
        bot = ChannelConfig(
            kind="telegram", title="Telegram", settings={"token": TOKEN, "secret_token": SECRET, "api_base": telegram, "mode": "webhook"}
        )
        config = gateway_config(tmp_path, {"web": CHANNELS["web"], "shop": bot})
        async with running_gateway(config) as gateway:
            client = gateway.services.channels["shop"].client
            assert isinstance(client, Provisioner)
            await client.provision(f"{gateway.url}/webhooks/shop")
            yield Town(await assemble(gateway), Phone(session, telegram))


async def first_conversation(town: Town, text: str = "Ciao, siete aperti?") -> tuple[int, dict[str, Any]]:
    user = await town.phone.user("Cleo", last_name="Bianchi", language_code="it")
    async with town.cast.ada.feed() as feed:
        await town.phone.say(user, text=text)
        frame = await feed.until(lambda frame: frame["type"] == "message.added")
    assert frame["data"]["message"]["parts"] == [{"type": "text", "text": text}]
    conversation: dict[str, Any] = frame["data"]["conversation"]
    return user, conversation


async def test_text_there_and_back(town: Town) -> None:
    user, conversation = await first_conversation(town)
    async with town.cast.ada.feed() as feed:
        answer = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "Sì, fino alle 19."}, key="one")
        assert answer.status == 201
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
    assert [message["text"] for message in await town.phone.messages(user)] == ["Ciao, siete aperti?", "Sì, fino alle 19."]
    again = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "Sì, fino alle 19."}, key="one")
    assert again.json == answer.json
    assert len(await town.phone.ledger()) == 1


async def test_a_long_text_arrives_in_pieces_and_in_order(town: Town) -> None:
    user, conversation = await first_conversation(town)
    text = " ".join(f"word{number}" for number in range(1500))
    async with town.cast.ada.feed() as feed:
        await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": text})
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
    pieces = [message["text"] for message in await town.phone.messages(user)][1:]
    assert len(pieces) == 4
    assert " ".join(pieces) == text


async def test_a_photo_with_caption_is_fetched_and_shown(town: Town) -> None:
    user, _ = await first_conversation(town)
    async with town.cast.ada.feed() as feed:
        await town.phone.say(user, photo=PNG, caption="like this one")
        frame = await feed.until(
            lambda frame: frame["type"] == "message.changed" and any(part.get("stored") for part in frame["data"]["message"]["parts"])
        )
    media, text = frame["data"]["message"]["parts"]
    assert (media["kind"], text["text"]) == ("image", "like this one")
    assert TOKEN not in json.dumps(frame)
    answer = await town.cast.ada.get(f"/media/{media['stored']}")
    assert (answer.status, answer.headers["Content-Type"], answer.raw) == (200, "image/png", base64.b64decode(PNG))
    assert (await town.cast.ben.get(f"/media/{media['stored']}")).status == 404


async def test_an_album_goes_out_as_one_and_each_picture_is_known(town: Town) -> None:
    """G9: the plan says so before; a reaction to the second picture is one to the reply."""
    user, conversation = await first_conversation(town)
    uploads = [
        (await town.cast.ada.call("POST", "/media", base64.b64decode(PNG) + bytes([number]), headers={"Content-Type": "image/png"})).json
        for number in range(2)
    ]
    files = [{"type": "media", "kind": "image", "ref": upload["id"]} for upload in uploads]
    body = {"parts": [*files, {"type": "text", "text": "Red or blue?"}]}
    path = f"/conversations/{conversation['id']}"
    plan = (await town.cast.ada.post(f"{path}/plan", body)).json
    assert [[part["type"] for part in message] for message in plan["messages"]] == [["media", "media", "text"]]
    assert (plan["notes"], plan["segments"]) == ([], 1)
    long = (await town.cast.ada.post(f"{path}/plan", {"parts": [*files, {"type": "text", "text": "x" * 1025}]})).json
    assert [[part["type"] for part in message] for message in long["messages"]] == [["text"], ["media", "media"]]
    assert [note["code"] for note in long["notes"]] == ["caption_apart"]
    async with town.cast.ada.feed() as feed:
        sent = (await town.cast.ada.post(f"{path}/messages", body)).json["message"]
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
        _, one, two = await town.phone.messages(user)
        assert one["media_group_id"] == two["media_group_id"]
        assert (one["caption"], two.get("caption")) == ("Red or blue?", None)
        await town.phone.post(f"users/{user}/react", message_id=two["message_id"], emoji="👍")
        frame = await feed.of("message.changed")
    assert frame["data"]["message"]["id"] == sent["id"]
    assert "👍" in json.dumps(frame["data"]["message"]["reactions"], ensure_ascii=False)


async def test_an_album_counts_as_its_files(town: Town) -> None:
    """G8: after ten pictures the chat's next turn comes in ten seconds, not in one."""
    user, conversation = await first_conversation(town)
    upload = (await town.cast.ada.call("POST", "/media", base64.b64decode(PNG), headers={"Content-Type": "image/png"})).json
    body = {"parts": [{"type": "media", "kind": "image", "ref": upload["id"]}] * 10}
    async with town.cast.ada.feed() as feed:
        assert (await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", body)).status == 201
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
    assert await town.cast.gateway.services.bus.take(f"send:shop:{user}", 1.0, 1.0) > 1
    assert len(await town.phone.ledger()) == 10


async def test_an_edit_changes_the_line(town: Town) -> None:
    user, conversation = await first_conversation(town)
    number = (await town.phone.messages(user))[0]["message_id"]
    async with town.cast.ada.feed() as feed:
        await town.phone.post(f"users/{user}/edit", message_id=number, text="Ciao, siete aperti domani?")
        await feed.of("message.changed")
    (line,) = await town.lines(conversation)
    assert line["parts"] == [{"type": "text", "text": "Ciao, siete aperti domani?"}]
    assert line["edited_at"]


async def test_a_button_comes_back_as_a_choice_and_its_spinner_stops(town: Town) -> None:
    user, conversation = await first_conversation(town)
    question = {"type": "choices", "text": "Which size?", "options": [{"id": "m", "label": "Medium"}, {"id": "l", "label": "Large"}]}
    async with town.cast.ada.feed() as feed:
        await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"parts": [question]})
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
        sent = (await town.phone.messages(user))[-1]
        await town.phone.post(f"users/{user}/press", message_id=sent["message_id"], data="l")
        frame = await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["message"]["kind"] == "inbound")
    assert frame["data"]["message"]["parts"] == [{"type": "chosen", "id": "l", "label": "Large"}]


async def test_a_block_is_an_opt_out(town: Town) -> None:
    user, conversation = await first_conversation(town)
    async with town.cast.ada.feed() as feed:
        await town.phone.post(f"users/{user}/block")
        await feed.of("customer.changed")
    refused = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "hello?"})
    assert (refused.status, refused.code) == (409, "opted_out")
    assert await town.phone.ledger() == []


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json"}, {**HEADERS, "X-Telegram-Bot-Api-Secret-Token": "wrong"}])
async def test_a_wrong_or_missing_secret_gives_403_and_no_event(town: Town, headers: dict[str, str]) -> None:
    assert await town.post((PAYLOADS / "album-first-item-with-caption.json").read_bytes(), headers) == 403
    assert await town.events() == []


async def test_real_shaped_updates_give_the_expected_events(town: Town) -> None:
    """Every payload file of the connector, posted as a webhook."""
    expected: list[dict[str, Any]] = []
    names = sorted(path for path in PAYLOADS.glob("*.json") if not path.name.endswith(".expect.json"))
    assert len(names) >= 20
    for path in names:
        assert await town.post(path.read_bytes()) == 200, path.name
        expected += json.loads(path.with_name(path.stem + ".expect.json").read_bytes())
    assert await town.events() == expected


async def test_the_same_webhook_twenty_times_at_once_is_one_event(town: Town) -> None:
    body = (PAYLOADS / "album-first-item-with-caption.json").read_bytes()
    assert await asyncio.gather(*(town.post(body) for _ in range(20))) == [200] * 20
    assert len(await town.events()) == 1


async def test_a_feed_cut_a_hundred_times_misses_and_repeats_nothing(town: Town) -> None:
    """Real messages, random cuts in the middle of them; what one agent got is exactly what they may see, in order."""
    rng = random.Random(11)
    users = [await town.phone.user(f"Cleo {number}") for number in range(5)]
    cast = town.cast
    head = await cast.gateway.services.store.view(lambda tx: tx.stream.head())
    done = asyncio.Event()

    async def write() -> None:
        for number in range(300):
            await town.phone.say(rng.choice(users), text=f"message {number}")
        done.set()

    writer = asyncio.create_task(write())
    found: list[tuple[int, str]] = []
    after, cuts = head, 0
    while cuts < 100:
        async with cast.ada.feed(after) as feed:
            for _ in range(rng.randrange(1, 8)):
                try:
                    async with asyncio.timeout(0.25 if done.is_set() else 5):
                        frame = await feed.next()
                except TimeoutError:
                    break
                after = frame["pos"]
                found.append((after, frame["type"]))
        cuts += 1
    await writer
    async with cast.ada.feed(after) as feed:
        await cast.ada.call("PATCH", "/me", {"presence": "away"})
        while not found or found[-1][1] != "agent.changed":
            frame = await feed.next()
            found.append((frame["pos"], frame["type"]))
    scope = {"*", cast.general.id}
    recorded = await cast.gateway.services.store.read(WHOLE, head, 100_000)
    expected = [(one.pos, one.entry.type) for one in recorded if scope & set(one.entry.queues) or one.entry.agent == cast.ada.id]
    assert found == expected[: len(found)]
    assert len([type_ for _, type_ in found if type_ == "message.added"]) >= 300


async def test_one_person_with_two_addresses_has_one_history(town: Town) -> None:
    """Web chat and Telegram, joined by a supervisor, read by API in the order of the stream; and apart again."""
    user, telegram = await first_conversation(town, "by telegram, first")
    cleo = Shopper(town.cast.gateway)
    async with town.cast.ada.feed() as feed, cleo.open() as chat:
        await chat.send({"type": "message", "id": "5e8bd1d8-7d63-4d73-8a11-7ab2e1f8a001", "text": "by web chat, second"})
        web = (await feed.of("message.added"))["data"]["conversation"]
        await town.phone.say(user, text="by telegram, third")
        await feed.of("message.added")
    sue = town.cast.sue
    merged = await sue.post(f"/customers/{telegram['customer_id']}/merge", {"from_id": web["customer_id"]})
    assert merged.status == 200, merged.raw
    history = (await town.cast.ada.get(f"/customers/{telegram['customer_id']}/history")).json["items"]
    said = [(item["channel"], item["parts"][0]["text"]) for item in history if item["kind"] == "inbound"]
    assert said == [("shop", "by telegram, first"), ("web", "by web chat, second"), ("shop", "by telegram, third")]
    assert [item["pos"] for item in history] == sorted(item["pos"] for item in history)
    identities = (await town.cast.ada.get(f"/customers/{telegram['customer_id']}")).json["identities"]
    assert {one["identity"]["scheme"] for one in identities} == {"telegram", "visitor"}
    assert (await sue.post(f"/customers/{telegram['customer_id']}/unmerge", {"from_id": web["customer_id"]})).status == 200
    apart = (await town.cast.ada.get(f"/customers/{telegram['customer_id']}/history")).json["items"]
    assert [item["channel"] for item in apart if item["kind"] == "inbound"] == ["shop", "shop"]


async def test_a_shared_contact_joins_the_phone_to_the_person(town: Town) -> None:
    user, conversation = await first_conversation(town)
    async with town.cast.ada.feed() as feed:
        await town.phone.say(user, contact_own="+393331234567")
        await feed.of("message.added")
    identities = (await town.cast.ada.get(f"/customers/{conversation['customer_id']}")).json["identities"]
    assert {(one["identity"]["scheme"], one["identity"]["value"], one["evidence"]) for one in identities} == {
        ("telegram", str(user), "provider"),
        ("tel", "+393331234567", "provider"),
    }
