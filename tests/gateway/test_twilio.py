"""SMS and WhatsApp over Twilio, both directions, through the simulator and the whole gateway."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest

from config import ChannelConfig
from connectors.abilities import Provisioner
from connectors.twilio.simulator import PLACE, Place, create_simulator_app
from connectors.twilio.simulator.posting import sign
from gateway.work import calling, doubt
from gateway.work.missed import MissedWorker
from storage.protocol import WHOLE, Transaction
from storage.record import Message
from tests.support.cast import Cast, assemble
from tests.support.gateway import gateway_config, running_gateway
from tests.support.pictures import PNG
from tests.support.serving import serving
from tests.support.twilio import ACCOUNT, NUMBER, TOKEN, Phone
from tests.support.waiting import until

ADA = "+393351234567"
WA = f"whatsapp:{ADA}"
CONNECTORS = Path(__file__).parents[1] / "connectors"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Town:
    """A gateway with its people, and Twilio with phones."""

    cast: Cast
    phone: Phone
    place: Place

    async def lines(self, conversation: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.cast.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"]
        return found

    async def post(self, form: dict[str, str] | bytes, channel: str = "sms", query: str = "") -> tuple[int, str, bytes]:
        """A webhook, as Twilio would post it."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        path = f"/webhooks/{channel}{query}"
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        headers = {"Content-Type": FORM, "X-Twilio-Signature": sign(TOKEN, self.cast.gateway.url + path, fields)}
        status, answered, content = await self.cast.gateway.request("POST", path, data=body, headers=headers)
        return status, answered.get("Content-Type", ""), content

    async def events(self, channel: str) -> list[dict[str, Any]]:
        """What the channel has brought into the stream."""
        recorded = await self.cast.gateway.services.store.read(WHOLE, 0, 100_000)
        return [json.loads(one.entry.data) for one in recorded if one.entry.channel == channel]

    async def talk(self, person: str, text: str = "Ciao, siete aperti?") -> dict[str, Any]:
        """Somebody begins a conversation."""
        await self.phone.person(person)
        async with self.cast.ada.feed() as feed:
            await self.phone.say(person, text)
            frame = await feed.until(lambda frame: frame["type"] == "message.added")
        conversation: dict[str, Any] = frame["data"]["conversation"]
        return conversation

    async def answer(self, conversation: dict[str, Any], until_status: str, **body: Any) -> dict[str, Any]:
        """An agent answers; the message once it stands there."""
        async with self.cast.ada.feed() as feed:
            answer = await self.cast.ada.post(f"/conversations/{conversation['id']}/messages", body)
            assert answer.status == 201, answer.raw
            frame = await feed.until(
                lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == until_status
            )
        message: dict[str, Any] = frame["data"]["message"]
        return message


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    app = create_simulator_app(account_sid=ACCOUNT, auth_token=TOKEN, number=NUMBER)
    async with serving(app) as twilio, aiohttp.ClientSession() as session:
        app[PLACE].base = twilio
        common = {"account_sid": ACCOUNT, "auth_token": TOKEN, "number": NUMBER, "api_base": twilio}
        channels = {
            "sms": ChannelConfig(kind="sms", title="SMS", settings={**common, "mms": True}),
            "wa": ChannelConfig(kind="whatsapp_twilio", title="WhatsApp", settings=common),
        }
        async with running_gateway(gateway_config(tmp_path, channels)) as gateway:
            for id_ in channels:
                client = gateway.services.channels[id_].client
                assert isinstance(client, Provisioner)
                await client.provision(f"{gateway.url}/webhooks/{id_}")
            yield Town(await assemble(gateway), Phone(session, twilio), app[PLACE])


async def test_sms_there_and_back_with_ticks(town: Town) -> None:
    conversation = await town.talk(ADA)
    await town.answer(conversation, "delivered", text="Sì, fino alle 19.")
    assert [line["text"] for line in await town.phone.lines(ADA)] == ["Ciao, siete aperti?", "Sì, fino alle 19."]
    assert len(await town.phone.ledger()) == 1
    assert town.place.debugger == [], "T5: no answer of ours was taken for an instruction"


async def test_whatsapp_there_and_back_and_read(town: Town) -> None:
    conversation = await town.talk(WA)
    await town.answer(conversation, "delivered", text="Sì, fino alle 19.")
    async with town.cast.ada.feed() as feed:
        await town.phone.act(WA, "read")
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "read")


