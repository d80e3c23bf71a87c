"""The clients against a Twilio on a real port: what they can do, and sending."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from connectors.abilities import (
    InboundFinder,
    MediaFetcher,
    Prober,
    Provisioner,
    ReadMarker,
    SendFinder,
    TemplateSource,
    Typist,
)
from connectors.content import Media, MediaKind, Text
from connectors.contract import Call, Failure, Sent
from connectors.errors import FailureKind
from connectors.sms import CONNECTOR as SMS
from connectors.twilio.http import make_sdk
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from tests.support.pictures import PNG
from tests.support.twilio import Bench, sms_settings
from tests.support.twilio_sends import ADA, PHOTO, send, statuses
from tests.support.waiting import until


def test_what_the_clients_can_do() -> None:
    for ability in (MediaFetcher, SendFinder, InboundFinder, Provisioner, Prober):
        for name in vars(ability).get("__protocol_attrs__", ()) or [n for n in vars(ability) if not n.startswith("_")]:
            assert hasattr(SMS.client, name), name
            assert hasattr(WHATSAPP.client, name), name
    assert hasattr(WHATSAPP.client, "show_typing")
    assert hasattr(WHATSAPP.client, "templates")
    assert not hasattr(WHATSAPP.client, "mark_read")


async def test_the_abilities_are_found(bench: Bench) -> None:
    _, sms = bench.sms()
    _, whatsapp = bench.whatsapp()
    assert all(isinstance(sms, ability) for ability in (MediaFetcher, SendFinder, InboundFinder, Provisioner, Prober))
    assert not isinstance(sms, TemplateSource | Typist | ReadMarker)
    assert isinstance(whatsapp, TemplateSource)
    assert isinstance(whatsapp, Typist)


async def test_text_with_its_statuses(bench: Bench) -> None:
    await bench.phone.person(ADA)
    _, outcome = await send(bench, Text(text="Ciao, è “pronto” 😀 + 5 % & più?"))
    assert isinstance(outcome, Sent)
    await until(lambda: len(bench.inbox.requests) == 2)
    assert [line["text"] for line in await bench.phone.lines(ADA)] == ["Ciao, è “pronto” 😀 + 5 % & più?"]
    assert [(event.status, event.ours, event.message_id) for event in statuses(bench)] == [
        ("sent", "msg_01", outcome.provider_id),
        ("delivered", "msg_01", outcome.provider_id),
    ]
    assert all(SMS.verify(request, sms_settings()) for request in bench.inbox.requests)


async def test_t12_the_callback_may_come_before_the_answer(bench: Bench) -> None:
    """T12: the answer is lost, and the callback tells all the same that it was taken."""
    await bench.phone.person(ADA)
    await bench.phone.fault("reset_after")
    _, outcome = await send(bench, Text(text="Ciao"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNKNOWN
    await until(lambda: len(bench.inbox.requests) == 2)
    assert {event.ours for event in statuses(bench)} == {"msg_01"}


async def test_a_file_goes_by_its_address(bench: Bench) -> None:
    await bench.phone.person(ADA)
    _, outcome = await send(bench, PHOTO, Text(text="like this"), mms=True)
    assert isinstance(outcome, Sent)
    assert outcome.provider_id.startswith("MM")
    await until(lambda: len(bench.inbox.requests) == 2)
    (line,) = await bench.phone.lines(ADA)
    assert (line["text"], line["files"][0]["mime"], line["files"][0]["size"]) == ("like this", "image/png", len(PNG))


async def test_a_file_as_a_link_behind_the_words(bench: Bench) -> None:
    await bench.phone.person(ADA)
    await send(bench, PHOTO, Text(text="like this"), media_links=True)
    await until(lambda: len(bench.inbox.requests) == 2)
    (line,) = await bench.phone.lines(ADA)
    assert line["text"] == f"like this {bench.inbox.root}/files/med_photo"
    # Somebody reads it some day.
    assert bench.links == [("med_photo", True)]


async def test_b66_each_attempt_has_an_address_of_its_own(bench: Bench) -> None:
    await bench.phone.person(ADA)
    for attempt in (1, 2):
        await send(bench, PHOTO, mms=True)
        assert bench.links == [("med_photo", False)] * attempt


async def test_a_file_without_an_address_sends_nothing(bench: Bench) -> None:
    gone = Media(kind=MediaKind.IMAGE, ref="med_gone", mime="image/png", size=9)
    _, outcome = await send(bench, gone, mms=True)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRANSIENT
    assert not bench.place.messages


async def test_t11_smart_encoding_is_asked_for(bench: Bench) -> None:
    await bench.phone.person(ADA)
    call, outcome = await send(bench, Text(text="“x”"), smart_encoding=True)
    assert isinstance(outcome, Sent)
    assert (call.form or {})["SmartEncoded"] == "true"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "error", "code": 21211}, FailureKind.RECIPIENT),
        ({"kind": "error", "code": 30001}, FailureKind.TRANSIENT),
        ({"kind": "500"}, FailureKind.UNKNOWN),
        ({"kind": "garbage"}, FailureKind.UNKNOWN),
        ({"kind": "hang", "seconds": 0.05}, FailureKind.UNKNOWN),
        ({"kind": "reset_after"}, FailureKind.UNKNOWN),
    ],
)
async def test_t15_what_goes_wrong(bench: Bench, fault: dict[str, Any], kind: FailureKind) -> None:
    """T15: and nothing is tried twice, whatever the SDK would do."""
    await bench.phone.person(ADA)
    await bench.phone.fault(**fault)
    _, outcome = await send(bench, Text(text="Ciao"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert len(bench.place.messages) <= 1


async def test_a_refusal_with_a_wait(bench: Bench) -> None:
    await bench.phone.fault("throttled", seconds=7)
    _, outcome = await send(bench, Text(text="Ciao"))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.retry_after) == (FailureKind.THROTTLED, 7.0)


async def test_wrong_credentials(bench: Bench) -> None:
    _, outcome = await send(bench, Text(text="Ciao"), auth_token="canary-wrong-token")
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.code) == (FailureKind.AUTH, "20003")


async def test_nobody_listens(bench: Bench) -> None:
    _, outcome = await send(bench, Text(text="Ciao"), api_base="http://127.0.0.1:9")
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRANSIENT


async def test_the_sdk_reads_no_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "au1")
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    sdk = make_sdk(sms_settings(), bench.session)
    assert sdk.get_hostname("https://api.twilio.com/x") == "https://api.twilio.com/x"


async def test_nothing_logs_the_token(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await bench.phone.person(ADA)
    with structlog.testing.capture_logs() as lines:
        await send(bench, Text(text="Ciao"))
        await send(bench, Text(text="Ciao"), api_base="http://127.0.0.1:9")
        _, client = bench.sms(api_base="http://127.0.0.1:9")
        await client.find_sent(Call(method="POST", url="Messages", form={"To": ADA}), datetime.now(UTC))
    assert "canary" not in caplog.text
    assert "canary" not in str(lines)
    assert "Authorization" not in caplog.text


async def test_many_at_once_share_one_session(bench: Bench) -> None:
    await bench.phone.person(ADA)
    outcomes = await asyncio.gather(*(send(bench, Text(text=f"text {number}")) for number in range(20)))
    assert all(isinstance(outcome, Sent) for _, outcome in outcomes)
    assert len(bench.place.messages) == 20
