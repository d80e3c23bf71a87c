"""What Meta posts about a page, and what we make of it: M1-M5, M8, and comments."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.content import Location, Media, MediaKind, Referral, Text
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import (
    AnyEvent,
    ChatStarted,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    PayloadQuarantined,
    Status,
    StatusReported,
    WatermarkReported,
    decode_event,
    encode_event,
)
from connectors.identity import Evidence, Identity
from connectors.messenger import CONNECTOR, Settings
from tests.support.messenger import APP_SECRET, PAGE, VERIFY, make_request, messenger_settings, places, signed, with_extra, with_value

PAYLOADS = Path(__file__).parent / "payloads"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".expect"))
OTHER_PAGE = "104000000000777"
PSID = "7200000000000042"


def read(body: bytes, config: Settings | None = None) -> list[AnyEvent]:
    return list(CONNECTOR.parse(make_request(body), config or messenger_settings()))


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_bytes())


def read_all(payload: Any) -> list[AnyEvent]:
    return read(json.dumps(payload).encode())


def one(name: str) -> AnyEvent:
    (event,) = read_all(load(name))
    return event


def received(name: str) -> MessageReceived:
    event = one(name)
    assert isinstance(event, MessageReceived)
    return event


def element(**content: Any) -> dict[str, Any]:
    return {"sender": {"id": PSID}, "recipient": {"id": PAGE}, "timestamp": 1790000000001, **content}


def envelope(*elements: Any) -> bytes:
    return json.dumps({"object": "page", "entry": [{"id": PAGE, "time": 1, "messaging": list(elements)}]}).encode()


# --- the table ----------------------------------------------------------------------------------------------------------


def test_the_table_is_there() -> None:
    assert len(NAMES) >= 90


@pytest.mark.parametrize("name", NAMES)
def test_payload(name: str) -> None:
    """M1-M4, M8: each payload gives exactly the events beside it, and they survive the stream's encoding."""
    body = (PAYLOADS / f"{name}.json").read_bytes()
    events = read(body)
    assert [json.loads(encode_event(event)) for event in events] == json.loads((PAYLOADS / f"{name}.expect.json").read_bytes())
    assert events == read(body), "the same input gives the same output"
    for event in events:
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")


@pytest.mark.parametrize("name", NAMES)
def test_each_event_can_be_parsed_again_from_its_own_fragment(name: str) -> None:
    """M1: ``raw`` is a whole webhook with just this element, also of one that could not be read."""
    for event in read((PAYLOADS / f"{name}.json").read_bytes()):
        again = read(event.raw)
        assert event.key in {other.key for other in again}
        plain = [msgspec.structs.replace(other, raw=b"") for other in again]
        assert msgspec.structs.replace(event, raw=b"") in plain


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_change_nothing(name: str) -> None:
    """Meta adds fields without notice, at every level. What is not used at all is known by its bytes alone."""
    found = [read_all(document) for document in (load(name), with_extra(load(name)))]
    nothing = (PayloadIgnored, PayloadQuarantined)
    plain, extra = (
        [type(event) if isinstance(event, nothing) else msgspec.structs.replace(event, raw=b"") for event in one] for one in found
    )
    assert plain == extra


def test_keys_are_never_empty_and_differ() -> None:
    keys = [event.key for name in NAMES for event in read((PAYLOADS / f"{name}.json").read_bytes())]
    assert all(0 < len(key) <= 512 for key in keys)
    assert len(set(keys)) == len(keys)


# --- M1 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        (signed(b'{"a":"\\u00e9"}'), True),
        (signed(b'{"a":"\xc3\xa9"}'), False),
        (signed(b'{"a":"\\u00e9"}', "canary-another-secret"), False),
        (signed(b'{"a":"\\u00e9"}', ""), False),
        ({"x-hub-signature": "sha1=00"}, False),
        ({"x-hub-signature-256": ""}, False),
        ({"x-hub-signature-256": "sha256="}, False),
        ({"x-hub-signature-256": "sha256=é"}, False),
        ({}, False),
    ],
)
def test_m1_the_raw_bytes_are_signed_with_the_apps_secret(headers: dict[str, str], right: bool) -> None:  # noqa: FBT001
    """M1: Meta escapes non-ASCII, so only the very bytes will do."""
    assert CONNECTOR.verify(make_request(b'{"a":"\\u00e9"}', headers), messenger_settings()) is right


