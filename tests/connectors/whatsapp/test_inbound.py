"""What Meta sends, and what we make of it."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.content import Chosen, ContactCard, Media, MediaKind, Order, Referral, Text, Unsupported
from connectors.contract import Request
from connectors.errors import BadPayload, FailureKind
from connectors.event import (
    AccountReported,
    AddressMoved,
    AnyEvent,
    ChatStarted,
    ConsentChanged,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    PayloadQuarantined,
    ReactionChanged,
    Status,
    StatusReported,
    decode_event,
    encode_event,
)
from connectors.identity import Evidence, Identity
from connectors.meta.simulator import escaped
from connectors.whatsapp import CONNECTOR
from connectors.whatsapp.people import is_phone, is_user_id
from tests.support.graph import NUMBER, WABA, make_settings

PAYLOADS = Path(__file__).parent / "payloads"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".expect"))
SETTINGS = make_settings()
PHONE, USER_ID = "393510000001", "IT.13491208655302741918"


def read(body: bytes) -> list[AnyEvent]:
    url = "https://shop.example.org/webhooks/wa"
    request = Request(method="POST", url=url, headers={}, body=body, received_at=datetime(2026, 11, 21, tzinfo=UTC))
    return list(CONNECTOR.parse(request, SETTINGS))


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_bytes())


def one(name: str) -> AnyEvent:
    (event,) = read((PAYLOADS / f"{name}.json").read_bytes())
    return event


def said(name: str) -> MessageReceived:
    event = one(name)
    assert isinstance(event, MessageReceived)
    return event


# --- the table ----------------------------------------------------------------------------------------------------------


def test_the_table_is_there() -> None:
    assert len(NAMES) >= 100


@pytest.mark.parametrize("name", NAMES)
def test_payload(name: str) -> None:
    """W2-W14: each payload gives exactly the events beside it, and they survive the stream's encoding."""
    body = (PAYLOADS / f"{name}.json").read_bytes()
    events = read(body)
    assert [json.loads(encode_event(event)) for event in events] == json.loads((PAYLOADS / f"{name}.expect.json").read_bytes())
    assert events == read(body), "the same input gives the same output"
    for event in events:
        assert event.raw
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")


def test_keys_differ_between_payloads() -> None:
    keys = [event.key for name in NAMES for event in read((PAYLOADS / f"{name}.json").read_bytes())]
    assert all(0 < len(key) <= 512 for key in keys)
    assert len(set(keys)) == len(keys)


# --- W2: batches -----------------------------------------------------------------------------------------------------------


