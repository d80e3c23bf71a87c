"""WhatsApp, both directions, through the simulator and the whole gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from connectors.meta.simulator import escaped
from connectors.whatsapp.simulator.app import HOOK
from gateway.reprocess import reprocess
from storage.protocol import WHOLE
from tests.support.graph import APP_SECRET, NUMBER, TOKEN, VERIFY_TOKEN, WABA
from tests.support.pictures import PNG
from tests.support.waiting import until
from tests.support.whatsapp_town import OTHER, Json, Town, begun, from_shop, whatsapp_town

PAYLOADS = Path(__file__).parents[1] / "connectors" / "whatsapp" / "payloads"


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with whatsapp_town(tmp_path) as ready:
        yield ready


# --- both directions ------------------------------------------------------------------------------------------------------------


async def test_text_there_and_back_with_ticks(town: Town) -> None:
    person, conversation = await begun(town)
    await town.bench.phones.post(f"people/{person}/network", online=False)
    await town.reply(conversation, text="Sì, fino alle 19. 👋")
    await town.until_line(conversation, lambda line: line["status"] == "sent")
    await town.bench.phones.post(f"people/{person}/network", online=True)
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    await town.bench.phones.post(f"people/{person}/read")
    await town.until_line(conversation, lambda line: line["status"] == "read")
    assert [line["text"] for line in await from_shop(town, person)] == ["Sì, fino alle 19. 👋"]
    assert len(await town.bench.phones.ledger()) == 1


async def test_who_hides_the_phone_has_a_whole_conversation(town: Town) -> None:
    """W5."""
    person, conversation = await begun(town, id_="US.13491208655302741918")
    await town.reply(conversation, text="Hello")
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    assert [line["text"] for line in await from_shop(town, person)] == ["Hello"]
    identities = (await town.cast.ada.get(f"/customers/{conversation['customer_id']}")).json["identities"]
    assert [(one["identity"]["scheme"], one["identity"]["value"]) for one in identities] == [("whatsapp", person)]


async def test_a_phone_joins_the_person_to_their_other_channels(town: Town) -> None:
    """W5: the number is WhatsApp's word, not the person's."""
    person, conversation = await begun(town)
    identities = (await town.cast.ada.get(f"/customers/{conversation['customer_id']}")).json["identities"]
    assert {(one["identity"]["scheme"], one["identity"]["value"], one["evidence"]) for one in identities} == {
        ("whatsapp", town.bench.world.user_id(person), "provider"),
        ("whatsapp", person, "provider"),
        ("tel", f"+{person}", "provider"),
    }


async def test_a_picture_in_and_a_picture_out(town: Town) -> None:
    """W7."""
    person, conversation = await begun(town)
    async with town.cast.ada.feed() as feed:
        await town.bench.phones.send_file(person, PNG, "image/png", text="like this one")
        frame = await feed.until(
            lambda frame: frame["type"] == "message.changed" and any(part.get("stored") for part in frame["data"]["message"]["parts"])
        )
    media, text = frame["data"]["message"]["parts"]
    assert (media["kind"], text["text"]) == ("image", "like this one")
    answer = await town.cast.ada.get(f"/media/{media['stored']}")
    assert (answer.status, answer.headers["Content-Type"], answer.raw) == (200, "image/png", PNG)
    upload = (await town.cast.ada.call("POST", "/media", PNG, headers={"Content-Type": "image/png", "X-File-Name": "ours.png"})).json
    await town.reply(conversation, parts=[{"type": "media", "kind": "image", "ref": upload["id"]}, {"type": "text", "text": "or this?"}])
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    (line,) = await from_shop(town, person)
    assert (line["text"], line["files"][0]["size"]) == ("or this?", len(PNG))


async def test_w4_an_album_is_a_message_for_each_picture(town: Town) -> None:
    """W4: side by side, and nothing says that they belong together; all are of one conversation."""
    person, conversation = await begun(town)
    files = [{"data": "iVBORw0KGgo=", "mime": "image/png", "name": f"{number}.png"} for number in range(5)]
    await town.bench.phones.say(person, "the album", files=files)
    async with asyncio.timeout(60):
        while len(await town.lines(conversation)) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await town.cast.sue.get("/conversations")).json["items"][0]["id"] == conversation["id"]


async def test_buttons_and_their_answer(town: Town) -> None:
    person, conversation = await begun(town)
    question = {"type": "choices", "text": "Which size?", "options": [{"id": "m", "label": "Medium"}, {"id": "l", "label": "Large"}]}
    await town.reply(conversation, parts=[question])
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    (asked,) = await from_shop(town, person)
    async with town.cast.ada.feed() as feed:
        await town.bench.phones.post(f"people/{person}/press", line=asked["id"], option="l")
        frame = await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["message"]["kind"] == "inbound")
    assert frame["data"]["message"]["parts"] == [{"type": "chosen", "id": "l", "label": "Large"}]


async def test_edited_reacted_and_taken_back(town: Town) -> None:
    person, conversation = await begun(town)
    (line,) = await town.bench.phones.lines(person)
    async with town.cast.ada.feed() as feed:
        await town.bench.phones.post(f"people/{person}/edit", line=line["id"], text="siete aperti domani?")
        await feed.of("message.changed")
        await town.bench.phones.post(f"people/{person}/react", line=line["id"], emoji="👍")
        await feed.of("message.changed")
        await town.bench.phones.post(f"people/{person}/delete", line=line["id"])
        await feed.of("message.changed")
    (kept,) = await town.lines(conversation)
    assert kept["deleted"] is True


async def test_w14_an_answer_from_the_phone_app_is_seen_and_answers_nobody(town: Town) -> None:
    person, conversation = await begun(town)
    async with town.cast.ada.feed() as feed:
        await town.bench.phones.post(f"people/{person}/echo", text="I answered on the phone")
        frame = await feed.until(lambda frame: frame["type"] == "message.added")
    assert frame["data"]["message"]["kind"] == "outbound"
    assert frame["data"]["conversation"]["id"] == conversation["id"]
    assert await town.bench.phones.ledger() == []


async def test_w6_after_a_new_number_answers_go_there(town: Town) -> None:
    person, conversation = await begun(town)
    await town.bench.phones.post(f"people/{person}/move", number="393519990077")
    async with asyncio.timeout(60):
        while not any(event["type"] == "address.moved" for event in await town.events()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    town.bench.world.wrote["393519990077"] = town.bench.world.now()
    async with asyncio.timeout(60):
        while not await from_shop(town, "393519990077"):
            await town.reply(conversation, text="Still you?")
            await asyncio.sleep(0.2)
    assert await from_shop(town, person) == []


# --- what goes wrong -----------------------------------------------------------------------------------------------------------------


async def test_a_closed_window_is_told_and_a_template_goes(town: Town) -> None:
    """W10: 131047 comes by a status."""
    person, conversation = await begun(town)
    await town.bench.phones.post("clock", ahead=86_401)
    await town.reply(conversation, text="too late")
    line = await town.until_line(conversation, lambda line: line["status"] == "failed")
    assert "131047" in line["problem"]
    template = {"type": "template", "name": "order_update", "language": "it", "parameters": ["Cleo", "17"]}
    await town.reply(conversation, parts=[template])
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    assert (await from_shop(town, person))[-1]["text"] == "Ciao Cleo, il tuo ordine 17 è in viaggio."


async def test_a_trouble_of_metas_is_tried_again(town: Town) -> None:
    person, conversation = await begun(town)
    await town.bench.phones.fault("500")
    await town.reply(conversation, text="second try")
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    assert [line["text"] for line in await from_shop(town, person)] == ["second try"]


async def test_a_lost_answer_is_found_by_its_status_and_nothing_goes_twice(town: Town) -> None:
    """W8: the API lists nothing, but each status brings back what we sent along."""
    person, conversation = await begun(town)
    await town.bench.phones.fault("reset_after")
    await town.reply(conversation, text="once")
    line = await town.until_line(conversation, lambda line: line["status"] == "delivered")
    assert not line["possible_duplicate"]
    await town.reply(conversation, text="and on")
    await town.until_line(conversation, lambda line: line["parts"][0]["text"] == "and on" and line["status"] == "delivered")
    assert [line["text"] for line in await from_shop(town, person)] == ["once", "and on"]


async def test_w11_somebody_without_whatsapp(town: Town) -> None:
    person, conversation = await begun(town)
    del town.bench.world.phone.people[person]
    await town.reply(conversation, text="anybody?")
    line = await town.until_line(conversation, lambda line: line["status"] == "failed")
    assert "131026" in line["problem"]


# --- webhooks --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"X-Hub-Signature-256": "sha256=" + "0" * 64}])
async def test_w1_a_wrong_signature_gives_403_and_no_event(town: Town, headers: dict[str, str]) -> None:
    before = await town.events()
    assert await town.post((PAYLOADS / "text.json").read_bytes(), {"Content-Type": "application/json", **headers}) == 403
    assert await town.events() == before


async def test_w1_the_challenge_is_plain_text_for_who_knows_the_token(town: Town) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}
    status, headers, body = await town.cast.gateway.request("GET", "/webhooks/shop", params=query)
    assert (status, headers["Content-Type"].partition(";")[0], body) == (200, "text/plain", b"1158201444")
    status, _, body = await town.cast.gateway.request("GET", "/webhooks/shop", params=query | {"hub.verify_token": "guess"})
    assert (status, body) == (403, b"")
    status, _, body = await town.cast.gateway.request("GET", "/webhooks/shop", params=query | {"hub.challenge": "<b>77</b>"})
    assert (status, body) == (403, b"")


async def test_real_shaped_webhooks_give_the_expected_events(town: Town) -> None:
    """Every payload file of the connector, posted as a webhook; what is for a number that nobody has is kept apart."""
    expected: list[Json] = []
    for path in sorted(path for path in PAYLOADS.glob("*.json") if not path.name.endswith(".expect.json")):
        assert await town.post(path.read_bytes()) == 200, path.name
        expected += json.loads(path.with_name(path.stem + ".expect.json").read_bytes())
    ours = [event for event in expected if event.get("account") != OTHER]
    keys = {event["key"] for event in ours}
    assert [event["key"] for event in await town.events() if event["key"] in keys] == [event["key"] for event in ours]
    assert [event["message_id"] for event in await town.events("second")] == [
        event["message_id"] for event in expected if event.get("account") == OTHER
    ]


async def test_w2_of_a_thousand_entries_with_one_broken_999_live(town: Town) -> None:
    def entry(number: int) -> Json:
        text: Any = {"body": f"line {number}"} if number != 417 else {"body": ["broken"]}
        person = f"39351{number % 50:07d}"
        message = {"from": person, "id": f"wamid.{number}", "timestamp": "1795200000", "type": "text", "text": text}
        value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, "messages": [message]}
        return {"id": WABA, "changes": [{"field": "messages", "value": value}]}

    body = escaped({"object": "whatsapp_business_account", "entry": [entry(number) for number in range(1000)]})
    before = len(await town.events())
    assert await town.post(body) == 200
    assert await town.post(body) == 200, "redelivered"
    events = (await town.events())[before:]
    kinds = [event["type"] for event in events]
    assert (kinds.count("message.received"), kinds.count("payload.quarantined"), len(kinds)) == (999, 1, 1000)
    # Nobody has mended the connector meanwhile: it stays where it is, and is still only one.
    counts = await reprocess(town.cast.gateway.services, "shop")
    assert (counts["recovered"], counts["remaining"]) == (0, 1)


async def test_a_thousand_webhooks_with_every_permutation_of_statuses_end_the_same(town: Town) -> None:
    """W8: out of order, skipped, twice; and before the provider's answer is on record."""
    town.bench.app[HOOK].url = ""
    seen = list(permutations(("sent", "delivered", "read", "played", "delivered")))[:110]
    refused = list(permutations(("sent", "failed", "sent", "failed", "sent")))[:90]
    now = str(int(town.bench.world.now()))
    conversations = []
    for number in range(10):
        person = await town.bench.phones.person("Cleo", f"39352{number:07d}")
        message = {"from": person, "id": f"wamid.in.{number}", "timestamp": now, "type": "text", "text": {"body": "hi"}}
        async with town.cast.ada.feed() as feed:
            assert await town.post(webhook({"messages": [message]})) == 200
            conversations.append((await feed.of("message.added"))["data"]["conversation"])
    for number in range(200):
        await town.reply(conversations[number % 10], text=f"{number}")
    async with asyncio.timeout(30):
        while len(ledger := await town.bench.phones.ledger()) < 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    ids = {int(entry["text"]): entry["id"] for entry in ledger}
    posts = [(number, status) for number, order in enumerate(seen + refused) for status in order]
    assert len(posts) == 1000
    for number, status in posts:
        line: Json = {"id": ids[number], "status": status, "timestamp": now, "recipient_id": "393520000000"}
        if status == "failed":
            line["errors"] = [{"code": 131026, "title": "Message undeliverable"}]
        assert await town.post(webhook({"statuses": [line]})) == 200
    wanted = {number: "read" if number < len(seen) else "failed" for number in range(200)}
    async with asyncio.timeout(30):
        while await statuses(town, conversations) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def statuses(town: Town, conversations: list[Json]) -> dict[int, str]:
    """Of all replies, by the number that is their text."""
    lines = [line for one in conversations for line in await town.lines(one) if line["kind"] == "outbound"]
    return {int(line["parts"][0]["text"]): line["status"] for line in lines}


