"""What Telegram sends, and what we make of it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import (
    AnyEvent,
    ConsentChanged,
    MessageEchoed,
    MessageReceived,
    PayloadIgnored,
    PayloadQuarantined,
    decode_event,
    encode_event,
)
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.payload import ALLOWED_UPDATES
from tests.support.settings import settings_of

PAYLOADS = Path(__file__).parent / "payloads"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".expect"))
SECRET = "canary-s3cret_Token-1"


def make_settings(**changes: Any) -> Settings:
    return settings_of(Settings, {"token": "700000001:canary-TOKEN-9f3a", "secret_token": SECRET, **changes})


def make_request(body: bytes, headers: dict[str, str] | None = None, query: dict[str, str] | None = None) -> Request:
    return Request(
        method="POST",
        url="https://shop.example/webhooks/bot",
        headers=headers or {},
        body=body,
        query=query or {},
        received_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


def read(body: bytes) -> list[AnyEvent]:
    return list(CONNECTOR.parse(make_request(body), make_settings()))


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_bytes())


def one(payload: Any) -> AnyEvent:
    (event,) = read(json.dumps(payload).encode())
    return event


# --- the table ----------------------------------------------------------------------------------------------------------


def test_the_table_is_there() -> None:
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_payload(name: str) -> None:
    """G1-G12: each captured payload gives exactly the events beside it, and they survive the stream's encoding."""
    body = (PAYLOADS / f"{name}.json").read_bytes()
    events = read(body)
    assert [json.loads(encode_event(event)) for event in events] == json.loads((PAYLOADS / f"{name}.expect.json").read_bytes())
    assert events == read(body), "the same input gives the same output"
    assert all(event.raw == body for event in events)
    for event in events:
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_change_nothing(name: str) -> None:
    """Telegram adds fields without notice, at every level."""

    def with_extra(value: Any) -> Any:
        if isinstance(value, list):
            return [with_extra(item) for item in value]
        if isinstance(value, dict):
            return {**{key: with_extra(item) for key, item in value.items()}, "zz_extra": {"a": [1, None, "x"]}}
        return value

    plain = load(name)
    extra = with_extra(plain)
    if name in {"update-empty", "message-without-content", "edit-without-content"}:
        return  # here an unknown field is the content
    assert [msgspec.structs.replace(event, raw=b"") for event in read(json.dumps(extra).encode())] == [
        msgspec.structs.replace(event, raw=b"") for event in read(json.dumps(plain).encode())
    ]


def test_keys_are_never_empty_and_differ_between_updates() -> None:
    """G3: unique per channel; an edit has another key than its message."""
    keys = [event.key for name in NAMES for event in read((PAYLOADS / f"{name}.json").read_bytes())]
    assert all(0 < len(key) <= 512 for key in keys)
    assert len(set(keys)) == len(keys)


# --- G lines that the table alone does not show -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query", "right"),
    [
        ({"x-telegram-bot-api-secret-token": SECRET}, {}, True),
        ({}, {}, False),
        ({"x-telegram-bot-api-secret-token": ""}, {}, False),
        ({"x-telegram-bot-api-secret-token": SECRET[:-1]}, {}, False),
        ({"x-telegram-bot-api-secret-token": SECRET.upper()}, {}, False),
        ({"x-telegram-bot-api-secret-token": f"{SECRET}, {SECRET}"}, {}, False),
        ({"x-telegram-bot-api-secret-token": "é" * 14}, {}, False),
        ({"x-telegram-bot-api-secret-token": "\udce9"}, {}, False),
        ({"x-telegram-bot-api-secret-token": "x" * 10_000}, {}, False),
        ({}, {"secret_token": SECRET, "x-telegram-bot-api-secret-token": SECRET}, False),
    ],
)
def test_g1_only_the_header_with_the_secret_is_right(headers: dict[str, str], query: dict[str, str], right: bool) -> None:  # noqa: FBT001
    """G1, B1, B2, B9."""
    assert CONNECTOR.verify(make_request(b"{}", headers, query), make_settings()) is right