def test_m1_the_former_secret_is_right_while_it_is_reset() -> None:
    """M1."""
    config = messenger_settings(app_secret="canary-the-new-secret", previous_app_secret=APP_SECRET)
    assert CONNECTOR.verify(make_request(b"{}", signed(b"{}")), config)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({"hub.mode": "subscribe", "hub.verify_token": VERIFY, "hub.challenge": "1158201444"}, b"1158201444"),
        ({"hub.mode": "subscribe", "hub.verify_token": VERIFY[:-1], "hub.challenge": "1158201444"}, None),
        ({"hub.mode": "unsubscribe", "hub.verify_token": VERIFY, "hub.challenge": "1"}, None),
        ({"hub.mode": "subscribe", "hub.challenge": "1"}, None),
        ({}, None),
    ],
)
def test_m1_the_handshake(query: dict[str, str], answer: bytes | None) -> None:
    """M1, as W1."""
    assert CONNECTOR.handshake(make_request(b"", method="GET", query=query), messenger_settings()) == answer


def test_m1_a_thousand_elements_of_which_one_is_broken() -> None:
    """M1: 999 live, one is set aside, and it is quick."""
    elements = [element(message={"mid": f"m_{number}", "text": "x"}) for number in range(1000)]
    elements[500]["message"]["mid"] = 500
    began = time.perf_counter()
    events = read(envelope(*elements))
    assert time.perf_counter() - began < 0.5
    assert sum(isinstance(event, MessageReceived) for event in events) == 999
    (broken,) = [event for event in events if isinstance(event, PayloadQuarantined)]
    assert "mid" in broken.why
    assert b'"mid":500' in broken.raw.replace(b" ", b"")
    assert len(broken.raw) < 400, "and nothing of the others is kept with it"


def test_m1_a_thousand_entries_of_which_one_is_broken() -> None:
    """M1: entries as well as elements."""
    entries = [{"id": PAGE, "time": 1, "messaging": [element(message={"mid": f"m_{number}", "text": "x"})]} for number in range(1000)]
    entries[7] = {"id": 5, "messaging": "?"}
    events = read(json.dumps({"object": "page", "entry": entries}).encode())
    assert [type(event) for event in events].count(MessageReceived) == 999
    assert isinstance(events[7], PayloadQuarantined)


def test_m1_events_say_whose_they_are() -> None:
    """M1: one webhook for several pages."""
    assert {event.account for event in read_all(load("batch-of-two-pages"))} == {PAGE, OTHER_PAGE}
    assert CONNECTOR.account(messenger_settings()) == PAGE
    assert CONNECTOR.account(messenger_settings(page_id=OTHER_PAGE)) == OTHER_PAGE
    event = received("page-of-somebody-else")
    assert (event.account, event.sender.identity) == (OTHER_PAGE, Identity("messenger", OTHER_PAGE, PSID))


def test_m1_an_element_whose_recipient_is_not_the_page_is_skipped() -> None:
    """M1."""
    assert isinstance(one("message-between-others"), PayloadIgnored)


def test_m1_standby_is_the_other_apps() -> None:
    """M1: ignored but kept; receipts and our own echoes count, and the operator may want it all."""
    assert isinstance(one("standby-message"), PayloadIgnored)
    assert isinstance(one("standby-echo-of-the-other-app"), PayloadIgnored)
    assert isinstance(one("standby-echo-of-ours"), MessageEchoed)
    assert isinstance(one("standby-read"), WatermarkReported)
    config = messenger_settings(standby="receive")
    found = [read((PAYLOADS / f"standby-{name}.json").read_bytes(), config)[0] for name in ("message", "echo-of-the-other-app")]
    assert [type(event) for event in found] == [MessageReceived, MessageEchoed]


# --- M2 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("echo-")])
def test_m2_what_the_page_wrote_is_never_a_shoppers_message(name: str) -> None:
    """M2: also with an image, also without its flag; the shopper is the one it went to."""
    event = one(name)
    assert not isinstance(event, MessageReceived)
    if isinstance(event, MessageEchoed):
        assert event.sender.identity.value == PSID


def test_m2_our_own_sending_is_known_by_its_metadata() -> None:
    """M2: and another app's metadata is not ours."""
    found = [one(f"echo-of-{name}") for name in ("ours", "the-page-inbox", "another-app-with-image")]
    assert [event.ours for event in found if isinstance(event, MessageEchoed)] == ["msg_0123", "", ""]


