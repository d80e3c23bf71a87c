"""Comments and visitors' posts, answered in public and in private; and the names of people. Through the whole gateway."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from storage.interaction import InteractionKind, LogFilter
from tests.support.messenger import Platform
from tests.support.pictures import PNG
from tests.support.town import Town, first_conversation, town_of
from tests.support.waiting import eventually

#: What only Messenger has: posts of visitors, and word of removed comments.
MESSENGER = pytest.mark.parametrize("town", ["messenger"], indirect=True)


@pytest.fixture(params=["messenger", "instagram"])
async def town(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    async with town_of(cast("Platform", request.param), tmp_path) as ready:
        yield ready


async def test_a_comment_answered_in_public_and_moved_to_private(town: Town) -> None:
    """Comments: one person, one conversation, one history; our own public answer comes back and is no news."""
    person, conversation = await first_conversation(town, text="How much is it?", post="900")
    (asked,) = await town.lines(conversation)
    assert asked["public"] is True
    assert asked["parts"][0]["type"] == "referral"
    await town.answer(conversation, text="€50, we write to you", public=True, reply_to=asked["id"])
    await town.until_status(conversation, "sent")
    await town.answer(conversation, text="Which size do you need?", reply_to=asked["id"])
    await eventually(lambda: town.phone.lines(person, from_shop=True), lambda found: len(found) == 2)
    public, private = await town.phone.lines(person, from_shop=True)
    assert (public["text"], public["post"], public["reply_to"]) == (
        "€50, we write to you",
        "900",
        (await town.phone.lines(person))[0]["id"],
    )
    assert (private["text"], private.get("post", "")) == ("Which size do you need?", "")
    await town.phone.say(person, text="A medium, please")
    found = await eventually(lambda: town.lines(conversation), lambda found: len(found) >= 4)
    said = [(line["kind"], line.get("public", False), line["parts"][-1]["text"]) for line in found]
    assert said == [
        ("inbound", True, "How much is it?"),
        ("outbound", True, "€50, we write to you"),
        ("outbound", False, "Which size do you need?"),
        ("inbound", False, "A medium, please"),
    ]
    assert len({line["conversation_id"] for line in found}) == 1
    # Now that they have written, no comment is needed.
    await town.answer(conversation, text="It is yours")
    await eventually(lambda: town.phone.lines(person, from_shop=True), lambda lines: len(lines) == 3)


async def test_m8_a_shopper_has_their_name_and_was_asked_about_once(town: Town) -> None:
    """M8: webhooks carry an id alone; the name is had from Meta, aside, once the person has written in private."""
    person, conversation = await first_conversation(town)

    async def shown() -> str:
        found: str = (await town.cast.ada.get(f"/conversations/{conversation['id']}")).json["conversation"].get("customer_name", "")
        return found

    assert await eventually(shown) == "Cleo Bianchi"
    await town.phone.say(person, text="and on Sunday?")
    await eventually(lambda: town.lines(conversation), lambda lines: len(lines) == 2)
    assert (await town.lines(conversation))[1]["author"]["name"] == "Cleo Bianchi"
    assert [call for call in town.simulator.calls if call == f"GET /{person}"] == [f"GET /{person}"]
    (told,) = [event for event in await town.events() if event["type"] == "profile.reported"]
    assert told["sender"]["name"] == "Cleo Bianchi"


async def test_m8_without_permission_the_message_is_there_all_the_same(town: Town) -> None:
    await town.phone.post("faults", kind="error", code=230, on="node")
    _, conversation = await first_conversation(town)
    await eventually(lambda: _asked(town), lambda results: results == ["refused"])
    assert (await town.lines(conversation))[0]["parts"][0]["text"] == "Ciao, siete aperti?"
    assert (await town.cast.ada.get(f"/conversations/{conversation['id']}")).json["conversation"].get("customer_name", "") == ""


async def _asked(town: Town) -> list[str]:
    """What came of asking for names."""
    services = town.cast.gateway.services
    await services.journal.write()
    found = await services.store.view(lambda tx: tx.channel_log.page("shop", LogFilter(kind=InteractionKind.PROFILE), "", 10))
    return [one.result for one in found]


@MESSENGER
async def test_a_visitors_post_answered_below_it_with_a_photo_and_moved_to_private(town: Town) -> None:
    """What somebody writes on the page itself: public, answered like a comment, once in private, and one history."""
    person, conversation = await first_conversation(town, text="Are the blue ones back?", post="new")
    (asked,) = await town.lines(conversation)
    assert (asked["public"], asked["parts"][0]["source"], asked["parts"][-1]["text"]) == (True, "post", "Are the blue ones back?")
    file = (await town.cast.ada.call("POST", "/media", PNG, headers={"Content-Type": "image/png"})).json["id"]
    photo = {"type": "media", "kind": "image", "ref": file}
    parts = [photo, {"type": "text", "text": "Here they are"}]
    await town.answer(conversation, parts=parts, public=True, reply_to=asked["id"])
    await town.until_status(conversation, "sent")
    await town.answer(conversation, text="Which size?", reply_to=asked["id"])
    public, private = await eventually(lambda: town.phone.lines(person, from_shop=True), lambda found: len(found) == 2)
    (post,) = await town.phone.lines(person, from_shop=False)
    assert (public["text"], public["post"], len(public["files"])) == ("Here they are", post["id"], 1)
    assert (private["text"], private.get("post", "")) == ("Which size?", "")
    await town.phone.post(f"people/{person}/edit", line=post["id"], text="Are the red ones back?")
    await eventually(lambda: town.lines(conversation), lambda found: bool(found[0]["parts"][-1].get("text") == "Are the red ones back?"))
    assert [line["kind"] for line in await town.lines(conversation)] == ["inbound", "outbound", "outbound"], "our own answer is no news"


async def test_a_file_in_public_goes_or_is_refused_in_the_connectors_words(town: Town) -> None:
    _, conversation = await first_conversation(town, text="How much is it?", post="900")
    (asked,) = await town.lines(conversation)
    file = (await town.cast.ada.call("POST", "/media", PNG, headers={"Content-Type": "image/png"})).json["id"]
    body = {"parts": [{"type": "media", "kind": "image", "ref": file}], "public": True, "reply_to": asked["id"]}
    sent = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", body)
    if town.platform == "instagram":
        assert (sent.status, sent.json["code"]) == (422, "not_supported"), sent.raw
        assert "send them in a private message" in sent.json["detail"]
    else:
        assert sent.status == 201
        await town.until_status(conversation, "sent")


async def test_a_comment_alone_opens_no_window(town: Town) -> None:
    """M5: a private answer without the comment is refused before anything is sent."""
    _, conversation = await first_conversation(town, text="How much is it?", post="900")
    refused = await town.cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "Hello"})
    assert refused.status == 409, refused.raw
    assert await town.phone.ledger() == []


@MESSENGER
async def test_a_comment_removed(town: Town) -> None:
    """Pages tell of it; Instagram does not."""
    person, conversation = await first_conversation(town, text="How much is it?", post="900")
    (line,) = await town.phone.lines(person)
    await town.phone.post(f"people/{person}/edit", line=line["id"], text="How much is the blue one?")
    await eventually(lambda: town.lines(conversation), lambda found: bool(found[0]["parts"][-1].get("text") == "How much is the blue one?"))
    await town.phone.post(f"people/{person}/delete", line=line["id"])
    await eventually(lambda: town.lines(conversation), lambda found: bool(found[0].get("deleted")))
