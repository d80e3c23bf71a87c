"""G9: files that belong together arrive together: what is grouped, what Telegram refuses, and what its answer means."""

import json
from typing import Any

import pytest

from connectors.compose import compose
from connectors.content import AnyPart, Media, MediaKind, Text
from connectors.contract import Call, Failure, Outbound, Reply, Sent
from connectors.errors import FailureKind
from connectors.telegram import CAPABILITIES, CONNECTOR, Settings
from tests.support.settings import settings_of
from tests.support.telegram import PIXEL, TOKEN, Bench, deliver, telegram_bench

SETTINGS = settings_of(Settings, {"token": TOKEN, "mode": "poll"})


def file(kind: MediaKind, mime: str, size: int = 100, ref: str = "med_1") -> Media:
    return Media(kind=kind, ref=ref, mime=mime, name="a.bin", size=size)


PHOTO, VIDEO = file(MediaKind.IMAGE, "image/jpeg"), file(MediaKind.VIDEO, "video/mp4")
AUDIO, VOICE = file(MediaKind.AUDIO, "audio/mpeg"), file(MediaKind.VOICE, "audio/ogg")
PDF, DRAWING = file(MediaKind.FILE, "application/pdf"), file(MediaKind.IMAGE, "image/svg+xml")
STICKER, LARGE = file(MediaKind.STICKER, "image/webp"), file(MediaKind.IMAGE, "image/png", 10_000_001)
HALF = file(MediaKind.VIDEO, "video/mp4", 25_000_001)
WORDS = Text(text="Here they are")


def calls(*parts: AnyPart) -> list[Call]:
    return list(CONNECTOR.render(Outbound(id="msg_1", to="42", parts=parts), SETTINGS))


def shape(call: Call) -> str:
    """Method, or an album's types, and a mark for a caption."""
    items = call.json.get("media", [])
    kinds = "+".join(item["type"] for item in items) or call.url.removeprefix("send").lower()
    return kinds + ("!" if "caption" in call.json or any("caption" in item for item in items) else "")


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([PHOTO, VIDEO], ["photo+video"]),
        ([PHOTO] * 10, ["+".join(["photo"] * 10)]),
        ([PHOTO] * 11, ["+".join(["photo"] * 10), "photo"]),
        ([PHOTO] * 12, ["+".join(["photo"] * 10), "photo+photo"]),
        ([PDF, PDF, DRAWING, LARGE], ["document+document+document+document"]),
        ([AUDIO, AUDIO], ["audio+audio"]),
        ([PHOTO, PDF], ["photo", "document"]),
        ([AUDIO, PDF], ["audio", "document"]),
        ([PHOTO, PHOTO, PDF, PHOTO], ["photo+photo", "document", "photo"]),
        ([PHOTO, LARGE, LARGE], ["photo", "document+document"]),
        ([VOICE, VOICE], ["voice", "voice"]),
        ([STICKER, STICKER], ["sticker", "sticker"]),
        ([HALF, HALF], ["video", "video"]),
        ([PHOTO, WORDS, PHOTO], ["photo", "message", "photo"]),
        ([PHOTO, PHOTO, WORDS], ["photo+photo!"]),
        ([PHOTO] * 11 + [WORDS], ["+".join(["photo"] * 10) + "!", "photo"]),
        ([WORDS, PHOTO, PHOTO], ["message", "photo+photo"]),
        ([PHOTO, PHOTO, WORDS, WORDS], ["photo+photo", "message", "message"]),
        ([PHOTO, PHOTO, PDF, WORDS], ["photo+photo", "document", "message"]),
        ([STICKER, STICKER, WORDS], ["sticker", "sticker", "message"]),
        ([PHOTO, PHOTO, Text(text="é" * 1024)], ["photo+photo!"]),
        ([PHOTO, PHOTO, Text(text="é" * 1025)], ["message", "photo+photo"]),
        ([PHOTO, PHOTO, Text(text="a " * 3000)], ["message", "message", "photo+photo"]),
    ],
)
def test_what_goes_together(parts: list[AnyPart], wanted: list[str]) -> None:
    """Files in a row, of kinds that mix, ten at most; order is kept, but for words that are too many for a caption."""
    found = calls(*parts)
    assert [shape(call) for call in found] == wanted
    assert [call.part for call in found] == list(range(len(wanted)))
    assert found == calls(*parts)
    assert all("reply_markup" not in call.json for call in found)
    assert sum(len(call.uploads) for call in found) == sum(isinstance(part, Media) for part in parts)


