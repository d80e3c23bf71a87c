"""What WhatsApp can show beside words: files above buttons, forms; in which order parts arrive; and Meta's redeliveries."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.pictures import PNG
from tests.support.whatsapp_town import Town, begun, from_shop, whatsapp_town

PAYLOADS = Path(__file__).parents[1] / "connectors" / "whatsapp" / "payloads"


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with whatsapp_town(tmp_path) as ready:
        yield ready


async def upload(town: Town) -> dict[str, str]:
    file = (await town.cast.ada.call("POST", "/media", PNG, headers={"Content-Type": "image/png"})).json["id"]
    return {"type": "media", "kind": "image", "ref": file}


async def test_w9_a_picture_above_buttons_goes_by_the_api(town: Town) -> None:
    person, conversation = await begun(town)
    options = [{"id": "m", "label": "Medium"}, {"id": "l", "label": "Large"}]
    question = {"type": "choices", "text": "Which?", "options": options, "header_media": await upload(town)}
    await town.reply(conversation, parts=[question])
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    (asked,) = await from_shop(town, person)
    assert (len(asked["files"]), asked["text"], len(asked["options"])) == (1, "Which?", 2)


async def test_w9_a_form_goes_out_and_its_answers_come_back(town: Town) -> None:
    person, conversation = await begun(town)
    option = {"id": "visit-7", "label": "Choose a day", "form": "1197715005513101", "screen": "DAY"}
    await town.reply(conversation, parts=[{"type": "choices", "text": "Book?", "options": [option]}])
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    (asked,) = await from_shop(town, person)
    async with town.cast.ada.feed() as feed:
        await town.bench.phones.post(f"people/{person}/press", line=asked["id"], option="visit-7")
        frame = await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["message"]["kind"] == "inbound")
    assert frame["data"]["message"]["parts"] == [
        {"type": "chosen", "id": "visit-7", "label": "Sent"},
        {"type": "text", "text": "size: 42"},
    ]


async def test_w9_what_will_look_different_is_told_before_it_is_sent(town: Town) -> None:
    _, conversation = await begun(town)
    options = [{"id": str(number), "label": f"Size {number}", "description": "x" * 73} for number in range(4)]
    question = {"type": "choices", "text": "Which?", "options": options, "header_media": await upload(town)}
    planned = await town.cast.ada.post(f"/conversations/{conversation['id']}/plan", {"parts": [question]})
    assert planned.status == 200, planned.raw
    assert {note["code"] for note in planned.json["notes"]} == {"header_apart", "choices_as_list", "labels_cut"}
    form = {"id": "a", "label": "1234567890123456789012345678901", "form": "1"}
    refused = await town.cast.ada.post(
        f"/conversations/{conversation['id']}/messages", {"parts": [{"type": "choices", "text": "Book?", "options": [form]}]}
    )
    assert refused.status == 422
    assert "31 characters; at most 30" in refused.json["detail"]


async def test_w13_a_text_does_not_overtake_the_file_before_it(town: Town) -> None:
    """W13: the next part waits until Meta has taken the one before, upload and all."""
    person, conversation = await begun(town)
    # Too long for a caption: three messages.
    await town.reply(conversation, parts=[await upload(town), {"type": "text", "text": "a" * 1100}, {"type": "text", "text": "b"}])
    await town.until_line(conversation, lambda line: line["status"] == "delivered")
    assert [(len(line.get("files", ())), line.get("text", "")[:1]) for line in await from_shop(town, person)] == [
        (1, ""),
        (0, "a"),
        (0, "b"),
    ]


async def test_w3_what_comes_again_is_taken_once_and_what_is_not_used_is_taken_too(town: Town) -> None:
    """W3: Meta repeats for seven days whatever is not answered with 200."""
    for name in ("text-wa-id-differs-from-phone", "field-calls", "status-delivered"):
        (path,) = (found for found in PAYLOADS.glob("*.json") if found.name == f"{name}.json")
        assert [await town.post(path.read_bytes()) for _ in range(3)] == [200, 200, 200]
    kinds = [event["type"] for event in await town.events() if "type" in event and event.get("key")]
    assert sorted(kinds) == ["message.received", "payload.ignored", "status.reported"]
