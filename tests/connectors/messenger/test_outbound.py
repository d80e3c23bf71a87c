"""What we send to Messenger and Instagram, and what Graph's answers mean: M5-M7, and answers to comments."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import instagram, messenger
from connectors.capabilities import for_public, open_window
from connectors.compose import compose
from connectors.content import AnyPart, Choice, Choices, ContactCard, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Connector, Failure, Outbound, Reply, Sent
from connectors.errors import FailureKind, Inexpressible
from connectors.text import Unit, length
from tests.support.messenger import ACCOUNT, APP_SECRET, PAGE, TOKEN, instagram_settings, messenger_settings

BOTH: dict[str, tuple[Connector[Any], Any]] = {
    "messenger": (messenger.CONNECTOR, messenger_settings()),
    "instagram": (instagram.CONNECTOR, instagram_settings()),
}
PSID = "7200000000000042"
GRAPH = "http://127.0.0.1:9/v26.0"


def calls(*parts: AnyPart, kind: str = "messenger", to: str = PSID, **more: Any) -> list[Call]:
    connector, config = BOTH[kind]
    fields = {"id": "msg_1", "to": to, "window": "standard", **more}
    return list(connector.render(Outbound(parts=parts, **fields), config))


def outcome(reply: Reply, kind: str = "messenger", call: Call | None = None) -> Any:
    connector, config = BOTH[kind]
    return connector.read_reply(call or calls(Text(text="x"), kind=kind)[0], reply, config)


def photo(**more: Any) -> Media:
    return Media(**{"kind": MediaKind.IMAGE, "ref": "med_1", "mime": "image/jpeg", "name": "a.jpg", **more})


# --- private messages ---------------------------------------------------------------------------------------------------


def test_a_text() -> None:
    """M6: to the page's messages; the bucket is the person; Messenger gets our id to repeat it in the echo."""
    (call,) = calls(Text(text="Ciao"))
    assert (call.method, call.url, call.bucket, call.part) == ("POST", f"{GRAPH}/{PAGE}/messages", PSID, 0)
    assert call.json == {
        "recipient": {"id": PSID},
        "messaging_type": "RESPONSE",
        "message": {"text": "Ciao", "metadata": "sportello:msg_1:0"},
    }