def entry(number: int, value: Any = None) -> dict[str, Any]:
    message = {"from": PHONE, "id": f"wamid.{number}", "timestamp": "1795200000", "type": "text", "text": {"body": f"line {number}"}}
    content = {"messages": [message]} if value is None else value
    metadata = {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
    return {"id": WABA, "changes": [{"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **content}}]}


def test_w2_of_a_thousand_entries_with_one_broken_999_live() -> None:
    entries = [entry(number) for number in range(1000)]
    entries[417]["changes"][0]["value"]["messages"][0]["text"] = {"body": ["broken"]}
    events = read(escaped({"object": "whatsapp_business_account", "entry": entries}))
    assert [type(event) for event in events] == [MessageReceived] * 417 + [PayloadQuarantined] + [MessageReceived] * 582
    broken = events[417]
    assert broken.account == NUMBER
    # What is kept is a whole webhook with just the broken thing: it can be parsed again, and gives the same key until it can be read.
    (again,) = read(broken.raw)
    assert again.key == broken.key
    mended = json.loads(broken.raw)
    mended["entry"][0]["changes"][0]["value"]["messages"][0]["text"] = {"body": "line 417"}
    (event,) = read(json.dumps(mended).encode())
    assert isinstance(event, MessageReceived)
    assert (event.message_id, event.account, event.sender.identity.scope) == ("wamid.417", NUMBER, WABA)


@pytest.mark.parametrize(
    ("where", "broken"),
    [("entry", 17), ("entry", {"id": 5}), ("change", 7), ("change", {"field": "messages"}), ("value", []), ("value", {"messages": 3})],
)
def test_w2_what_is_broken_on_any_level_is_one_quarantined_event(where: str, broken: Any) -> None:
    bad = entry(1)
    if where == "entry":
        bad = broken
    elif where == "change":
        bad["changes"] = [broken]
    else:
        bad["changes"][0]["value"] = broken
    events = read(escaped({"object": "whatsapp_business_account", "entry": [entry(0), bad, entry(2)]}))
    assert [type(event) for event in events] == [MessageReceived, PayloadQuarantined, MessageReceived]
    (again,) = read(events[1].raw)
    assert (again.key, type(again)) == (events[1].key, PayloadQuarantined)


def test_w2_each_event_carries_its_number() -> None:
    events = read((PAYLOADS / "batch-of-two-numbers.json").read_bytes())
    assert [event.account for event in events] == [NUMBER, "106540352242999", NUMBER]
    assert CONNECTOR.account(SETTINGS) == NUMBER


@pytest.mark.parametrize("name", ["field-history", "field-calls", "field-from-the-future", "field-with-a-strange-name", "empty-change"])
def test_w2_other_fields_are_ignored_with_a_reason(name: str) -> None:
    event = one(name)
    assert isinstance(event, PayloadIgnored)
    assert event.why
    assert "script" not in event.why


@pytest.mark.parametrize(
    ("name", "code", "healthy"),
    [
        ("account-restricted", "account_restriction", False),
        ("account-banned", "account_disabled_update", False),
        ("account-reinstated", "account_disabled_update", True),
        ("account-linked", "account_ad_account_linked", True),
        ("account-alert-critical", "alert_oba_rejected", False),
        ("quality-flagged", "quality_flagged", False),
        ("quality-upgraded", "quality_throughput_upgrade", True),
        ("template-rejected", "template_rejected", True),
        ("error-alone", "error_131031", False),
    ],
)
def test_w2_news_of_the_account(name: str, code: str, healthy: bool) -> None:  # noqa: FBT001
    event = one(name)
    assert isinstance(event, AccountReported)
    assert (event.code, event.healthy) == (code, healthy)


def test_w2_the_same_news_at_another_time_is_news() -> None:
    first, second = load("quality-flagged"), load("quality-flagged")
    second["entry"][0]["time"] += 1
    assert read(json.dumps(first).encode())[0].key != read(json.dumps(second).encode())[0].key
    assert read(json.dumps(first).encode())[0].key == read(json.dumps(load("quality-flagged")).encode())[0].key


# --- W5: who -----------------------------------------------------------------------------------------------------------------


def test_w5_phone_and_user_id_are_one_person() -> None:
    event = said("text")
    assert event.sender.identity == Identity("whatsapp", WABA, USER_ID)
    proved = {alias for alias, evidence in event.sender.aliases if evidence is Evidence.PROVIDER}
    assert proved == {Identity("whatsapp", WABA, PHONE), Identity("tel", "", f"+{PHONE}")}
    assert (event.thread, event.sender.name) == (PHONE, "Cleo Bianchi")


@pytest.mark.parametrize("name", ["text-without-phone", "text-user-id-in-from"])
def test_w5_a_phone_is_not_required(name: str) -> None:
    event = said(name)
    assert (event.sender.identity.value, event.thread, event.sender.aliases) == (USER_ID, USER_ID, ())


def test_w5_the_conversation_goes_on_when_the_phone_disappears() -> None:
    names = ("text", "text-without-phone", "text-user-id-only-in-contact")
    assert len({said(name).sender.identity for name in names}) == 1


def test_w5_before_user_ids_the_phone_is_the_identity_and_stays_an_alias() -> None:
    former = said("text-before-user-ids").sender.identity
    assert former == Identity("whatsapp", WABA, PHONE)
    assert former in {alias for alias, _ in said("text").sender.aliases}


def test_w5_whatsapps_own_spelling_of_a_number_is_an_alias() -> None:
    event = said("text-wa-id-differs-from-phone")
    assert Identity("whatsapp", WABA, "552187654321") in {alias for alias, _ in event.sender.aliases}
    assert event.thread == "5521987654321"


def test_w5_the_id_of_a_group_of_businesses_is_nobodys() -> None:
    assert all("ENT" not in alias.value for alias, _ in said("text").sender.aliases)


def test_w5_two_people_in_one_change_keep_their_names() -> None:
    payload = load("text")
    value = payload["entry"][0]["changes"][0]["value"]
    value["contacts"].append({"profile": {"name": "Dan"}, "wa_id": "39999", "user_id": "IT.2"})
    value["messages"].append({"from": "39999", "id": "wamid.2", "timestamp": "1", "type": "text", "text": {"body": "x"}})
    value["messages"].append({"from_user_id": "IT.3", "id": "wamid.3", "timestamp": "1", "type": "text", "text": {"body": "x"}})
    events = [event for event in read(json.dumps(payload).encode()) if isinstance(event, MessageReceived)]
    assert [event.sender.name for event in events] == ["Cleo Bianchi", "Dan", ""]
    assert [event.sender.identity.value for event in events] == [USER_ID, "IT.2", "IT.3"]


def test_w5_who_is_named_nowhere_is_set_aside() -> None:
    assert isinstance(one("message-of-nobody"), PayloadQuarantined)


@pytest.mark.parametrize("text", ["US.1349", "IT.ENT.9", "XX." + "a" * 128])
def test_w5_user_ids(text: str) -> None:
    assert is_user_id(text)
    assert not is_phone(text)


@pytest.mark.parametrize("text", ["", "39351", "us.1349", "USA.1", "US.", "US.1-2", "US.ENT.", "XX." + "a" * 129, "+39351"])
def test_w5_no_user_ids(text: str) -> None:
    assert not is_user_id(text)


def test_w5_a_card_given_on_request_proves_the_phone() -> None:
    """A card that was merely sent proves nothing."""
    own, other = said("contact-of-ones-own"), said("contacts-several")
    assert Identity("tel", "", f"+{PHONE}") in {alias for alias, _ in own.sender.aliases}
    assert [part.own for part in (*own.parts, *other.parts) if isinstance(part, ContactCard)] == [True, False, False]
    assert Identity("tel", "", "+39021234") not in {alias for alias, _ in other.sender.aliases}


@pytest.mark.parametrize("name", ["moved-number", "moved-number-before-user-ids", "moved-number-of-version-11"])
def test_w6_a_new_number_moves_the_thread_and_joins_the_person(name: str) -> None:
    *moves, person = read((PAYLOADS / f"{name}.json").read_bytes())
    assert all(isinstance(move, AddressMoved) and move.new_thread == "393510000077" for move in moves)
    assert PHONE in {move.old_thread for move in moves if isinstance(move, AddressMoved)}
    assert isinstance(person, ChatStarted)
    assert Identity("tel", "", "+393510000077") in {alias for alias, _ in person.sender.aliases}


# --- W6: what ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "mime"),
    [
        ("image", MediaKind.IMAGE, "image/jpeg"),
        ("video-with-caption", MediaKind.VIDEO, "video/mp4"),
        ("audio", MediaKind.AUDIO, "audio/mpeg"),
        ("voice", MediaKind.VOICE, "audio/ogg; codecs=opus"),
        ("voice-of-the-former-api", MediaKind.VOICE, "audio/ogg; codecs=opus"),
        ("document", MediaKind.FILE, "application/pdf"),
        ("sticker", MediaKind.STICKER, "image/webp"),
    ],
)
def test_w6_files_are_references_by_id(name: str, kind: MediaKind, mime: str) -> None:
    """W7: never the link, which lives for minutes."""
    media = said(name).parts[0]
    assert isinstance(media, Media)
    assert (media.kind, media.mime, media.ref) == (kind, mime, "1003383421387256")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("button-reply", Chosen(id="yes", label="Yes, please")),
        ("list-reply", Chosen(id="row7", label="Blue")),
        ("template-button", Chosen(id="STOP_PROMO", label="Stop")),
        ("form-reply", Chosen(id="AQ", label="Sent")),
        ("form-reply-without-a-token", Chosen(id="flow", label="Sent")),
        ("form-reply-with-a-token-that-is-no-text", Chosen(id="flow", label="Sent")),
        ("unsupported", Unsupported(kind="unsupported")),
        ("unsupported-poll", Unsupported(kind="poll")),
        ("type-from-the-future", Unsupported(kind="hologram")),
        ("interactive-without-content", Unsupported(kind="interactive")),
    ],
)
def test_w6_what_was_picked_and_what_cannot_be_shown(name: str, part: Any) -> None:
    assert said(name).parts[0] == part


def test_w6_prices_stay_as_meta_writes_them() -> None:
    body = (PAYLOADS / "order.json").read_bytes().replace(b": 12.5,", b": 12.50,")
    (event,) = read(body)
    assert isinstance(event, MessageReceived)
    order = event.parts[0]
    assert isinstance(order, Order)
    assert [(item.product, item.quantity, item.price) for item in order.items] == [
        ("HAMBURGER", 3, "12.50"),
        ("FRIES", 2, "3.00"),
        ("WATER", 1, ""),
        ("BREAD", 1, "1"),
    ]


def test_w6_what_led_here_follows_the_words() -> None:
    words, lead = said("advertisement").parts
    assert (words, lead) == (
        Text(text="I saw your ad"),
        Referral(source="ad", id="120203", url="https://fb.me/1", headline="Winter shoes", body="20% off"),
    )
    assert said("referred-product").parts[1] == Referral(source="product", id="SHOE-42")


def test_w6_edits_revocations_and_reactions_name_their_message() -> None:
    edited, revoked, reaction = one("edited-text"), one("revoked"), one("reaction")
    assert isinstance(edited, MessageEdited)
    assert isinstance(revoked, MessageDeleted)
    assert isinstance(reaction, ReactionChanged)
    assert (edited.message_id, revoked.message_id, reaction.message_id) == ("wamid.THEIRS1==", "wamid.THEIRS3==", "wamid.OURS7==")
    for name in ("reaction-removed", "reaction-removed-without-field", "reaction-removed-with-null"):
        event = one(name)
        assert isinstance(event, ReactionChanged)
        assert event.emoji == ()


def test_w6_quotes_and_forwards() -> None:
    assert said("reply").reply_to == "wamid.OURS1=="
    assert said("reply-to-something-gone").reply_to == ""
    assert said("forwarded").forwarded_from == said("forwarded-many-times").forwarded_from == "somebody"
    assert said("text").forwarded_from == ""


def test_w6_groups_are_ignored() -> None:
    for name in ("group-message", "echo-in-a-group", "status-in-a-group"):
        assert isinstance(one(name), PayloadIgnored)


# --- W8, W12: statuses and errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("status-sent", Status.SENT),
        ("status-delivered", Status.DELIVERED),
        ("status-read", Status.READ),
        ("status-played", Status.READ),
        ("failed-window", Status.FAILED),
    ],
)
def test_w8_statuses(name: str, status: Status) -> None:
    event = one(name)
    assert isinstance(event, StatusReported)
    assert event.status is status


