"""What Twilio posts about WhatsApp, and what we make of it."""

import contextlib
import json
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.content import Chosen
from connectors.errors import BadPayload
from connectors.event import AnyEvent, ConsentChanged, MessageReceived, PayloadIgnored, StatusReported, decode_event, encode_event
from connectors.identity import Evidence, Identity
from connectors.whatsapp_twilio import CONNECTOR
from tests.support.twilio import ACCOUNT, NUMBER, webhook, whatsapp_settings

PAYLOADS = Path(__file__).parent / "payloads"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.form"))
SETTINGS = whatsapp_settings()


def read(body: bytes) -> list[AnyEvent]:
    return list(CONNECTOR.parse(webhook(body), SETTINGS))


def received(name: str) -> MessageReceived:
    event = read((PAYLOADS / f"{name}.form").read_bytes())[0]
    assert isinstance(event, MessageReceived)
    return event


@pytest.mark.parametrize("name", NAMES)
def test_payload(name: str) -> None:
    """TW1, TW2, TW6: each payload gives exactly the events beside it, also with unknown parameters."""
    body = (PAYLOADS / f"{name}.form").read_bytes()
    events = read(body)
    assert [json.loads(encode_event(event)) for event in events] == json.loads((PAYLOADS / f"{name}.expect.json").read_bytes())
    assert events == read(body)
    more = read(urlencode([*parse_qsl(body.decode(), keep_blank_values=True), ("ZzNew", "1")]).encode())
    assert [msgspec.structs.replace(event, raw=b"") for event in more] == [msgspec.structs.replace(event, raw=b"") for event in events]
    for event in events:
        assert decode_event(encode_event(event)) == msgspec.structs.replace(event, raw=b"")


def test_tw1_a_phone_is_the_same_person_as_by_sms() -> None:
    sender = received("text").sender
    assert sender.identity == Identity("whatsapp", ACCOUNT, "393351234567")
    assert sender.aliases == ((Identity("tel", "", "+393351234567"), Evidence.PROVIDER),)


def test_tw1_a_user_name_has_no_phone_and_stays_the_same_person() -> None:
    """TW1: beside the phone comes the id that will be all there is once the phone is hidden."""
    before, after = received("text-with-user-id-beside-the-phone"), received("user-name-without-a-phone")
    assert (after.sender.identity, Evidence.PROVIDER) in before.sender.aliases
    assert after.sender.aliases == ()
    assert after.thread == "IT.1349ABCdef001", "sent back without a plus"


def test_tw1_the_prefix_may_be_missing() -> None:
    with_prefix, without = received("text"), received("prefix-missing")
    assert (without.sender, without.thread, without.account) == (with_prefix.sender, with_prefix.thread, "")


def test_tw2_the_button_replaces_the_body() -> None:
    assert received("button-of-a-template").parts == (Chosen(id='{"answer":1}', label="Yes, please"),)


def test_tw2_the_advertisement_stands_before_the_words() -> None:
    assert [part.__struct_config__.tag for part in received("from-an-advertisement").parts] == ["referral", "text"]


def test_tw3_a_closed_window_shows_in_the_status() -> None:
    (event,) = read((PAYLOADS / "status-undelivered-63016-the-window-is-closed.form").read_bytes())
    assert isinstance(event, StatusReported)
    assert (event.code, event.failure) == ("63016", "window")


def test_tw3_who_blocked_us_has_opted_out() -> None:
    report, consent = read((PAYLOADS / "status-undelivered-63014-of-a-user-name.form").read_bytes())
    assert isinstance(report, StatusReported)
    assert isinstance(consent, ConsentChanged)
    assert consent.sender.identity == Identity("whatsapp", ACCOUNT, "IT.1349ABCdef001")


@pytest.mark.parametrize("word", ["edited", "deleted", "reaction", "typing"])
def test_tw6_what_twilio_does_not_tell_by_default_is_ignored_not_lost(word: str) -> None:
    """TW6: no webhooks for edits, deletions and reactions; if one comes some day, it is kept as ignored."""
    (event,) = read(urlencode({"MessageSid": "SM1", "MessageStatus": word, "AccountSid": ACCOUNT, "From": f"whatsapp:{NUMBER}"}).encode())
    assert isinstance(event, PayloadIgnored)
    assert not (CONNECTOR.capabilities.edits)
    assert not (CONNECTOR.capabilities.deletions)
    assert not (CONNECTOR.capabilities.reactions)


def test_the_account_names_the_sender() -> None:
    assert CONNECTOR.account(SETTINGS) == f"{ACCOUNT}/whatsapp:{NUMBER}"
    other = received("to-another-sender-of-the-account")
    assert other.account == CONNECTOR.account(whatsapp_settings(number="+15005550009"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_events_or_bad_payload(body: bytes) -> None:
    with contextlib.suppress(BadPayload):
        assert read(body)