# --- M3 -----------------------------------------------------------------------------------------------------------------


def test_m3_receipts_by_id_and_by_watermark() -> None:
    """M3: all earlier ones are delivered where the ids are missing."""
    found = read_all(load("delivered-with-mids"))
    assert [(event.message_id, event.status) for event in found if isinstance(event, StatusReported)] == [
        ("m_o1", Status.DELIVERED),
        ("m_o2", Status.DELIVERED),
    ]
    for name, status in (("delivered-with-watermark-only", Status.DELIVERED), ("read", Status.READ)):
        event = one(name)
        assert isinstance(event, WatermarkReported)
        assert (event.status, event.sender.identity.value, event.up_to.year) == (status, PSID, 2026)


@pytest.mark.parametrize("value", [1790000000, "1790000000", 1790000000000, "1790000000000", 1790000000.0])
def test_m3_times_in_seconds_and_in_milliseconds(value: Any) -> None:
    """M3: as numbers and as strings."""
    (event,) = read(envelope({**element(message={"mid": "m_1", "text": "x"}), "timestamp": value}))
    assert event.at == datetime.fromtimestamp(1790000000, UTC)


@pytest.mark.parametrize("value", [None, 0, -1, "", "soon", 1e300, 2**62, "9" * 40])
def test_m3_a_time_of_nonsense_loses_no_message(value: Any) -> None:
    """M3."""
    (event,) = read(envelope({**element(message={"mid": "m_1", "text": "x"}), "timestamp": value}))
    assert isinstance(event, MessageReceived)
    assert event.at is None


# --- M4 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("image", [MediaKind.IMAGE]),
        ("images-two-with-text", [MediaKind.IMAGE, MediaKind.IMAGE]),
        ("video", [MediaKind.VIDEO]),
        ("audio", [MediaKind.AUDIO]),
        ("file-with-name-in-its-address", [MediaKind.FILE]),
        ("reel", [MediaKind.VIDEO]),
        ("sticker-of-the-old-kind", [MediaKind.STICKER]),
        ("sticker-of-the-new-kind", [MediaKind.STICKER]),
        ("sticker-of-both-kinds-at-once", [MediaKind.STICKER]),
    ],
)
def test_m4_files_are_references_to_be_copied(name: str, kinds: list[MediaKind]) -> None:
    """M4: links expire, so they are fetched at once; they hold no credential of ours. A sticker that comes twice is one."""
    media = [part for part in received(name).parts if isinstance(part, Media)]
    assert [part.kind for part in media] == kinds
    assert all(part.ref.startswith("https://") for part in media)


def test_m4_unsent_edited_and_the_rest() -> None:
    """M4."""
    deleted, edited = one("deleted"), one("edited")
    assert isinstance(deleted, MessageDeleted)
    assert deleted.message_id == "m_a1"
    assert isinstance(edited, MessageEdited)
    assert edited.parts == (Text(text="Is the red one in stock?"),)
    (place,) = received("location").parts
    assert isinstance(place, Location)
    assert received("text-that-answers-a-message").reply_to == "m_ours1"


def test_m4_two_edits_are_two_and_a_redelivery_is_one() -> None:
    """M4, C05."""
    first, second = load("edited"), load("edited")
    second["entry"][0]["messaging"][0]["message_edit"]["num_edit"] = "3"
    keys = [event.key for document in (first, second, load("edited")) for event in read_all(document)]
    assert keys[0] == keys[2] != keys[1]


def test_m4_a_reaction_given_taken_back_and_given_again_is_three() -> None:
    """M4, C05."""
    document = load("reaction")
    keys = []
    for at in (1, 2, 1):
        document["entry"][0]["messaging"][0]["timestamp"] = 1790000000000 + at
        keys.append(read_all(document)[0].key)
    assert keys[0] == keys[2] != keys[1]


def test_m4_what_led_here() -> None:
    """M4: the advertisement with its words, a product, a link; a click alone opens a chat and asks for nothing."""
    ad = received("text-from-an-advertisement").parts[0]
    assert isinstance(ad, Referral)
    assert (ad.source, ad.id, ad.headline) == ("ad", "6045", "Spring shoes")
    started = [one(name) for name in ("get-started-by-a-link", "referral-by-a-link", "referral-by-an-advertisement", "optin-by-a-checkbox")]
    assert [event.payload for event in started if isinstance(event, ChatStarted)] == ["qr-window", "newsletter", "6045", "cart"]