def test_w8_our_id_comes_back_and_a_strangers_does_not_count() -> None:
    ours, strange = one("status-delivered"), one("status-of-another-app")
    assert isinstance(ours, StatusReported)
    assert isinstance(strange, StatusReported)
    assert (ours.ours, strange.ours) == ("msg_01jd0000000000000000000000", "")


def test_w8_each_status_has_its_own_key() -> None:
    payload = load("status-sent")
    value = payload["entry"][0]["changes"][0]["value"]
    (status,) = value["statuses"]
    value["statuses"] = [status | {"status": name} for name in ("sent", "delivered", "read", "played", "failed")]
    assert len({event.key for event in read(json.dumps(payload).encode())}) == 5


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("failed-window", "131047", FailureKind.WINDOW),
        ("failed-recipient", "131026", FailureKind.RECIPIENT),
        ("failed-opted-out", "131050", FailureKind.OPTED_OUT),
        ("failed-code-from-the-future", "139999", None),
        ("failed-without-reason", "", None),
    ],
)
def test_w12_a_status_says_why_it_failed(name: str, code: str, kind: FailureKind | None) -> None:
    event = one(name)
    assert isinstance(event, StatusReported)
    assert (event.code, event.failure) == (code, kind)


def test_w12_errors_of_messages_and_of_webhooks() -> None:
    assert said("unsupported").parts == (Unsupported(kind="unsupported"),)
    message, trouble = read((PAYLOADS / "error-beside-a-message.json").read_bytes())
    assert isinstance(message, MessageReceived)
    assert isinstance(trouble, AccountReported)
    assert (trouble.code, trouble.healthy) == ("error_131000", True)