def test_an_album_names_its_files_and_counts_as_so_many_messages() -> None:
    (call,) = calls(PHOTO, VIDEO, WORDS)
    assert call.json["media"] == [
        {"type": "photo", "media": "attach://file0", "caption": WORDS.text},
        {"type": "video", "media": "attach://file1"},
    ]
    assert [upload.field for upload in call.uploads] == ["file0", "file1"]
    assert (call.messages, calls(PHOTO)[0].messages, calls(WORDS)[0].messages) == (2, 1, 1)


def test_words_that_are_too_many_are_announced() -> None:
    found = compose([PHOTO, PHOTO, Text(text="x" * 1025)], CAPABILITIES)
    assert [(note.code, note.part) for note in found.notes] == [("caption_apart", 2)]
    assert compose([PHOTO, PHOTO, WORDS], CAPABILITIES).notes == ()


# --- answers ------------------------------------------------------------------------------------------------------------


def answer(status: int, body: Any) -> Any:
    return CONNECTOR.read_reply(calls(PHOTO, PHOTO)[0], Reply(status=status, body=json.dumps(body).encode()), SETTINGS)


def test_each_member_has_its_id() -> None:
    members = [{"message_id": number, "chat": {"id": 42}} for number in (7, 8, 9)]
    assert answer(200, {"ok": True, "result": members}) == Sent("42:7", also=("42:8", "42:9"))


@pytest.mark.parametrize("members", [[], [{"message_id": 7, "chat": {"id": 42}}, {"message_id": 0, "chat": {"id": 42}}], [{}], [None]])
def test_an_answer_without_every_id_proves_nothing(members: list[Any]) -> None:
    found = answer(200, {"ok": True, "result": members})
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.UNKNOWN


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("IMAGE_PROCESS_FAILED", FailureKind.INVALID),
        ("Too Many Requests: retry after 8", FailureKind.INVALID),
        ("Forbidden: bot was blocked by the user", FailureKind.OPTED_OUT),
        ("PEER_ID_INVALID", FailureKind.RECIPIENT),
    ],
)
def test_what_may_have_arrived_in_part_is_not_sent_again(said: str, kind: FailureKind) -> None:
    """Telegram names the first file that failed; the others may be there. The agent reads its words."""
    words = f'Bad Request: failed to send message #2 with the error message "{said}"'
    found = answer(400, {"ok": False, "error_code": 400, "description": words})
    assert isinstance(found, Failure)
    assert (found.kind, found.detail) == (kind, words)


# --- over real HTTP -----------------------------------------------------------------------------------------------------


async def test_an_album_arrives_as_one(bench: Bench) -> None:
    user = await bench.phone.user()
    asked = await bench.phone.say(user, text="More pictures?")
    bench.files.update({"med_1": PIXEL, "med_2": b"film"})
    outcomes = await deliver(bench, user, PHOTO, file(MediaKind.VIDEO, "video/mp4", ref="med_2"), WORDS, reply_to=f"{user}:{asked}")
    assert outcomes == [Sent(f"{user}:2", also=(f"{user}:3",))]
    _, photo, video = await bench.phone.messages(user)
    assert photo["media_group_id"] == video["media_group_id"]
    assert [photo["photo"], photo["caption"], video["video"], video.get("caption")] == [True, WORDS.text, True, None]
    assert [one["reply_to_message_id"] for one in (photo, video)] == [asked, asked]
    assert (await bench.client().fetch_media(video["file_id"], 100)).data == b"film"


