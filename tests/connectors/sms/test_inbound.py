"""What Twilio posts about SMS, and what we make of it."""

import contextlib
import json
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import BadPayload
from connectors.event import AnyEvent, ConsentChanged, MessageReceived, PayloadIgnored, StatusReported, decode_event, encode_event
from connectors.sms import CONNECTOR, Settings
from tests.support.twilio import ACCOUNT, NUMBER, SERVICE, sms_settings, webhook

PAYLOADS = Path(__file__).parent / "payloads"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.form"))
SETTINGS = sms_settings(rcs_agent="rcs:shop_agent")


def read(body: bytes, configured: Settings = SETTINGS) -> list[AnyEvent]:
    return list(CONNECTOR.parse(webhook(body), configured))


def load(name: str) -> bytes:
    return (PAYLOADS / f"{name}.form").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_payload(name: str) -> None:
    """T2, T6-T10, T13: each payload gives exactly the events beside it, and they survive the stream's encoding."""
    body = load(name)
    events = read(body)
    assert [json.loads(encode_event(event)) for event in events] == json.loads((PAYLOADS / f"{name}.expect.json").read_bytes())
    assert events == read(body), "the same input gives the same output"
    assert all(event.raw == body for event in events)
    for event in events:
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")


@pytest.mark.parametrize("name", NAMES)
def test_t2_unknown_parameters_change_nothing(name: str) -> None:
    """T2: "Twilio will occasionally add new parameters without advance notice"."""
    more = urlencode([*parse_qsl(load(name).decode(), keep_blank_values=True), ("ZzNew", "1"), ("Zz[]", ""), ("", "x")]).encode()
    bare = [msgspec.structs.replace(event, raw=b"") for event in read(load(name))]
    assert [msgspec.structs.replace(event, raw=b"") for event in read(more)] == bare


def test_t4_redelivery_and_fallback_give_the_same_key() -> None:
    """T4: whatever the idempotency token is; and each status has a key of its own."""
    first = CONNECTOR.parse(webhook(load("text"), i_twilio_idempotency_token="one"), SETTINGS)
    again = CONNECTOR.parse(webhook(load("text") + b"&ErrorCode=11200&ErrorUrl=x", i_twilio_idempotency_token="two"), SETTINGS)
    assert [event.key for event in first] == [event.key for event in again]
    sids = {"MessageSid": "SM1", "AccountSid": ACCOUNT, "From": NUMBER, "To": "+15551234567"}
    words = ["queued", "sending", "sent", "delivered", "undelivered", "failed"]
    keys = [read(urlencode({**sids, "MessageStatus": word}).encode())[0].key for word in words]
    assert len(set(keys)) == len(words)
    late = read(urlencode({**sids, "MessageStatus": "delivered", "RawDlrDoneDate": "2611211201"}).encode())
    assert late[0].key == keys[3]


def test_t5_the_answer_says_nothing_to_the_shopper() -> None:
    """T5: TwiML without verbs. A text/plain body would be sent to the shopper."""
    assert CONNECTOR.answer.content_type == "text/xml"
    assert CONNECTOR.answer.body.endswith(b"<Response/>")
    assert CONNECTOR.answer.status == 200


def test_t7_the_word_is_kept_and_the_consent_beside_it() -> None:
    """T7: two events, so that the agent sees what was written; nothing is answered."""
    received, consent = read(load("stop"))
    assert isinstance(received, MessageReceived)
    assert isinstance(consent, ConsentChanged)
    assert consent.opted_in is False
    assert received.sender == consent.sender


@pytest.mark.parametrize("word", ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "stop", " Quit "])
def test_t7_each_word_that_twilio_obeys(word: str) -> None:
    form = {"MessageSid": "SM1", "From": "+15551234567", "To": NUMBER, "AccountSid": ACCOUNT, "Body": word}
    assert [type(event) for event in read(urlencode(form).encode())] == [MessageReceived, ConsentChanged]


