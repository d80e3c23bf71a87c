"""What we say, and what Telegram's answers mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.content import AnyPart, Choice, Choices, Chosen, ContactCard, Location, Media, MediaKind, Template, Text, Unsupported
from connectors.contract import Call, Failure, Outbound, Reply, Sent
from connectors.errors import FailureKind, Inexpressible
from connectors.telegram import CONNECTOR, Settings
from connectors.text import Unit, length
from tests.support.settings import settings_of

SETTINGS = settings_of(Settings, {"token": "700000001:canary-TOKEN-9f3a", "mode": "poll"})


def calls(*parts: AnyPart, to: str = "42", reply_to: str = "") -> list[Call]:
    return list(CONNECTOR.render(Outbound(id="msg_1", to=to, parts=parts, reply_to=reply_to), SETTINGS))


def photo(**more: Any) -> Media:
    return Media(**{"kind": MediaKind.IMAGE, "ref": "med_1", "mime": "image/jpeg", "name": "a.jpg", **more})


def test_a_text() -> None:
    """G9: no parse_mode; the bucket is the chat."""
    (call,) = calls(Text(text="*hi* <b>"))
    assert (call.method, call.url, call.json, call.bucket, call.part) == (
        "POST",
        "sendMessage",
        {"chat_id": 42, "text": "*hi* <b>"},
        "42",
        0,
    )


@pytest.mark.parametrize("unit", ["a", "é", "😀", "👩‍👩‍👧", "e\u0301", "ש", "a b"])
@pytest.mark.parametrize("excess", [-1, 0, 1, 9 * 4096])
def test_g9_text_at_the_limit(unit: str, excess: int) -> None:
    """G9, C09: 4096 UTF-16 units, never a torn character, nothing but white space lost."""
    size = length(unit, Unit.UTF16)
    text = unit * ((4096 + excess) // size)
    texts = [call.json["text"] for call in calls(Text(text=text))]
    assert all(0 < length(piece, Unit.UTF16) <= 4096 for piece in texts)
    assert "".join("".join(texts).split()) == "".join(text.split())
    assert len(texts) == 1 or length(text, Unit.UTF16) > 4096
    for piece in texts:
        piece.encode("utf-8")


@given(st.text(min_size=1, max_size=9000))
def test_g9_any_text_fits_or_is_refused(text: str) -> None:
    """G9: refused only if there is nothing to see."""
    try:
        found = calls(Text(text=text))
    except Inexpressible:
        assert not text.strip()
        return
    assert all(0 < length(call.json["text"], Unit.UTF16) <= 4096 for call in found)
    assert [call.part for call in found] == list(range(len(found)))


def test_g9_a_caption_travels_with_its_file() -> None:
    """G9: 1024 UTF-16 units; longer, or with other parts, the text is a message of its own."""
    (call,) = calls(photo(), Text(text="😀" * 512))
    assert (call.url, call.json["caption"]) == ("sendPhoto", "😀" * 512)
    assert [call.url for call in calls(photo(), Text(text="😀" * 512 + "a"))] == ["sendPhoto", "sendMessage"]
    place = Location(latitude=1, longitude=2)
    assert [call.url for call in calls(photo(), place, Text(text="a"))] == ["sendPhoto", "sendLocation", "sendMessage"]
    assert [call.url for call in calls(Text(text="a"), photo())] == ["sendMessage", "sendPhoto"]
    sticker = Media(kind=MediaKind.STICKER, ref="med_1", mime="image/webp")
    assert [call.url for call in calls(sticker, Text(text="a"))] == ["sendSticker", "sendMessage"]


def test_a_resumed_sending_has_the_same_parts() -> None:
    """C15."""
    parts = (photo(), Text(text="word " * 3000), Location(latitude=1, longitude=2))
    assert calls(*parts) == calls(*parts)
    assert [call.part for call in calls(*parts)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("media", "method", "field"),
    [
        (photo(), "sendPhoto", "photo"),
        (photo(size=10_000_000), "sendPhoto", "photo"),
        (photo(size=10_000_001), "sendDocument", "document"),
        (photo(mime="image/svg+xml"), "sendDocument", "document"),
        (photo(mime="IMAGE/PNG; x=y"), "sendPhoto", "photo"),
        (photo(mime=""), "sendDocument", "document"),
        (photo(kind=MediaKind.VIDEO, mime="video/mp4"), "sendVideo", "video"),
        (photo(kind=MediaKind.VIDEO, mime="video/webm"), "sendDocument", "document"),
        (photo(kind=MediaKind.AUDIO, mime="audio/mpeg"), "sendAudio", "audio"),
        (photo(kind=MediaKind.VOICE, mime="audio/ogg"), "sendVoice", "voice"),
        (photo(kind=MediaKind.FILE, mime="image/png"), "sendDocument", "document"),
    ],
)
def test_g10_files(media: Media, method: str, field: str) -> None:
    """G10, C10: the method by kind and type; photos above 10 MB as documents."""
    (call,) = calls(media)
    assert (call.url, call.uploads[0].field, call.uploads[0].stored) == (method, field, "med_1")


def test_choices_are_buttons() -> None:
    """G5."""
    (call,) = calls(Choices(text="Size?", options=(Choice("m", "Medium"), Choice("x" * 64, "Large"))))
    assert call.json["reply_markup"] == {
        "inline_keyboard": [[{"text": "Medium", "callback_data": "m"}], [{"text": "Large", "callback_data": "x" * 64}]]
    }


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (Text(text=" \n\t"), "part 1.*visible"),
        (Choices(text="?", options=(Choice("é" * 33, "A"),)), "part 1.*66 bytes.*1 to 64"),
        (Choices(text="?", options=(Choice("", "A"),)), "0 bytes"),
        (Choices(text="?", options=(Choice("a", " "),)), "no label"),
        (Choices(text="?", options=()), "at least one option"),
        (Choices(text="", options=(Choice("a", "A"),)), "visible"),
        (photo(size=50_000_001), "50,000,001 bytes.*50,000,000"),
        (photo(ref=""), "not stored"),
        (ContactCard(name="", phones=("+39",)), "name and a phone"),
        (ContactCard(name="A", emails=("a@b.example",)), "name and a phone"),
        (Template(name="t", language="it"), "template"),
        (Chosen(id="a"), "chosen"),
        (Unsupported(kind="poll"), "unsupported"),
    ],
)
def test_what_telegram_cannot_carry_is_refused_before_sending(part: AnyPart, named: str) -> None:
    """C10: and the words are for the agent."""
    with pytest.raises(Inexpressible, match=named):
        calls(part)


def test_nothing_to_send_is_refused() -> None:
    with pytest.raises(Inexpressible, match="no parts"):
        calls()


@pytest.mark.parametrize("to", ["", "abc", "1;2", "@shop", "１", "9" * 17, "1@", "1@a/b"])
def test_an_address_is_a_number(to: str) -> None:
    with pytest.raises(Inexpressible, match="is not a Telegram chat"):
        calls(Text(text="x"), to=to)


def test_g12_a_business_chat_keeps_its_connection() -> None:
    """G12: the answer goes out through the owner's account."""
    (call,) = calls(Text(text="x"), to="42@AQAD_-9")
    assert call.json == {"chat_id": 42, "business_connection_id": "AQAD_-9", "text": "x"}
    body = {"ok": True, "result": {"message_id": 5, "chat": {"id": 42}}}
    assert CONNECTOR.read_reply(call, Reply(status=200, body=json.dumps(body).encode()), SETTINGS) == Sent("42@AQAD_-9:5")