@pytest.mark.parametrize("person", [ADA, WA])
async def test_a_photo_in_and_a_photo_out(town: Town, person: str) -> None:
    conversation = await town.talk(person)
    async with town.cast.ada.feed() as feed:
        await town.phone.say(person, "like this", (PNG, "image/png"))
        frame = await feed.until(
            lambda frame: frame["type"] == "message.changed" and any(part.get("stored") for part in frame["data"]["message"]["parts"])
        )
    media, text = frame["data"]["message"]["parts"]
    assert (media["kind"], text["text"]) == ("image", "like this")
    assert TOKEN not in json.dumps(frame)
    stored = media["stored"]
    assert (await town.cast.ada.get(f"/media/{stored}")).raw == PNG
    part = {"type": "media", "kind": "image", "ref": stored, "mime": "image/png", "name": "a.png", "size": len(PNG)}
    await town.answer(conversation, "delivered", parts=[part, {"type": "text", "text": "ours"}])
    line = (await town.phone.lines(person))[-1]
    assert (line["text"], line["files"][0]["size"]) == ("ours", len(PNG))


async def test_a_failure_that_comes_later_is_shown(town: Town) -> None:
    conversation = await town.talk(ADA)
    await town.phone.fault("later", code=30007)
    message = await town.answer(conversation, "failed", text="Buy now!")
    assert "30007" in message["problem"]


async def test_a_refusal_to_wait_is_tried_again_once(town: Town) -> None:
    conversation = await town.talk(ADA)
    await town.phone.fault("throttled", seconds=0.2)
    await town.answer(conversation, "delivered", text="Sì")
    assert len(await town.phone.ledger()) == 1