async def test_no_secret_is_in_the_stream(town: Town) -> None:
    person, conversation = await begun(town)
    await town.bench.phones.send_file(person, PNG, "image/png")
    await town.reply(conversation, text="x")
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    recorded = await town.cast.gateway.services.store.read(WHOLE, 0, 100_000)
    everything = b"".join(one.entry.data + one.entry.raw for one in recorded).decode()
    assert not any(secret in everything for secret in (TOKEN, APP_SECRET, VERIFY_TOKEN))


def webhook(content: Json) -> bytes:
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, **content}
    return escaped({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [{"field": "messages", "value": value}]}]})


async def test_templates_of_every_kind_go_by_the_api(town: Town) -> None:
    """W10: names and kinds of buttons are filled in from Meta's definition; a wrong one is refused before anything is sent."""
    person, conversation = await begun(town)
    file = (await town.cast.ada.call("POST", "/media", b"%PDF-1.4 x", headers={"Content-Type": "application/pdf"})).json["id"]
    place = {"type": "location", "latitude": 45.0, "longitude": 9.0, "name": "Shop", "address": "Via Roma 1"}
    document = {"type": "media", "kind": "file", "ref": file}
    for more in (
        {"name": "pickup", "parameters": ["Ada", "Monday"]},
        {"name": "receipt", "parameters": ["Ada"], "header_media": document, "buttons": ["17"]},
        {"name": "shop_place", "header_location": place},
    ):
        await town.reply(conversation, parts=[{"type": "template", "language": "en", **more}])
        await town.until_line(
            conversation, lambda line, name=more["name"]: line["parts"][0]["name"] == name and line["status"] == "delivered"
        )
    assert [line["text"] for line in await from_shop(town, person)] == [
        "Dear Ada, your parcel waits until Monday.",
        "Your receipt, Ada.",
        "Come and see us.",
    ]
    for wrong in ({"name": "shop_place"}, {"name": "hello", "header_location": place}, {"name": "winter_sale"}):
        body = {"parts": [{"type": "template", "language": "en", **wrong}]}
        assert (await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", body)).status == 422


async def test_w14_the_shopper_sees_that_an_agent_has_read_and_types(town: Town) -> None:
    person, conversation = await begun(town)
    (line,) = await town.bench.phones.lines(person)
    assert (await town.cast.ada.post(f"/conversations/{conversation['id']}/typing", None)).status == 204
    pos = (await town.lines(conversation))[0]["pos"]
    assert (await town.cast.ada.post(f"/conversations/{conversation['id']}/read", {"pos": pos})).status == 200
    await until(lambda: len(town.bench.world.courtesies) == 2)
    assert sorted(one["typing"] for one in town.bench.world.courtesies) == [False, True]
    assert {one["message_id"] for one in town.bench.world.courtesies} == {line["id"]}