def test_a_text_to_instagram() -> None:
    """M6: no metadata; below the linked page if there is one."""
    (call,) = calls(Text(text="Ciao"), kind="instagram")
    assert call.url == f"{GRAPH}/{ACCOUNT}/messages"
    assert call.json == {"recipient": {"id": PSID}, "messaging_type": "RESPONSE", "message": {"text": "Ciao"}}
    message = Outbound(id="msg_1", to=PSID, parts=(Text(text="x"),))
    (linked,) = instagram.CONNECTOR.render(message, instagram_settings(page_id=PAGE))
    assert linked.url == f"{GRAPH}/{PAGE}/messages"


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("unit", ["a", "é", "😀", "👩‍👩‍👧", "e\u0301", "ש", "a b"])
@pytest.mark.parametrize("excess", [-1, 0, 1, 4000])
def test_m6_texts_at_the_limit(kind: str, unit: str, excess: int) -> None:
    """M6, C09: 2000 characters, 1000 bytes; never a torn character, nothing but white space lost."""
    counted, limit = (Unit.UTF16, 2000) if kind == "messenger" else (Unit.BYTES, 1000)
    text = unit * ((limit + excess) // length(unit, counted))
    texts = [call.json["message"]["text"] for call in calls(Text(text=text), kind=kind)]
    assert all(0 < length(piece, counted) <= limit for piece in texts)
    assert "".join("".join(texts).split()) == "".join(text.split())
    assert len(texts) == 1 or length(text, counted) > limit


@given(st.text(min_size=1, max_size=5000), st.sampled_from(sorted(BOTH)))
def test_m6_any_text_fits_or_is_refused(text: str, kind: str) -> None:
    """M6."""
    try:
        found = calls(Text(text=text), kind=kind)
    except Inexpressible:
        assert not text.strip()
        return
    assert [call.part for call in found] == list(range(len(found)))
    assert all(
        len(call.json["message"]["text"].encode("utf-8", "surrogatepass")) <= (1000 if kind == "instagram" else 8000) for call in found
    )


def test_parts_have_their_own_metadata() -> None:
    """C15: each echo says of which part it is; the same message gives the same calls."""
    parts = (photo(), Text(text="word " * 900))
    found = calls(*parts)
    assert [call.json["message"]["metadata"] for call in found] == [f"sportello:msg_1:{index}" for index in range(4)]
    assert calls(*parts) == found


@pytest.mark.parametrize(
    ("kind", "media", "type_"),
    [
        ("messenger", photo(), "image"),
        ("messenger", photo(mime="image/webp"), "file"),
        ("messenger", photo(kind=MediaKind.STICKER, mime="image/png"), "image"),
        ("messenger", photo(kind=MediaKind.VIDEO, mime="video/mp4"), "video"),
        ("messenger", photo(kind=MediaKind.VOICE, mime="audio/mp4"), "audio"),
        ("messenger", photo(kind=MediaKind.AUDIO, mime="audio/flac"), "file"),
        ("messenger", photo(kind=MediaKind.FILE, mime="application/zip"), "file"),
        ("instagram", photo(), "image"),
        ("instagram", photo(kind=MediaKind.FILE, mime="application/pdf"), "file"),
        ("instagram", photo(kind=MediaKind.AUDIO, mime="audio/wav"), "audio"),
    ],
)
def test_m6_files(kind: str, media: Media, type_: str) -> None:
    """M6, C10: one file per message, by kind and type."""
    (call,) = calls(media, kind=kind)
    assert call.json["message"]["attachment"]["type"] == type_
    (upload,) = call.uploads
    assert (upload.field, upload.stored, upload.mime) == ("filedata", "med_1", media.mime)


@pytest.mark.parametrize(
    ("kind", "part", "named"),
    [
        ("instagram", photo(size=8_000_001), "8,000,000"),
        ("instagram", photo(kind=MediaKind.VIDEO, mime="video/mp4", size=25_000_001), "25,000,000"),
        ("instagram", photo(kind=MediaKind.FILE, mime="application/zip"), "application/zip"),
        ("instagram", photo(mime="image/webp"), "image/webp"),
        ("messenger", photo(size=25_000_001), "25,000,000"),
        ("messenger", photo(ref=""), "not stored"),
        ("messenger", Text(text=" \n"), "visible"),
        ("messenger", Template(name="t", language="it"), "template"),
        ("messenger", Choices(text="?", options=(Choice("", "A"),)), "must have 1 to 1000"),
        ("messenger", Choices(text="?", options=(Choice("x" * 1001, "A"),)), "must have 1 to 1000"),
    ],
)
def test_m6_what_cannot_be_carried_is_refused_before_sending(kind: str, part: AnyPart, named: str) -> None:
    """M6, C10: and the words are for the agent."""
    with pytest.raises(Inexpressible, match=named):
        calls(part, kind=kind)


@pytest.mark.parametrize("to", ["", "../me", "1/2", "1?x=1", "é", "comment:../1", "user_ref:a b", "9" * 129])
def test_an_address_that_is_none_leads_no_call_elsewhere(to: str) -> None:
    with pytest.raises(Inexpressible, match="not an id"):
        calls(Text(text="x"), to=to)


@pytest.mark.parametrize("kind", BOTH)
def test_m6_quick_replies(kind: str) -> None:
    """M6: at most 13 with titles of 20; more, or longer, become a numbered list."""
    (call,) = calls(Choices(text="Size?", options=tuple(Choice(f"s:{n}", "x" * 20) for n in range(13))), kind=kind)
    assert call.json["message"]["quick_replies"][12] == {"content_type": "text", "title": "x" * 20, "payload": "s:12"}
    for options in (tuple(Choice(f"s:{n}", "x") for n in range(14)), (Choice("a", "x" * 21),)):
        (call,) = calls(Choices(text="Size?", options=options), kind=kind)
        assert "quick_replies" not in call.json["message"]
        assert call.json["message"]["text"].startswith("Size?\n1) x")


def test_places_and_cards_become_text() -> None:
    """C10."""
    place, card = calls(Location(latitude=1, longitude=2, name="Shop")), calls(ContactCard(name="Ada", phones=("+39",)))
    assert "openstreetmap" in place[0].json["message"]["text"]
    assert card[0].json["message"]["text"] == "Ada\n+39"


def test_m8_a_checkbox_is_answered_by_its_reference() -> None:
    """M8."""
    (call,) = calls(Text(text="Thanks"), to="user_ref:cart-77")
    assert call.json["recipient"] == {"user_ref": "cart-77"}


# --- M5 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("age", "automatic", "window"),
    [
        (0, False, "standard"),
        (86_399, True, "standard"),
        (86_400, False, "human_agent"),
        (86_400, True, None),
        (7 * 86_400 - 1, False, "human_agent"),
        (7 * 86_400, False, None),
        (None, False, None),
    ],
)
def test_m5_windows(kind: str, age: float | None, automatic: bool, window: str | None) -> None:  # noqa: FBT001
    """M5: a day for everything, a week for people, then nothing."""
    found = open_window(BOTH[kind][0].capabilities.windows, age, automatic=automatic)
    assert (found.name if found is not None else None) == window