async def test_t15_twilio_takes_it_and_the_connection_dies_no_second_sms(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SID is adopted from the list of messages: no callback tells, and nothing is sent again."""
    for module in (calling, doubt):
        monkeypatch.setattr(module, "GRACE", timedelta(seconds=0.3))
    conversation = await town.talk(ADA)
    await town.phone.fault("lost", on="webhook", count=10)
    await town.phone.fault("reset_after")
    message = await town.answer(conversation, "sent", text="Sì, fino alle 19.")
    assert not message.get("possible_duplicate")
    assert len(await town.phone.ledger()) == 1
    (sid,) = [sid for sid, one in town.place.messages.items() if one.direction == "outbound-api"]
    await town.phone.act(ADA, "network", online=False)
    assert (await town.post({"MessageSid": sid, "MessageStatus": "delivered", "AccountSid": ACCOUNT, "From": NUMBER, "To": ADA}))[0] == 200
    async with asyncio.timeout(60):
        while (await town.lines(conversation))[-1]["status"] != "delivered":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_t12_a_callback_settles_a_lost_answer(town: Town) -> None:
    conversation = await town.talk(ADA)
    await town.phone.fault("reset_after")
    await town.answer(conversation, "delivered", text="Sì")
    await asyncio.sleep(0)
    assert len(await town.phone.ledger()) == 1


async def test_t7_stop_and_start(town: Town) -> None:
    """T7: visible to the agent, recorded, and answered by nobody of ours."""
    conversation = await town.talk(ADA)
    async with town.cast.ada.feed() as feed:
        await town.phone.say(ADA, "STOP")
        await feed.of("customer.changed")
    refused = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "hello?"})
    assert (refused.status, refused.code) == (409, "opted_out")
    assert await town.phone.ledger() == []
    assert "STOP" in [part.get("text") for line in await town.lines(conversation) for part in line["parts"]]
    async with town.cast.ada.feed() as feed:
        await town.phone.say(ADA, "START")
        await feed.of("customer.changed")
    await town.answer(conversation, "delivered", text="Welcome back")


async def test_t3_what_no_webhook_brought_is_found_by_asking(town: Town) -> None:
    """T3: nobody posts a second time; the reconcile job asks."""
    services = town.cast.gateway.services
    worker = MissedWorker(services, services.channels["sms"])
    await worker.look()
    await town.phone.person(ADA)
    await town.phone.fault("lost", on="webhook", count=2)
    async with town.cast.ada.feed() as feed:
        await town.phone.say(ADA, "nobody hears me")
        await town.phone.say(ADA, "", (PNG, "image/png"))
        assert await worker.look()
        await feed.until(lambda frame: frame["type"] == "message.added")
    await worker.look()
    received = [event for event in await town.events("sms") if event["type"] == "message.received"]
    assert len(received) == 2


async def test_t3_a_webhook_that_we_cannot_take_comes_again_to_the_fallback(town: Town) -> None:
    """T3: the same address is the fallback, so Twilio tries twice."""
    hook = town.place.hooks[NUMBER]
    assert hook.fallback == hook.url
    hook.url = f"{town.cast.gateway.url}/webhooks/nobody"
    await town.talk(ADA)
    assert town.place.debugger == [11200]


async def test_one_person_by_sms_and_whatsapp_has_one_history(town: Town) -> None:
    by_sms = await town.talk(ADA, "by sms")
    by_whatsapp = await town.talk(WA, "by whatsapp")
    assert by_sms["customer_id"] == by_whatsapp["customer_id"]
    assert by_sms["id"] != by_whatsapp["id"]


async def test_tw1_somebody_without_a_phone(town: Town) -> None:
    conversation = await town.talk("whatsapp:IT.1349abc", "I have a name and no number")
    await town.answer(conversation, "delivered", text="Welcome")
    assert town.place.messages[(await town.phone.ledger())[0]["id"]].to == "whatsapp:IT.1349abc"


@pytest.mark.parametrize(("channel", "folder"), [("sms", "sms"), ("wa", "whatsapp_twilio")])
async def test_real_shaped_webhooks_give_the_expected_events(town: Town, channel: str, folder: str) -> None:
    """Every payload of the connector, signed and posted; T5: each is answered with empty TwiML."""
    expected: list[dict[str, Any]] = []
    for path in sorted((CONNECTORS / folder / "payloads").glob("*.form")):
        events = json.loads(path.with_suffix(".expect.json").read_bytes())
        foreign = any(event.get("account") for event in events)
        if foreign or "rcs" in path.stem or b"55555" in path.read_bytes():
            continue
        status, kind, content = await town.post(path.read_bytes(), channel)
        assert (status, kind.partition(";")[0]) == (200, "text/xml"), path.name
        assert content.endswith(b"<Response/>")
        expected += events
    assert len(expected) > 25
    assert await town.events(channel) == expected


async def test_a_wrong_signature_is_refused_and_nothing_is_kept(town: Town) -> None:
    body = (CONNECTORS / "sms" / "payloads" / "text.form").read_bytes()
    for headers in ({"Content-Type": FORM}, {"Content-Type": FORM, "X-Twilio-Signature": "AAAA"}):
        assert (await town.cast.gateway.request("POST", "/webhooks/sms", data=body, headers=headers))[0] == 403
    assert await town.events("sms") == []


async def test_t4_the_same_webhook_twenty_times_at_once_is_one_event(town: Town) -> None:
    body = (CONNECTORS / "sms" / "payloads" / "text.form").read_bytes()
    answers = await asyncio.gather(*(town.post(body) for _ in range(20)))
    assert [status for status, *_ in answers] == [200] * 20
    assert len(await town.events("sms")) == 1


async def test_a_thousand_statuses_in_every_order_end_the_same(town: Town) -> None:
    """T13: all permutations, duplicates, and callbacks before the answer was stored."""
    conversation = await town.talk(WA)
    await town.phone.fault("lost", on="webhook", count=100_000)
    good = list(itertools.permutations(["queued", "sending", "sent", "delivered", "read"]))
    bad = list(itertools.permutations(["queued", "sending", "sent", "undelivered"]))
    twice = random.Random(5).sample(list(itertools.permutations(["sent", "sent", "delivered", "read", "read", "queued"])), 60)
    orders = [*((order, "read") for order in (*good, *twice)), *((order, "failed") for order in bad)]
    assert sum(len(order) for order, _ in orders) >= 1000
    ids: list[str] = []
    for number in range(len(orders)):
        answer = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": f"text {number}"})
        ids.append(answer.json["message"]["id"])
    await until(lambda: sum(one.direction == "outbound-api" for one in town.place.messages.values()) == len(orders), 60)
    sids = {one.body: sid for sid, one in town.place.messages.items() if one.direction == "outbound-api"}

    async def callbacks(number: int) -> None:
        for index, word in enumerate(orders[number][0]):
            form = {
                "MessageSid": sids[f"text {number}"],
                "MessageStatus": word,
                "AccountSid": ACCOUNT,
                "From": f"whatsapp:{NUMBER}",
                "To": WA,
            }
            query = f"?m={ids[number]}&p=0" if (number + index) % 2 else ""
            assert (await town.post(form, "wa", query))[0] == 200

    for first in range(0, len(orders), 12):
        await asyncio.gather(*(callbacks(number) for number in range(first, min(first + 12, len(orders)))))
    store = town.cast.gateway.services.store

    async def standing() -> list[str]:
        found = await store.view(lambda tx: _all(tx, ids))
        return [message.status.value for message in found if message.status is not None]

    async with asyncio.timeout(30):
        while await standing() != [end for _, end in orders]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _all(tx: Transaction, ids: list[str]) -> list[Message]:
    return [message for id_ in ids if (message := await tx.messages.get(id_)) is not None]