@pytest.mark.parametrize("word", ["STOP.", "STOP ALL", "HELP", "YES", "no", "", "ENDE", "stop it"])
def test_t7_other_words_are_only_words(word: str) -> None:
    form = {"MessageSid": "SM1", "From": "+15551234567", "To": NUMBER, "AccountSid": ACCOUNT, "Body": word}
    assert [type(event) for event in read(urlencode(form).encode())] == [MessageReceived]


def test_t9_the_original_of_an_unpacked_text_is_kept() -> None:
    (event,) = read(load("mms-base64-of-a-long-text"))
    assert b"Body=SGVyZSBpcyBh" in event.raw


def test_t12_a_callback_names_our_message() -> None:
    """T12: by the query that we gave; it may come before the answer to the sending."""
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "AccountSid": ACCOUNT, "From": NUMBER, "To": "+15551234567"}
    (event,) = CONNECTOR.parse(webhook(form, query={"m": "msg_01", "p": "2"}), SETTINGS)
    assert isinstance(event, StatusReported)
    assert (event.ours, event.message_id) == ("msg_01", "SM1")


def test_the_account_tells_whose_a_webhook_is() -> None:
    assert CONNECTOR.account(SETTINGS) == f"{ACCOUNT}/{NUMBER}"
    (other,) = read(load("to-another-number-of-the-account"))
    assert other.account == CONNECTOR.account(sms_settings(number="+15005550009"))
    (sub,) = read(load("to-a-number-of-a-sub-account"))
    assert sub.account == CONNECTOR.account(sms_settings(account_sid="AC" + "5" * 32))


def test_a_messaging_service_owns_what_comes_to_its_pool() -> None:
    pool = sms_settings(number="", messaging_service_sid=SERVICE)
    assert CONNECTOR.account(pool) == f"{ACCOUNT}/{SERVICE}"
    (event,) = read(load("rcs-text"), pool)
    assert event.account == ""
    (stranger,) = read(load("text"), pool)
    assert stranger.account == f"{ACCOUNT}/{NUMBER}"


@pytest.mark.parametrize(
    "body",
    [b"MessageSid=", b"From=%2B15551234567&To=x&Body=hello", b"SmsStatus=received", b"MessageSid=SM1&Body=x", b"=", b"x"],
)
def test_what_names_no_message_is_bad(body: bytes) -> None:
    with pytest.raises(BadPayload, match="missing"):
        read(body)


def test_a_body_that_is_no_form_is_ignored_with_a_key_of_its_own() -> None:
    one, two = (
        CONNECTOR.parse(webhook(body, content_type="application/json"), SETTINGS)[0] for body in (b'[{"type":"x"}]', b'[{"type":"y"}]')
    )
    assert isinstance(one, PayloadIgnored)
    assert one.key != two.key


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_events_or_bad_payload(body: bytes) -> None:
    started = time.perf_counter()
    with contextlib.suppress(BadPayload):
        assert read(body)
    assert time.perf_counter() - started < 0.5


KNOWN = st.sampled_from(
    ["MessageSid", "SmsStatus", "MessageStatus", "Body", "From", "To", "NumMedia", "MediaUrl0", "MediaContentType0", "Latitude",
     "Longitude", "ButtonText", "ButtonPayload", "OptOutType", "ErrorCode", "AccountSid", "DateSent", "WaId",
     "ExternalUserId", "MessageType"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KNOWN, st.text(st.characters(exclude_categories=["Cs"]), max_size=40)))
def test_any_values_give_events_with_sound_keys_or_bad_payload(form: dict[str, str]) -> None:
    try:
        events = read(urlencode(form).encode())
    except BadPayload:
        return
    assert events
    assert len({event.key for event in events}) == len(events)
    for event in events:
        assert 0 < len(event.key) <= 512
        encode_event(event).decode()