def test_m4_get_started_is_what_the_operator_says() -> None:
    """M4: another payload is a choice like any other."""
    body = (PAYLOADS / "get-started.json").read_bytes()
    assert isinstance(read(body)[0], ChatStarted)
    assert isinstance(read(body, messenger_settings(get_started="begin"))[0], MessageReceived)


# --- M8 -----------------------------------------------------------------------------------------------------------------


def test_m8_ids_are_scoped_to_the_page() -> None:
    """M8: the same number at another page is somebody else."""
    assert received("text").sender.identity == Identity("messenger", PAGE, PSID)
    assert received("text-with-number-as-sender").sender.identity == received("text").sender.identity


def test_m8_a_checkbox_is_an_address_until_they_write() -> None:
    """M8: then both are one person."""
    event = one("optin-by-a-checkbox")
    assert isinstance(event, ChatStarted)
    assert event.thread == "user_ref:cart-77"
    assert received("text-after-a-checkbox").sender.aliases == ((event.sender.identity, Evidence.PROVIDER),)


# --- comments -----------------------------------------------------------------------------------------------------------


def test_a_comment_is_a_public_message_of_the_same_person() -> None:
    """Comments: the same identity and thread as their private messages, so the same history."""
    comment, private = received("comment"), received("text")
    assert (comment.public, private.public) == (True, False)
    assert (comment.sender.identity, comment.thread) == (private.sender.identity, private.thread)
    assert comment.message_id == "comment:900_1"
    post, words = comment.parts
    assert isinstance(post, Referral)
    assert (post.source, post.id, post.url) == ("post", f"{PAGE}_900", "https://www.facebook.com/shop/posts/900")
    assert words == Text(text="How much is it?")
    assert received("comment-that-answers-a-comment").reply_to == "comment:900_1"
    assert comment.reply_to == ""


def test_a_comment_changed_and_removed() -> None:
    """Comments."""
    edited, removed = one("comment-edited"), one("comment-removed")
    assert isinstance(edited, MessageEdited)
    assert isinstance(removed, MessageDeleted)
    assert edited.message_id == removed.message_id == "comment:900_1"


@pytest.mark.parametrize("name", ["comment-of-ours", "comment-of-ours-edited"])
def test_our_own_comment_is_never_a_shoppers(name: str) -> None:
    """Comments, C18: each public answer of ours comes back as a webhook."""
    assert isinstance(one(name), PayloadIgnored)


def test_a_commenter_without_id_is_reached_by_the_comment() -> None:
    """Comments: without the permission, Meta does not say who wrote."""
    event = received("comment-without-author")
    assert event.thread == event.sender.identity.value == event.message_id == "comment:900_6"


# --- hostile input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"object":"page"}', b'{"object":"page","entry":[]}', b'{"object":"user","entry":[{"id":"1"}]}',
     b'{"object":"instagram","entry":[{"id":"1"}]}', b"\xff\xfe", b"[" * 100_000, b'{"object":"page","entry":' + b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_webhook_is_refused(body: bytes) -> None:
    with pytest.raises(BadPayload):
        read(body)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_anywhere_gives_events_or_bad_payload(data: st.DataObject) -> None:
    """C03: and never an event that cannot be stored."""
    document = load(data.draw(st.sampled_from(NAMES)))
    path = data.draw(st.sampled_from(places(document)))
    wrong: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, 5, -1, 2**63, 2**80, 1e308, "", "x", "\0", [], {}, [[]], ["x"], "9" * 700, "é" * 600]
    )
    body = json.dumps(with_value(document, path, data.draw(wrong))).encode()
    try:
        events = read(body)
    except BadPayload:
        return
    assert events
    for event in events:
        assert 0 < len(event.key) <= 512
        assert b"\\u0000" not in encode_event(event)
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")


@given(st.binary(max_size=200))
def test_any_bytes_give_events_or_bad_payload(body: bytes) -> None:
    """C03."""
    try:
        assert read(body)
    except BadPayload:
        return


def test_a_request_for_a_bare_signature_is_not_needed_to_parse() -> None:
    """A kept payload is parsed again years later, without its headers."""
    request: Request = make_request((PAYLOADS / "text.json").read_bytes())
    assert CONNECTOR.parse(request, messenger_settings(app_secret="canary-of-another-year"))