# --- W14: the phone app ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("echo-")])
def test_w14_what_the_shop_does_on_its_phone_is_never_a_customers_message(name: str) -> None:
    assert not isinstance(one(name), MessageReceived)


def test_w14_an_echo_goes_to_the_shoppers_conversation() -> None:
    event = one("echo-text")
    assert isinstance(event, MessageEchoed)
    assert (event.sender.identity, event.thread) == (said("text").sender.identity, said("text").thread)


def test_marketing_is_refused_and_wanted_again() -> None:
    events = [one(name) for name in ("preference-stop", "preference-resume")]
    assert [event.opted_in for event in events if isinstance(event, ConsentChanged)] == [False, True]


# --- hostile input ------------------------------------------------------------------------------------------------------------------

VALID = (PAYLOADS / "text.json").read_bytes()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        VALID[:-3],
        VALID + b"x",
        VALID + VALID,
        b"\xef\xbb\xbf" + VALID,
        VALID.decode().encode("utf-16"),
        VALID.replace(b"whatsapp_business_account", b"page"),
        b'{"object":"whatsapp_business_account","entry":[]}',
        b'{"object":"whatsapp_business_account"}',
        b'{"object":"whatsapp_business_account","entry":' + b"[" * 100_000,
    ],
)
def test_unreadable_is_a_bad_payload(body: bytes) -> None:
    with pytest.raises(BadPayload):
        read(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def total(body: bytes) -> None:
    """Events that can be stored, or BadPayload."""
    try:
        events = read(body)
    except BadPayload:
        return
    assert events
    assert len({event.key for event in events}) == len(events)
    for event in events:
        assert 0 < len(event.key) <= 512
        assert b"\\u0000" not in encode_event(event)
        decode_event(encode_event(event))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_any_value_in_any_place_is_survived(name: str, data: st.DataObject) -> None:
    """Somewhere in a real payload stands something else."""
    payload = load(name)
    place: Any = payload
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 4)) == 0:
            place[key] = data.draw(JSON)
            break
        place = inner
    total(json.dumps(payload).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body: bytes) -> None:
    total(body)


def test_cut_and_changed_bytes_are_survived() -> None:
    chance = random.Random(7)
    for name in NAMES:
        body = (PAYLOADS / f"{name}.json").read_bytes()
        for _ in range(5):
            total(body[: chance.randrange(len(body))])
            at = chance.randrange(len(body))
            total(body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :])