@pytest.mark.parametrize("kind", BOTH)
def test_m5_the_tag_goes_with_the_window(kind: str) -> None:
    """M5: and the tag is for nothing else."""
    (call,) = calls(Text(text="x"), kind=kind, window="human_agent")
    assert (call.json["messaging_type"], call.json["tag"]) == ("MESSAGE_TAG", "HUMAN_AGENT")
    for window in ("standard", ""):
        (call,) = calls(Text(text="x"), kind=kind, window=window)
        assert call.json["messaging_type"] == "RESPONSE"
        assert "tag" not in call.json
    assert all("choices" not in window.sends for window in BOTH[kind][0].capabilities.windows if window.human_only)


# --- comments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "edge"), [("messenger", "comments"), ("instagram", "replies")])
def test_a_public_answer_stands_below_its_comment(kind: str, edge: str) -> None:
    (call,) = calls(Text(text="€50"), kind=kind, public=True, reply_to="comment:900_1", window="")
    assert (call.url, call.json, call.bucket) == (f"{GRAPH}/900_1/{edge}", {"message": "€50"}, PSID)
    answer = outcome(Reply(status=200, body=b'{"id":"900_9"}'), kind, call)
    assert answer == Sent(provider_id="comment:900_9")


def test_a_public_answer_is_words_below_a_comment() -> None:
    """C10: private threads are refused; choices become text."""
    for reply_to in ("", "m_1"):
        with pytest.raises(Inexpressible, match="needs the comment"):
            calls(Text(text="x"), public=True, reply_to=reply_to)
    (call,) = calls(Choices(text="?", options=(Choice("a", "A"),)), public=True, reply_to="comment:900_1")
    assert call.json == {"message": "?\n1) A"}


def test_a_public_answer_of_a_page_may_show_a_photo_and_one_of_instagram_may_not() -> None:
    (call,) = calls(photo(), Text(text="This one"), public=True, reply_to="comment:900_1")
    assert (call.json, [upload.field for upload in call.uploads]) == ({"message": "This one"}, ["source"])
    with pytest.raises(Inexpressible, match="carries no files here: send them in a private message"):
        calls(photo(), kind="instagram", public=True, reply_to="comment:900_1")


def test_a_visitors_post_is_answered_below_it_or_in_private() -> None:
    (public,) = calls(Text(text="Yes"), public=True, reply_to="comment:post:1_77", window="")
    assert public.url == f"{GRAPH}/1_77/comments"
    (private,) = calls(Text(text="Yes"), reply_to="comment:post:1_77", window="human_agent")
    assert private.json["recipient"] == {"post_id": "1_77"}
    assert private.json["messaging_type"] == "RESPONSE", "without a tag: the post has a time of its own"


@pytest.mark.parametrize("kind", BOTH)
def test_the_plan_of_a_public_answer_goes_by_its_own_limits(kind: str) -> None:
    able = BOTH[kind][0].capabilities
    words = (Text(text="x" * 2100),)
    assert len(compose(words, for_public(able)).messages) == 1 < len(compose(words, able).messages)
    assert for_public(able).windows == ()


@pytest.mark.parametrize("kind", BOTH)
def test_a_private_answer_to_a_comment_goes_to_the_comment(kind: str) -> None:
    """Once, and without a tag: the comment has a time of its own."""
    (call,) = calls(Text(text="Hello"), kind=kind, reply_to="comment:900_1", window="")
    assert call.url.endswith("/messages")
    assert call.json["recipient"] == {"comment_id": "900_1"}
    (call,) = calls(Text(text="Hello"), kind=kind, reply_to="comment:900_1", window="human_agent")
    assert (call.json["messaging_type"], "tag" in call.json) == ("RESPONSE", False)
    (call,) = calls(Text(text="Hello"), kind=kind, to="comment:900_6", window="")
    assert call.json["recipient"] == {"comment_id": "900_6"}


def test_a_private_answer_is_one_message_unless_a_window_is_open() -> None:
    """What would be refused by Meta half-way is refused before anything is sent."""
    long = Text(text="word " * 900)
    with pytest.raises(Inexpressible, match="one message"):
        calls(long, reply_to="comment:900_1", window="")
    with pytest.raises(Inexpressible, match="one message"):
        calls(long, to="comment:900_6", window="")
    found = calls(long, reply_to="comment:900_1", window="standard")
    assert [call.json["recipient"] for call in found] == [{"comment_id": "900_1"}, {"id": PSID}, {"id": PSID}]


# --- M7 -----------------------------------------------------------------------------------------------------------------