@pytest.mark.parametrize(
    ("reply_to", "number"), [("42:17", 17), ("42@AQ:18", 18), ("callback:99", None), ("", None), ("42:x", None), ("42:²", None)]
)
def test_quotes(reply_to: str, number: int | None) -> None:
    """The first call quotes, and goes out even if the quoted message is gone."""
    found = calls(Text(text="a"), Text(text="b"), reply_to=reply_to)
    wanted = {"message_id": number, "allow_sending_without_reply": True} if number else None
    assert [call.json.get("reply_parameters") for call in found] == [wanted, None]


def test_places_and_cards() -> None:
    plain, named, card, full = calls(
        Location(latitude=1.5, longitude=2.5),
        Location(latitude=1.5, longitude=2.5, name="Shop"),
        ContactCard(name="Ada", phones=("+391",)),
        ContactCard(name="Ada;\r\nX", phones=("+391", "+392"), emails=("a@b.example",)),
    )
    assert (plain.url, named.url, named.json["address"]) == ("sendLocation", "sendVenue", "Shop")
    assert (card.url, "vcard" in card.json) == ("sendContact", False)
    assert full.json["vcard"].splitlines()[2:] == ["FN:Ada\\; X", "TEL:+391", "TEL:+392", "EMAIL:a@b.example", "END:VCARD"]


# --- answers (C11) ------------------------------------------------------------------------------------------------------

CALL = Call(method="POST", url="sendMessage", json={"chat_id": 42, "text": "x"})


def refusal(status: int, description: str, **parameters: Any) -> Reply:
    body = {"ok": False, "error_code": status, "description": description}
    return Reply(status=status, body=json.dumps(body | ({"parameters": parameters} if parameters else {})).encode())


