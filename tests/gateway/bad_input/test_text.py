"""B28-B30: times, texts and names that are not meant for readers. The event is kept as it came; what is shown is bounded."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from connectors.names import harmless_name
from routing.line import FUTURE, PAST, TEXT_CHARS
from storage.protocol import WHOLE
from storage.record import Recorded
from tests.gateway.bad_input.rows import HOOK, SIGNED, update
from tests.support.cast import Cast
from tests.support.waiting import DEADLINE


async def _shown(cast: Cast, body: bytes) -> tuple[dict[str, Any], Recorded]:
    """One delivery: the line as an agent sees it, and the event as the stream keeps it."""
    head = await cast.gateway.services.store.view(lambda tx: tx.stream.head())
    assert (await cast.gateway.request("POST", HOOK, data=body, headers=SIGNED))[0] == 200
    person = str(json.loads(body)["message"]["from"]["id"])
    async with asyncio.timeout(DEADLINE):
        while True:
            for item in (await cast.sue.get("/conversations")).json["items"]:
                if item["identity"]["value"] == person:
                    (line,) = (await cast.sue.get(f"/conversations/{item['id']}/messages")).json["items"]
                    (event,) = [one for one in await cast.gateway.services.store.read(WHOLE, head, 10) if one.entry.channel == "bot"]
                    return dict(line), event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "seconds"),
    [(2801, -11_644_473_600), (2802, -1), (2803, 0), (2804, 253_402_300_799), (2805, 10**15), (2806, -(10**15))],
    ids=["1601", "before 1970", "1970", "9999", "beyond", "before"],
)
async def test_b28_an_absurd_time_is_not_believed(stage: Cast, number: int, seconds: int) -> None:
    line, event = await _shown(stage, update(number, date=seconds))
    at, received = (datetime.fromisoformat(line[name]) for name in ("at", "received_at"))
    assert received - PAST <= at <= received + FUTURE
    assert json.loads(event.entry.raw)["message"]["date"] == seconds


@pytest.mark.parametrize(
    ("number", "text"),
    [(2901, "x" * 1_000_000), (2902, "👨‍👩‍👧‍👦" * 9400), (2903, "e" + "\u0301" * 200_000), (2904, "é" * TEXT_CHARS + "!")],
    ids=["1 MB", "emoji", "one letter with 200,000 marks", "one too many"],
)
async def test_b29_a_text_that_nobody_could_read_is_cut_and_kept(stage: Cast, number: int, text: str) -> None:
    line, event = await _shown(stage, json.dumps(json.loads(update(number, text=text)), ensure_ascii=False).encode())
    (part,) = line["parts"]
    assert len(part["text"]) <= TEXT_CHARS
    assert part["text"].endswith(" […]")
    shown = part["text"].removesuffix(" […]")
    assert text.startswith(shown)
    assert len(shown) > TEXT_CHARS - 20
    # No family is torn apart.
    assert not shown.endswith("\u200d")
    assert not text.startswith("👨") or len(shown) % len("👨‍👩‍👧‍👦") == 0
    assert json.loads(event.entry.raw)["message"]["text"] == text


async def test_b29_an_edit_is_no_way_around(stage: Cast) -> None:
    await _shown(stage, update(2910))
    edit = json.loads(update(2911))
    edit["edited_message"] = {**json.loads(update(2910))["message"], "edit_date": 1700000001, "text": "y" * 100_000}
    del edit["message"]
    assert (await stage.gateway.request("POST", HOOK, data=json.dumps(edit).encode(), headers=SIGNED))[0] == 200
    async with asyncio.timeout(DEADLINE):
        while True:
            (conversation,) = [one for one in (await stage.sue.get("/conversations")).json["items"] if one["identity"]["value"] == "6910"]
            (line,) = (await stage.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"]
            if line.get("edited_at"):
                break
            await asyncio.sleep(0.01)
    assert len(line["parts"][0]["text"]) == TEXT_CHARS


async def test_b29_what_just_fits_is_whole(stage: Cast) -> None:
    line, _ = await _shown(stage, update(2905, text="x" * TEXT_CHARS))
    assert line["parts"] == [{"type": "text", "text": "x" * TEXT_CHARS}]


async def test_b30_names_are_kept_and_names_of_files_do_not_lie(stage: Cast) -> None:
    name = "A\u202eda\u200b\u2066"
    person = {"id": 7001, "is_bot": False, "first_name": name}
    file = {"file_id": "F", "file_unique_id": "f", "file_name": "../in\u202egpj.exe\u0007", "mime_type": "image/jpeg"}
    body = json.loads(update(3001, **{"from": person}, document=file))
    del body["message"]["text"]
    line, event = await _shown(stage, json.dumps(body).encode())
    assert line["author"]["name"] == name
    (part,) = line["parts"]
    assert part["name"] == "ingpj.exe"
    assert json.loads(event.entry.raw)["message"]["document"]["file_name"] == file["file_name"]


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\Users\\x\\a.txt", "a.txt"),
        ("..", ""),
        (".htaccess", "htaccess"),
        ("con", "_con"),
        ("AUX.txt", "_AUX.txt"),
        ("contract.pdf", "contract.pdf"),
        ("a\0b.png", "ab.png"),
        ("a\r\nSet-Cookie: x.png", "aSet-Cookie: x.png"),
        ('quo"te;x=1.png', 'quo"te;x=1.png'),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("a\u2066b\u2069\u200b\u200f\ufeff.pdf", "ab.pdf"),
        ("\ud800x.png", "x.png"),
        ("x" * 300 + ".pdf", "x" * 180 + "…" + "x" * 15 + ".pdf"),
        ("żółć è 写真.jpg", "żółć è 写真.jpg"),
        ("می\u200cخواهم.pdf", "می\u200cخواهم.pdf"),
    ],
)
def test_b30_b64_names_of_files(name: str, harmless: str) -> None:
    assert harmless_name(name) == harmless