def test_g1_without_a_configured_secret_nobody_is_right() -> None:
    """G1: and such settings are refused to begin with."""
    settings = make_settings()
    msgspec.structs.force_setattr(settings, "secret_token", type(settings.secret_token)(""))
    for value in ("", SECRET, "None", "********"):
        assert not CONNECTOR.verify(make_request(b"{}", {"x-telegram-bot-api-secret-token": value}), settings)


def test_g1_both_secrets_are_right_during_rotation() -> None:
    """G1, B3: and another channel's is not."""
    settings = make_settings(secret_token="new", previous_secret_token="old")
    for value, right in (("new", True), ("old", True), (SECRET, False)):
        assert CONNECTOR.verify(make_request(b"{}", {"x-telegram-bot-api-secret-token": value}), settings) is right


def test_g2_allowed_updates_are_explicit_and_valid() -> None:
    """G2: exactly these, and each has a reader."""
    assert set(ALLOWED_UPDATES) == {
        "message",
        "edited_message",
        "callback_query",
        "my_chat_member",
        "message_reaction",
        "business_connection",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
    }


def test_g3_restarted_numbers_do_not_swallow_messages() -> None:
    """G3: after a quiet week Telegram restarts update ids at random; the same id with another message is no redelivery."""
    first, second = load("text"), load("text")
    second["message"]["message_id"] += 1
    assert first["update_id"] == second["update_id"]
    assert one(first).key == one(load("text")).key
    assert one(first).key != one(second).key


def test_g3_message_ids_of_two_chats_differ() -> None:
    """G3: numbers are unique per chat only."""
    first, second = load("text"), load("text")
    second["message"]["chat"]["id"] = second["message"]["from"]["id"] = 12
    events = one(first), one(second)
    assert isinstance(events[0], MessageReceived)
    assert isinstance(events[1], MessageReceived)
    assert events[0].message_id != events[1].message_id


def test_g4_album_items_share_their_group() -> None:
    """G4."""
    events = [one(load(f"album-{which}")) for which in ("first-item-with-caption", "second-item-without-caption")]
    assert {event.group for event in events if isinstance(event, MessageReceived)} == {"13812345678901234"}


def test_g4_live_location_edits_do_not_flood() -> None:
    """G4."""
    assert isinstance(one(load("location-live-moved")), PayloadIgnored)


def test_g5_a_press_without_message_can_be_answered() -> None:
    """G5: to the person, as there is no chat."""
    event = one(load("callback-without-message"))
    assert isinstance(event, MessageReceived)
    assert event.thread == event.sender.identity.value


def test_g6_block_and_unblock() -> None:
    """G6."""
    found = [one(load(name)) for name in ("blocked", "unblocked")]
    assert [event.opted_in for event in found if isinstance(event, ConsentChanged)] == [False, True]


def test_g11_a_card_is_a_proof_only_if_it_is_ones_own_and_not_forwarded() -> None:
    """G11."""
    for name, proved in (("contact-own", True), ("contact-of-somebody-else", False), ("contact-own-but-forwarded", False)):
        event = one(load(name))
        assert isinstance(event, MessageReceived)
        assert bool(event.sender.aliases) is proved, name


def test_g12_the_owners_words_are_an_echo_to_the_shopper() -> None:
    """G12: never an inbound message, or we would answer ourselves."""
    event = one(load("business-message-by-owner"))
    assert isinstance(event, MessageEchoed)
    assert event.sender.identity.value == "7340112233"


def test_content_beside_text_wins_no_argument() -> None:
    """A message of unknown content with a caption keeps the caption."""
    payload = load("content-from-the-future")
    payload["message"]["caption"] = "look"
    event = one(payload)
    assert isinstance(event, MessageReceived)
    assert [type(part).__name__ for part in event.parts] == ["Text"]


# --- hostile input -----------------------------------------------------------------------------------------------------------