def outcome(reply: Reply) -> Any:
    return CONNECTOR.read_reply(CALL, reply, SETTINGS)


def test_c11_only_an_id_is_a_success() -> None:
    body = b'{"ok":true,"result":{"message_id":17,"chat":{"id":7340112233,"type":"private"},"date":1,"text":"x"}}'
    assert outcome(Reply(status=200, body=body)) == Sent("7340112233:17")


K = FailureKind


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=0, written=False), K.TRANSIENT),
        (Reply(status=0, written=True, body=b"timeout"), K.UNKNOWN),
        (Reply(status=200, body=b""), K.UNKNOWN),
        (Reply(status=200, body=b"<html>"), K.UNKNOWN),
        (Reply(status=200, body=b'{"ok":true}'), K.UNKNOWN),
        (Reply(status=200, body=b'{"ok":true,"result":true}'), K.UNKNOWN),
        (Reply(status=200, body=b'{"ok":true,"result":{"message_id":0,"chat":{"id":1}}}'), K.UNKNOWN),
        (Reply(status=200, body=b'{"ok":true,"result":{"message_id":"7","chat":{"id":1}}}'), K.UNKNOWN),
        (Reply(status=200, body=b'{"ok":false}'), K.UNKNOWN),
        (Reply(status=200, body=b"[" * 100_000), K.UNKNOWN),
        (Reply(status=200, body=b"\xff"), K.UNKNOWN),
        (Reply(status=500, body=b'{"ok":true,"result":{"message_id":1,"chat":{"id":1}}}'), K.UNKNOWN),
        (Reply(status=302), K.CONFIG),
        (refusal(400, "Bad Request: message is too long"), K.INVALID),
        (refusal(400, "Bad Request: chat not found"), K.RECIPIENT),
        (refusal(400, "Bad Request: PEER_ID_INVALID"), K.RECIPIENT),
        (refusal(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1001), K.MOVED),
        (refusal(401, "Unauthorized"), K.AUTH),
        (Reply(status=401, body=b""), K.AUTH),
        (refusal(403, "Forbidden: bot was blocked by the user"), K.OPTED_OUT),
        (refusal(403, "Forbidden: user is deactivated"), K.RECIPIENT),
        (refusal(403, "Forbidden: bot can't initiate conversation with a user"), K.RECIPIENT),
        (Reply(status=403, body=b"<html>proxy</html>"), K.AUTH),
        (refusal(404, "Not Found"), K.AUTH),
        (Reply(status=404, body=b""), K.AUTH),
        (refusal(409, "Conflict"), K.INVALID),
        (refusal(413, "Request Entity Too Large"), K.INVALID),
        (refusal(429, "Too Many Requests: retry after 5", retry_after=5), K.THROTTLED),
        (Reply(status=429, body=b"slow down", headers={"retry-after": "7"}), K.THROTTLED),
        (refusal(500, "Internal Server Error"), K.TRANSIENT),
        (refusal(502, "Bad Gateway"), K.TRANSIENT),
        (Reply(status=500, body=b"<html>"), K.UNKNOWN),
        (Reply(status=502, body=b"<html>"), K.UNKNOWN),
        (Reply(status=503, body=b"<html>"), K.TRANSIENT),
        (Reply(status=504, body=b"<html>"), K.UNKNOWN),
    ],
)
def test_c11_outcomes(reply: Reply, kind: FailureKind) -> None:
    """C11, G6, G7, G8."""
    found = outcome(reply)
    assert isinstance(found, Failure)
    assert found.kind is kind


def test_g7_the_new_address() -> None:
    """G7."""
    assert outcome(refusal(400, "x", migrate_to_chat_id=-1001234567890)).moved_to == "-1001234567890"


@pytest.mark.parametrize(("asked", "waits"), [(5, 5.0), (0, 0.0), (-3, 0.0), (10**9, 86_400.0)])
def test_g8_the_wait(asked: int, waits: float) -> None:
    """G8: what Telegram asks for, within a day."""
    assert outcome(refusal(429, "x", retry_after=asked)).retry_after == waits
    assert outcome(Reply(status=429, headers={"retry-after": "7"})).retry_after == 7.0


def test_c12_no_secret_in_the_words() -> None:
    """C12: even if a proxy sent the address back."""
    token = SETTINGS.token.reveal()
    found = outcome(refusal(400, f"no such path /bot{token}/sendMessage"))
    assert token not in repr(found)
    assert token not in repr(calls(Text(text="x")))


@given(status=st.integers(0, 999), body=st.binary(max_size=200))
def test_c11_any_answer_has_an_outcome(status: int, body: bytes) -> None:
    found = outcome(Reply(status=status, body=body))
    assert isinstance(found, Failure)