@pytest.mark.parametrize("one", [AUDIO, PDF])
async def test_documents_and_audio_among_themselves(bench: Bench, one: Media) -> None:
    user = await bench.phone.user()
    bench.files["med_1"] = b"bytes"
    (outcome,) = await deliver(bench, user, one, one, one)
    assert isinstance(outcome, Sent)
    assert len({message["media_group_id"] for message in await bench.phone.messages(user)}) == 1


async def test_one_bad_file_of_an_album(bench: Bench) -> None:
    user = await bench.phone.user()
    bench.files["med_1"] = PIXEL
    await bench.phone.post("faults", kind="file_refused")
    (outcome,) = await deliver(bench, user, PHOTO, PHOTO, PHOTO)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "message #2" in outcome.detail) == (FailureKind.INVALID, True)
    assert len(await bench.phone.ledger()) == 2, "the others are there"


async def test_an_album_counts_as_its_files_at_the_limit() -> None:
    """After six pictures a chat's burst of five is used up, and one is missing."""
    async with telegram_bench(rate_limits=True) as bench:
        user = await bench.phone.user()
        bench.files["med_1"] = PIXEL
        kinds = []
        sendings: list[tuple[AnyPart, ...]] = [(PHOTO, PHOTO), (PHOTO, PHOTO), (PHOTO, PHOTO), (WORDS,)]
        for parts in sendings:
            (outcome,) = await deliver(bench, user, *parts)
            kinds.append(outcome.kind if isinstance(outcome, Failure) else "sent")
    assert kinds == ["sent", "sent", "sent", FailureKind.THROTTLED]


ITEM = {"type": "photo", "media": "AgAC-nothing"}


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (None, 'parameter "media" is required'),
        ([], "there are no messages to send"),
        ("x", "can't parse media"),
        ({}, "there are no messages to send"),
        ([1], "can't parse InputMedia: expected an Array of objects"),
        ([{"type": "sticker", "media": "attach://a"}], "can't parse InputMedia: type \"sticker\" can't be used in sendMediaGroup"),
        ([{"type": "photo", "media": "attach://gone"}], "can't parse InputMedia: media not found"),
        ([ITEM], "wrong file identifier/HTTP URL specified"),
        ([{"type": "photo", "media": "FILE", "caption": "x" * 1025}], "message caption is too long"),
        ([{"type": "photo", "media": "FILE"}] * 11, "too many messages to send as an album"),
        ([{"type": "photo", "media": "FILE"}, {"type": "document", "media": "FILE"}], "document can't be mixed with other media types"),
        ([{"type": "audio", "media": "FILE"}, {"type": "document", "media": "FILE"}], "audio can't be mixed with other media types"),
    ],
)
async def test_the_simulators_refusals(bench: Bench, media: Any, words: str) -> None:
    """In Telegram's own words; nothing of a refused album is sent."""
    user = await bench.phone.user()
    await bench.phone.say(user, document="Ynl0ZXM=", name="a.txt")
    (known,) = await bench.phone.messages(user)
    text = json.dumps(media).replace("FILE", known["file_id"]) if media != "x" else media
    parameters = {"chat_id": user} | ({"media": text} if media is not None else {})
    async with bench.session.post(f"{bench.root}/bot{TOKEN}/sendMediaGroup", json=parameters) as reply:
        assert (reply.status, (await reply.json())["description"]) == (400, f"Bad Request: {words}")
    assert await bench.phone.ledger() == []


async def test_a_single_file_is_no_album(bench: Bench) -> None:
    """As with the real one: it is a message like any other."""
    user = await bench.phone.user()
    await bench.phone.say(user, document="Ynl0ZXM=", name="a.txt")
    (known,) = await bench.phone.messages(user)
    parameters = {"chat_id": user, "media": [{"type": "document", "media": known["file_id"]}]}
    async with bench.session.post(f"{bench.root}/bot{TOKEN}/sendMediaGroup", json=parameters) as reply:
        assert reply.status == 200
    assert "media_group_id" not in (await bench.phone.messages(user))[1]
