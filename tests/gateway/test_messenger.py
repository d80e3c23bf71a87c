"""Messenger and Instagram, both directions, through the simulator and the whole gateway: private messages."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.messenger import PAGE, Platform, a_file
from tests.support.pictures import PNG, picture
from tests.support.town import OTHER_PAGE, Town, first_conversation, town_of
from tests.support.waiting import eventually

PAYLOADS = Path(__file__).parents[1] / "connectors" / "messenger" / "payloads"
#: Only Messenger can have a second page in this town.
MESSENGER = pytest.mark.parametrize("town", ["messenger"], indirect=True)


@pytest.fixture(params=["messenger", "instagram"])
async def town(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    async with town_of(cast("Platform", request.param), tmp_path) as ready:
        yield ready


async def test_text_there_and_back_with_ticks(town: Town) -> None:
    """M3: Messenger tells of delivery by id and of reading by watermark, Instagram of reading by id."""
    person, conversation = await first_conversation(town)
    await town.answer(conversation, text="Sì, fino alle 19.")
    await town.until_status(conversation, "delivered" if town.platform == "messenger" else "sent")
    assert [line["text"] for line in await town.phone.lines(person)] == ["Ciao, siete aperti?", "Sì, fino alle 19."]
    await town.phone.post(f"people/{person}/read")
    await town.until_status(conversation, "read")
    assert [line["kind"] for line in await town.lines(conversation)] == ["inbound", "outbound"], "our own echo is no news"


async def test_a_phone_without_network(town: Town) -> None:
    """What was written meanwhile arrives on both sides, in order."""
    person, conversation = await first_conversation(town)
    await town.phone.post(f"people/{person}/network", online=False)
    await town.answer(conversation, text="Are you there?")
    await town.until_status(conversation, "sent")
    await town.phone.say(person, text="in the tunnel")
    await town.phone.post(f"people/{person}/network", online=True)

    async def texts() -> list[str]:
        return [part["text"] for line in await town.lines(conversation) for part in line["parts"] if "text" in part]

    await eventually(texts, lambda found: found == ["Ciao, siete aperti?", "Are you there?", "in the tunnel"])


async def test_files_both_ways(town: Town) -> None:
    """M4: copied at once from a link that needs no credential; ours arrive byte for byte."""
    person, conversation = await first_conversation(town)
    async with town.cast.ada.feed() as feed:
        await town.phone.say(person, text="like this one", files=[a_file()])
        frame = await feed.until(
            lambda frame: frame["type"] == "message.changed" and any(part.get("stored") for part in frame["data"]["message"]["parts"])
        )
    media, text = frame["data"]["message"]["parts"]
    assert (media["kind"], text["text"]) == ("image", "like this one")
    copy = await town.cast.ada.get(f"/media/{media['stored']}")
    assert (copy.status, copy.raw) == (200, PNG)
    ours = picture(size=(5, 4))
    upload = (await town.cast.ada.call("POST", "/media", ours, headers={"Content-Type": "image/png"})).json
    shown = {"type": "media", "kind": "image", "ref": upload["id"]}
    await town.answer(conversation, parts=[shown, {"type": "text", "text": "We have this"}])
    await town.until_status(conversation, "delivered" if town.platform == "messenger" else "sent")
    first, second = await town.phone.lines(person, from_shop=True)
    assert (first["files"][0]["size"], second["text"]) == (len(ours), "We have this")


async def test_a_quick_reply_comes_back_as_a_choice(town: Town) -> None:
    """M4, M6."""
    person, conversation = await first_conversation(town)
    question = {"type": "choices", "text": "Which size?", "options": [{"id": "m", "label": "Medium"}, {"id": "l", "label": "Large"}]}
    await town.answer(conversation, parts=[question])
    (line,) = await eventually(lambda: town.phone.lines(person, from_shop=True))
    async with town.cast.ada.feed() as feed:
        await town.phone.post(f"people/{person}/press", line=line["id"], option="l")
        frame = await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["message"]["kind"] == "inbound")
    assert frame["data"]["message"]["parts"] == [{"type": "chosen", "id": "l", "label": "Large"}]


async def test_edit_unsend_and_reaction(town: Town) -> None:
    """M4."""
    person, conversation = await first_conversation(town)
    (line,) = await town.phone.lines(person)
    await town.phone.post(f"people/{person}/edit", line=line["id"], text="Siete aperti domani?")
    await eventually(lambda: town.lines(conversation), lambda found: bool(found[0]["parts"][0].get("text") == "Siete aperti domani?"))
    await town.phone.post(f"people/{person}/react", line=line["id"], emoji="❤️")
    await town.phone.post(f"people/{person}/delete", line=line["id"])
    await eventually(lambda: town.lines(conversation), lambda found: bool(found[0].get("deleted")))


async def test_a_failure_and_a_retry(town: Town) -> None:
    """M7: what Meta did not do is tried again; what it refuses is shown with its words."""
    person, conversation = await first_conversation(town)
    await town.phone.post("faults", kind="500")
    await town.answer(conversation, text="twice tried")
    await eventually(town.phone.ledger, lambda found: len(found) == 1)
    await town.phone.post(f"people/{person}/block", blocked=True)
    await town.answer(conversation, text="nobody there")
    failed = await town.until_status(conversation, "failed")
    assert "551" in json.dumps(failed)
    assert len(await town.phone.ledger()) == 1


async def test_the_page_inbox_answers_too(town: Town) -> None:
    """M2: agents see what a colleague wrote in Meta's own inbox."""
    person, conversation = await first_conversation(town)
    async with town.cast.ada.feed() as feed:
        await town.phone.post(f"people/{person}/inbox", text="From the page's inbox")
        frame = await feed.until(lambda frame: frame["type"] == "message.added")
    message = frame["data"]["message"]
    assert (message["kind"], message["parts"][0]["text"], message["conversation_id"]) == (
        "outbound",
        "From the page's inbox",
        conversation["id"],
    )