VALID = (PAYLOADS / "text.json").read_bytes()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{'update_id': 1}",
        VALID[:-3],
        VALID + b"x",
        VALID + VALID,
        b"\xef\xbb\xbf" + VALID,
        VALID.decode().encode("utf-16"),
        b'{"update_id": NaN}',
        b'{"update_id": 1e400}',
        b'{"update_id": ' + b"9" * 5000 + b"}",
        b'{"update_id": 9007199254740993}',
        b'{"update_id": true}',
        b'{"update_id": "1"}',
        VALID.replace(b"Buongiorno", b"\xff"),
        VALID.replace(b"Buongiorno", b"\xed\xa0\x80"),
        VALID.replace(b"Buongiorno", b"\\ud800"),
        VALID.replace(b"Buongiorno", b"\\udc00\\ud800"),
    ],
)
def test_unreadable_is_a_bad_payload(body: bytes) -> None:
    """B11, B14, B16."""
    with pytest.raises(BadPayload, match="not an update"):
        read(body)


@pytest.mark.parametrize("wrong", [{"$gt": ""}, ["x"], 5, None, True])
def test_type_confusion_is_named_by_its_path(wrong: Any) -> None:
    """B17."""
    payload = load("text")
    payload["message"]["text"] = wrong
    with pytest.raises(BadPayload, match=r"\$\.message\.text"):
        one(payload)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"update_id":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
@pytest.mark.parametrize("nul", [b"", b"\\u0000"])
def test_deep_nesting_is_refused_at_once(body: bytes, nul: bytes) -> None:
    """B12: < 50 ms, no RecursionError; the best of three, as the machine may be busy."""
    best = 1.0
    for _ in range(3):
        began = time.thread_time()
        with pytest.raises(BadPayload):
            read(body + nul)
        best = min(best, time.thread_time() - began)
    assert best < 0.05


def test_deep_nesting_in_an_unknown_field_of_a_message_without_content() -> None:
    """B12, by the second look at the field names."""
    body = (
        b'{"update_id":1,"message":{"message_id":1,"chat":{"id":1},"from":{"id":1},"date":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    )
    with pytest.raises(BadPayload):
        read(body)


def test_nul_is_replaced_everywhere() -> None:
    """B15: in names, ids of buttons and field names too."""
    body = (PAYLOADS / "callback.json").read_text()
    body = body.replace('"yes"', '"ye\\u0000s"').replace("Giulia", "Giu\\u0000lia")
    (event,) = read(body.encode())
    assert b"\\u0000" not in encode_event(event)
    assert "ye\ufffds" in encode_event(event).decode()
    (unknown,) = read(b'{"update_id":1,"message":{"message_id":1,"chat":{"id":1},"from":{"id":1},"date":1,"x\\u0000y":1}}')
    assert "x\ufffdy" in encode_event(unknown).decode()


def check_total(body: bytes) -> None:
    try:
        events = read(body)
    except BadPayload:
        return
    assert events
    for event in events:
        assert event.key
        assert not isinstance(event, PayloadQuarantined)
        assert encode_event(event)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_events_or_bad_payload(body: bytes) -> None:
    """C03."""
    check_total(body)


@pytest.mark.parametrize("name", ["callback", "business-message-by-owner", "photo-sizes-out-of-order-with-caption", "contact-own"])
def test_every_changed_byte_gives_events_or_bad_payload(name: str) -> None:
    """C03, B6: one byte at a time."""
    body = json.dumps(load(name)).encode()
    for index in range(len(body)):
        for byte in (0x00, 0x22, 0x2D, 0x39, 0x5C, 0x7B, 0xFF):
            check_total(body[:index] + bytes([byte]) + body[index + 1 :])
        check_total(body[:index])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(NAMES), data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_value_in_any_place_gives_events_or_bad_payload(name: str, data: st.DataObject) -> None:
    """C03, B17: structure-aware."""
    payload = load(name)
    place = payload
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            place = inner
            continue
        place[key] = data.draw(json_values)
        break
    check_total(json.dumps(payload).encode())


def test_ten_megabytes_are_read_quickly() -> None:
    """C03."""
    payload = load("text")
    payload["message"]["entities"] = [{"offset": 0, "length": 1, "type": "bold"}] * 200_000
    body = json.dumps(payload).encode()
    began = time.thread_time()
    assert len(read(body)) == 1
    assert time.thread_time() - began < 1.0