def refusal(code: int, subcode: int = 0, *, status: int = 400, **more: Any) -> Reply:
    error = {"message": f"(#{code}) words", "type": "OAuthException", "code": code, "fbtrace_id": "A1", **more}
    if subcode:
        error["error_subcode"] = subcode
    return Reply(status=status, body=json.dumps({"error": error}).encode())


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (refusal(190, status=401), FailureKind.AUTH),
        (refusal(102), FailureKind.AUTH),
        (refusal(10, status=403), FailureKind.AUTH),
        (refusal(200, status=403), FailureKind.AUTH),
        (refusal(200, 2018028), FailureKind.AUTH),
        (refusal(230), FailureKind.AUTH),
        (refusal(10, 2018278), FailureKind.WINDOW),
        (refusal(10, 2018065), FailureKind.WINDOW),
        (refusal(10, 2534022), FailureKind.WINDOW),
        (refusal(10901), FailureKind.WINDOW),
        (refusal(551), FailureKind.RECIPIENT),
        (refusal(551, 1545041), FailureKind.RECIPIENT),
        (refusal(200, 1545041), FailureKind.RECIPIENT),
        (refusal(10, 2018108), FailureKind.RECIPIENT),
        (refusal(100, 2018001), FailureKind.RECIPIENT),
        (refusal(4), FailureKind.THROTTLED),
        (refusal(9), FailureKind.THROTTLED),
        (refusal(17), FailureKind.THROTTLED),
        (refusal(32), FailureKind.THROTTLED),
        (refusal(613), FailureKind.THROTTLED),
        (refusal(613, 1893016), FailureKind.THROTTLED),
        (refusal(80006), FailureKind.THROTTLED),
        (refusal(1), FailureKind.TRANSIENT),
        (refusal(2, status=500), FailureKind.TRANSIENT),
        (refusal(1200, status=500), FailureKind.TRANSIENT),
        (refusal(999_999, is_transient=True), FailureKind.TRANSIENT),
        (refusal(1, 1357046), FailureKind.UNKNOWN),
        (refusal(100), FailureKind.INVALID),
        (refusal(100, 2018292), FailureKind.INVALID),
        (refusal(10900), FailureKind.INVALID),
        (refusal(10902), FailureKind.INVALID),
        (refusal(10903), FailureKind.INVALID),
        (refusal(506), FailureKind.INVALID),
        (refusal(999_999), FailureKind.INVALID),
        (refusal(368), FailureKind.ACCOUNT),
        (Reply(status=0, written=True), FailureKind.UNKNOWN),
        (Reply(status=0, written=False), FailureKind.TRANSIENT),
        (Reply(status=200, body=b"<html>"), FailureKind.UNKNOWN),
        (Reply(status=200, body=b"{}"), FailureKind.UNKNOWN),
        (Reply(status=200, body=b'{"recipient_id":"1"}'), FailureKind.UNKNOWN),
        (Reply(status=200, body=b'{"id":"1"}'), FailureKind.UNKNOWN),
        (Reply(status=502, body=b"<html>"), FailureKind.UNKNOWN),
        (Reply(status=503, body=b""), FailureKind.TRANSIENT),
        (Reply(status=429, body=b""), FailureKind.THROTTLED),
    ],
)
def test_m7_what_answers_mean(kind: str, reply: Reply, meaning: FailureKind) -> None:
    """M7: the code decides. Unknown is whatever may have gone out."""
    found = outcome(reply, kind)
    assert isinstance(found, Failure)
    assert found.kind is meaning


def test_m7_sent_with_an_id_and_only_with_it() -> None:
    """M7, C11."""
    assert outcome(Reply(status=200, body=b'{"recipient_id":"1","message_id":"m_9"}')) == Sent(provider_id="m_9")
    found = outcome(refusal(10, 2018278))
    assert (found.code, found.detail) == ("10/2018278", "(#10) words (trace A1)")


def test_m7_the_token_is_in_no_call_and_no_failure() -> None:
    """M7, C12: it travels in a header that the client adds; Graph quotes what it cannot read."""
    assert TOKEN not in repr(calls(photo(), Text(text="x")))
    found = outcome(refusal(190, message=f"Malformed access token {TOKEN} of {APP_SECRET}"))
    assert TOKEN not in repr(found)
    assert APP_SECRET not in repr(found)
    assert TOKEN not in repr(messenger_settings())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"access_token": ""}, "access_token"),
        ({"app_secret": ""}, "app_secret"),
        ({"verify_token": "short"}, "16 characters"),
        ({"page_id": "shop"}, "page_id must be a number"),
        ({"page_id": ""}, "page_id must be a number"),
        ({"app_id": "x"}, "app_id must be a number"),
        ({"graph_base": "ftp://x"}, "graph_base"),
        ({"standby": "sometimes"}, "standby"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_settings_say_what_is_wrong_with_them(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(Exception, match=named) as error:
        messenger_settings(**changes)
    assert "canary" not in str(error.value)