async def test_an_answer_that_was_lost_is_not_sent_twice(town: Town) -> None:
    """M2, M7: the connection dies after the message went out; Messenger's echo names our message, Instagram's says the same words."""
    _, conversation = await first_conversation(town)
    await town.phone.post("faults", kind="reset_after")
    await town.answer(conversation, text="once")
    await town.until_status(conversation, "delivered" if town.platform == "messenger" else "sent")
    assert len(await town.phone.ledger()) == 1
    assert [line["kind"] for line in await town.lines(conversation)] == ["inbound", "outbound"]


async def test_an_echo_that_is_faster_than_the_answer_is_no_news(town: Town) -> None:
    """M2: Meta posts the echo while our call is still open; the history has one line, with ticks."""
    _, conversation = await first_conversation(town)
    town.simulator.may_answer.clear()
    await town.answer(conversation, text="only one line")
    await eventually(town.events, lambda found: any(event["type"] == "message.echoed" for event in found))
    await town.until_status(conversation, "delivered" if town.platform == "messenger" else "sent")
    town.simulator.may_answer.set()
    await town.answer(conversation, text="and another")
    await town.until_status(conversation, "delivered" if town.platform == "messenger" else "sent")
    said = [line["parts"][0]["text"] for line in await town.lines(conversation) if line["kind"] == "outbound"]
    assert said == ["only one line", "and another"]


async def test_webhooks_lost_doubled_and_out_of_order(town: Town) -> None:
    """Each message is in the history once."""
    person, conversation = await first_conversation(town)
    await town.phone.post("faults", kind="twice", on="webhook", count=1)
    await town.phone.say(person, text="one")
    await town.phone.post("faults", kind="shuffled", on="webhook", count=1)
    await town.phone.say(person, text="two")
    await town.phone.say(person, text="three")

    async def texts() -> set[str]:
        return {line["parts"][0]["text"] for line in await town.lines(conversation)}

    await eventually(texts, lambda found: found == {"Ciao, siete aperti?", "one", "two", "three"})
    assert len(await town.lines(conversation)) == 4


async def test_m1_a_wrong_signature_gives_403_and_no_event(town: Town) -> None:
    """M1."""
    assert await town.post((PAYLOADS / "text.json").read_bytes(), "canary-another-secret") == 403
    assert await town.events() == []


async def test_m1_a_thousand_entries_of_which_one_is_broken(town: Town) -> None:
    """M1: 999 appended and one quarantined, 200; and again, without a second one of any."""
    whose = "page" if town.platform == "messenger" else "instagram"
    account = town.simulator.account.id
    entries: list[dict[str, Any]] = [
        {
            "id": account,
            "time": 1790000000000,
            "messaging": [
                {
                    "sender": {"id": "7200000000000042"},
                    "recipient": {"id": account},
                    "timestamp": 1790000000000 + number,
                    "message": {"mid": f"m_{number}", "text": f"number {number}"},
                }
            ],
        }
        for number in range(1000)
    ]
    entries[300]["messaging"][0]["message"]["mid"] = {"broken": True}
    body = json.dumps({"object": whose, "entry": entries}).encode()
    assert set(await asyncio.gather(town.post(body), town.post(body))) == {200}
    types = [event["type"] for event in await town.events()]
    assert (types.count("message.received"), types.count("payload.quarantined")) == (999, 1)


@MESSENGER
async def test_m1_each_page_has_its_own_channel(town: Town) -> None:
    """M1: one webhook, two pages of the same app."""
    assert await town.post((PAYLOADS / "batch-of-two-pages.json").read_bytes()) == 200
    assert [event["message_id"] for event in await town.events()] == ["m_b1", "m_b2"]
    assert [event["message_id"] for event in await town.events("other")] == ["m_b3"]
    assert (await town.events("other"))[0]["sender"]["identity"]["scope"] == OTHER_PAGE != PAGE


async def test_real_shaped_webhooks_give_the_expected_events(town: Town) -> None:
    """Every payload file of the connector, posted as a webhook."""
    folder = PAYLOADS.parents[1] / town.platform / "payloads"
    expected: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.expect.json")):
        if '"media"' in path.read_text("utf-8"):
            continue  # the file would be fetched, and nobody here asks for Meta's
        assert await town.post((folder / path.name.replace(".expect", "")).read_bytes()) == 200, path.name
        expected += json.loads(path.read_bytes())
    ours = town.simulator.account.id
    # Of what cannot be read, the gateway keeps the request's headers.
    found = [{name: value for name, value in event.items() if name != "headers"} for event in await town.events()]
    assert [event for event in found if event.get("account") == ours] == [event for event in expected if event.get("account") == ours]
