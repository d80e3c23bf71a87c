"""The clients against a Twilio on a real port."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import structlog
from aiohttp import web

from connectors.abilities import (
    Component,
    InboundFinder,
    MediaFetcher,
    Prober,
    Provisioner,
    ReadMarker,
    SendFinder,
    TemplateSource,
    Typist,
)
from connectors.content import AnyPart, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Failure, Outbound, Outcome, Sent
from connectors.errors import FailureKind
from connectors.event import MessageReceived, StatusReported
from connectors.sms import CONNECTOR as SMS
from connectors.twilio.http import make_sdk
from connectors.twilio.resources import Message, is_like
from connectors.twilio.simulator import Template as Stored
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from tests.support.twilio import NUMBER, PNG, TOKEN, Bench, serving, sms_settings, twilio_bench, until

ADA = "+393351234567"
WA = f"whatsapp:{ADA}"
PHOTO = Media(kind=MediaKind.IMAGE, ref="med_photo", mime="image/png", name="photo.png", size=len(PNG))


async def send(bench: Bench, *parts: AnyPart, to: str = ADA, **changes: Any) -> tuple[Call, Outcome]:
    """One message of one part by SMS."""
    settings, client = bench.sms(**changes)
    (call,) = SMS.render(Outbound(id="msg_01", to=to, parts=parts, callback=bench.hook), settings)
    return call, SMS.read_reply(call, await client.send(call), settings)


async def send_whatsapp(bench: Bench, *parts: AnyPart, to: str = ADA) -> Outcome:
    settings, client = bench.whatsapp()
    (call,) = WHATSAPP.render(Outbound(id="msg_01", to=to, parts=parts, callback=bench.hook), settings)
    outcome = WHATSAPP.read_reply(call, await client.send(call), settings)
    await client.close()
    return outcome


def statuses(bench: Bench, connector: Any = SMS, settings: Any = None) -> list[StatusReported]:
    configured = settings or sms_settings()
    events = [event for request in bench.inbox.requests for event in connector.parse(request, configured)]
    return [event for event in events if isinstance(event, StatusReported)]


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


# --- looking up -----------------------------------------------------------------------------------------------------------


async def find(bench: Bench, call: Call, since: datetime | None = None, **changes: Any) -> list[str] | None:
    _, client = bench.sms(**changes)
    found = await client.find_sent(call, since or datetime.now(UTC) - timedelta(seconds=5))
    return None if found is None else list(found)


async def test_t15_a_lost_answer_is_found_in_the_list(bench: Bench) -> None:
    """T15: by receiver, sender, words and number of files; also while it still waits at Twilio."""
    await bench.phone.person(ADA)
    await bench.phone.fault("reset_after")
    call, _ = await send(bench, Text(text="Ciao"))
    (sid,) = bench.place.messages
    assert await find(bench, call) == [sid]
    await until(lambda: len(bench.inbox.requests) == 2)
    assert await find(bench, call) == [sid]


async def test_t15_what_never_arrived_is_not_found(bench: Bench) -> None:
    await bench.phone.person(ADA)
    call, _ = await send(bench, Text(text="Ciao"))
    other, _ = await send(bench, Text(text="Ciao"), to="+393351234568")
    assert await find(bench, other) != await find(bench, call)
    await bench.phone.fault("500")
    lost, _ = await send(bench, Text(text="another text"))
    assert await find(bench, lost) == []


async def test_equal_messages_are_found_oldest_first_and_old_ones_not(bench: Bench) -> None:
    await bench.phone.person(ADA)
    sids = []
    for _ in range(3):
        call, outcome = await send(bench, Text(text="ok"))
        assert isinstance(outcome, Sent)
        sids.append(outcome.provider_id)
    for number, sid in enumerate(sids):
        bench.place.messages[sid].created -= 3600 * (2 - number)
    assert await find(bench, call) == sids[2:]
    assert await find(bench, call, datetime.now(UTC) - timedelta(hours=1, minutes=1)) == sids[1:]
    assert await find(bench, call, datetime.now(UTC) - timedelta(hours=3)) == sids


async def test_another_sender_words_or_files_are_not_ours(bench: Bench) -> None:
    await bench.phone.person(ADA)
    call, outcome = await send(bench, PHOTO, Text(text="like this"), mms=True)
    assert isinstance(outcome, Sent)
    assert await find(bench, call) == [outcome.provider_id]
    assert await find(bench, Call(method="POST", url="Messages", form={**(call.form or {}), "Body": "like"}, uploads=call.uploads)) == []
    assert await find(bench, Call(method="POST", url="Messages", form=call.form)) == [], "no file"
    bench.place.messages[outcome.provider_id].from_ = "+15005550009"
    assert await find(bench, call) == []


def test_a_list_that_is_not_filtered_does_no_harm() -> None:
    call = Call(method="POST", url="Messages", form={"To": ADA, "From": NUMBER, "Body": "ok"})
    good = Message(sid="SM1", body="ok", direction="outbound-api", to=ADA, from_=NUMBER)
    assert is_like(good, call)
    for changes in ({"to": "+15550000000"}, {"from_": "+15005550009"}, {"direction": "inbound"}, {"body": "no"}, {"num_media": "1"}):
        assert not is_like(msgspec.structs.replace(good, **changes), call)
    pool = Call(method="POST", url="Messages", form={"To": ADA, "MessagingServiceSid": "MG1", "Body": "ok"})
    assert is_like(msgspec.structs.replace(good, messaging_service_sid="MG1"), pool)
    assert not is_like(msgspec.structs.replace(good, messaging_service_sid="MG2"), pool)


async def test_a_link_is_another_one_each_time(bench: Bench) -> None:
    await bench.phone.person(ADA)
    call, outcome = await send(bench, PHOTO, Text(text="like this"), media_links=True)
    assert isinstance(outcome, Sent)
    assert await find(bench, call, media_links=True) == [outcome.provider_id]


async def test_a_trial_accounts_prefix_is_seen_through(bench: Bench) -> None:
    await bench.phone.person(ADA)
    call, outcome = await send(bench, Text(text="Ciao"))
    assert isinstance(outcome, Sent)
    bench.place.messages[outcome.provider_id].body = "Sent from your Twilio trial account - Ciao"
    assert await find(bench, call) == [outcome.provider_id]


async def test_a_clock_of_ours_that_is_wrong_does_no_harm(bench: Bench) -> None:
    """The simulator's day is another one; what counts is its own ``Date``."""
    await bench.phone.person(ADA)
    call, outcome = await send(bench, Text(text="Ciao"))
    assert isinstance(outcome, Sent)
    assert await find(bench, call, datetime.now(UTC)) in ([], [outcome.provider_id])


async def test_who_cannot_be_asked_gives_none(bench: Bench) -> None:
    call = Call(method="POST", url="Messages", form={"To": ADA, "From": NUMBER, "Body": "x"})
    assert await find(bench, call, api_base="http://127.0.0.1:9") is None
    await bench.phone.fault("500", on="list")
    assert await find(bench, call) is None
    await bench.phone.fault("garbage", on="list")
    assert await find(bench, call) is None


async def missed(bench: Bench, since: datetime, **changes: Any) -> list[MessageReceived]:
    settings, client = bench.sms(**changes)
    events = [event async for request in client.missed(since) for event in SMS.parse(request, settings)]
    return [event for event in events if isinstance(event, MessageReceived)]


async def test_t3_what_no_webhook_brought_is_asked_for(bench: Bench) -> None:
    """T3: the same keys as the webhooks, files and time included, oldest first, over several pages."""
    await bench.phone.person(ADA)
    await bench.phone.fault("lost", on="webhook", count=100)
    for number in range(5):
        await bench.phone.say(ADA, f"text {number}")
    await bench.phone.say(ADA, "with a file", (PNG, "image/png"), (b"%PDF-1.7", "application/pdf"))
    assert bench.inbox.requests == []
    await send(bench, Text(text="an answer is nothing that was missed"))
    found = await missed(bench, datetime.now(UTC) - timedelta(minutes=1))
    assert [part.text for event in found for part in event.parts if isinstance(part, Text)] == [
        *(f"text {n}" for n in range(5)),
        "with a file",
    ]
    assert [event.key for event in found] == [
        f"message:{sid}" for sid, message in bench.place.messages.items() if message.direction == "inbound"
    ]
    assert all(event.at is not None and event.account == "" for event in found)
    media = [part for part in found[-1].parts if isinstance(part, Media)]
    assert [part.mime for part in media] == ["image/png", "application/pdf"]
    _, client = bench.sms()
    assert (await client.fetch_media(media[0].ref, 10_000)).data == PNG
    assert await missed(bench, datetime.now(UTC) + timedelta(minutes=1)) == []


async def test_t3_the_key_is_that_of_the_webhook(bench: Bench) -> None:
    await bench.phone.person(ADA)
    await bench.phone.say(ADA, "ciao")
    await until(lambda: len(bench.inbox.requests) == 1)
    (webhook,) = SMS.parse(bench.inbox.requests[0], sms_settings())
    (asked,) = await missed(bench, datetime.now(UTC) - timedelta(minutes=1))
    assert webhook.key == asked.key
    assert isinstance(webhook, MessageReceived)
    assert webhook.sender == asked.sender


async def test_t3_pages_are_followed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.twilio.client.PAGE_SIZE", 3)
    await bench.phone.person(ADA)
    await bench.phone.fault("lost", on="webhook", count=100)
    for number in range(10):
        await bench.phone.say(ADA, f"text {number}")
    found = await missed(bench, datetime.now(UTC) - timedelta(minutes=1))
    assert len(found) == 10
    monkeypatch.setattr("connectors.twilio.client.MISSED_PAGES", 2)
    assert len(await missed(bench, datetime.now(UTC) - timedelta(minutes=1))) == 6


async def test_t3_a_twilio_that_is_away_is_said(bench: Bench) -> None:
    with pytest.raises(OSError, match="Twilio does not give"):
        await missed(bench, datetime.now(UTC), api_base="http://127.0.0.1:9")


# --- files ----------------------------------------------------------------------------------------------------------------


async def photo_of(bench: Bench) -> str:
    await bench.phone.person(ADA)
    await bench.phone.say(ADA, "", (PNG, "image/png"))
    await until(lambda: len(bench.inbox.requests) == 1)
    (event,) = SMS.parse(bench.inbox.requests[0], sms_settings())
    assert isinstance(event, MessageReceived)
    (media,) = event.parts
    assert isinstance(media, Media)
    assert TOKEN not in media.ref
    return media.ref


async def test_t6_a_file_is_fetched_with_credentials(bench: Bench) -> None:
    ref = await photo_of(bench)
    _, client = bench.sms()
    found = await client.fetch_media(ref, len(PNG))
    assert (found.data, found.mime, found.problem) == (PNG, "image/png", "")
    _, stranger = bench.sms(auth_token="canary-wrong-token")
    assert "access refused" in (await stranger.fetch_media(ref, 1000)).problem


async def test_t6_a_file_that_is_not_there_yet_is_tried_again(bench: Bench) -> None:
    """T6: Twilio announces it some seconds before it can be had."""
    ref = await photo_of(bench)
    await bench.phone.fault("error", on="media", code=404)
    _, client = bench.sms()
    assert (await client.fetch_media(ref, 1000)).retry
    assert (await client.fetch_media(ref, 1000)).data == PNG


async def test_t6_too_large_and_away(bench: Bench) -> None:
    ref = await photo_of(bench)
    _, client = bench.sms()
    large = await client.fetch_media(ref, len(PNG) - 1)
    assert ("larger" in large.problem, large.retry, large.data) == (True, False, b"")
    await bench.phone.fault("500", on="media")
    assert (await client.fetch_media(ref, 1000)).retry
    away = await client.fetch_media("http://127.0.0.1:9/x", 1000)
    assert (bool(away.problem), away.retry) == (True, True)
    assert "web" in (await client.fetch_media("file:///etc/passwd", 1000)).problem


async def test_t6_the_credentials_do_not_follow_a_redirect() -> None:
    """T6: the store refuses who shows any, as the real one does."""
    async with twilio_bench() as far, twilio_bench(store=far.root) as bench:
        ref = await photo_of(bench)
        far.place.messages.update(bench.place.messages)
        far.place.phone.files.update(bench.place.phone.files)
        _, client = bench.sms()
        assert (await client.fetch_media(ref, 1000)).data == PNG


@pytest.mark.parametrize("inside", ["http://localhost:9/x", "http://[::1]:9/x", "http://169.254.169.254/latest", "http://10.0.0.1/x"])
async def test_t6_no_redirect_leads_into_our_network(inside: str) -> None:
    async with twilio_bench(store=inside.rpartition("/")[0]) as bench:
        ref = await photo_of(bench)
        _, client = bench.sms()
        found = await client.fetch_media(ref, 1000)
        await client.close()
        assert (found.data, found.retry) == (b"", False)
        assert "not a public address" in found.problem


async def test_t6_no_redirect_goes_on_for_ever(bench: Bench) -> None:
    asked: list[str] = []

    async def on(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound(f"/round/{len(asked)}")

    app = web.Application()
    app.router.add_get("/round/{number}", on)
    async with serving(app) as root:
        _, client = bench.sms(api_base=root)
        assert "more than 3 times" in (await client.fetch_media(f"{root}/round/0", 1000)).problem
    assert len(asked) == 4


async def test_t6_the_copy_at_twilio_is_deleted_if_the_operator_wants_it(bench: Bench) -> None:
    ref = await photo_of(bench)
    _, keeping = bench.sms()
    await keeping.discard_media(ref)
    assert (await keeping.fetch_media(ref, 1000)).data == PNG
    _, client = bench.sms(delete_media=True)
    await client.discard_media("http://127.0.0.1:9/elsewhere")
    await client.discard_media(ref)
    assert (await client.fetch_media(ref, 1000)).data == b""
    await client.discard_media(ref)


# --- set-up ---------------------------------------------------------------------------------------------------------------

HOOK = "https://shop.example.org/webhooks/shop"


@pytest.mark.parametrize("kind", ["sms", "whatsapp"])
async def test_the_webhook_is_set_and_seen(bench: Bench, kind: str) -> None:
    _, client = bench.sms() if kind == "sms" else bench.whatsapp()
    before = await client.probe(HOOK)
    assert [(finding.component, finding.ok) for finding in before] == [
        (Component.AUTH, True),
        (Component.OUTBOUND, True),
        (Component.WEBHOOK, False),
    ]
    assert before[-1].remedy
    words = await client.provision(HOOK)
    assert "is active" in words
    assert f"Webhook {HOOK} set" in words
    hook = bench.place.hooks[NUMBER if kind == "sms" else f"whatsapp:{NUMBER}"]
    assert (hook.url, hook.fallback) == (HOOK, HOOK), "Twilio then tries a second time"
    assert all(finding.ok and not finding.remedy for finding in await client.probe(HOOK))
    hook.url = f"{HOOK}#rc=3&rp=all"
    assert all(finding.ok for finding in await client.probe(HOOK))


@pytest.mark.parametrize("kind", ["sms", "whatsapp"])
async def test_the_webhook_of_a_messaging_service(bench: Bench, kind: str) -> None:
    service = {"number": "", "messaging_service_sid": bench.place.service.sid}
    _, client = bench.sms(**service) if kind == "sms" else bench.whatsapp(**service)
    assert not (await client.probe(HOOK))[-1].ok
    assert "set for the messaging service" in await client.provision(HOOK)
    assert (bench.place.service.url, bench.place.service.status_callback) == (HOOK, HOOK)
    assert all(finding.ok for finding in await client.probe(HOOK))


async def test_a_probe_tells_what_is_wrong_and_how_to_mend_it(bench: Bench) -> None:
    _, wrong = bench.sms(auth_token="canary-wrong-token")
    (finding,) = await wrong.probe(HOOK)
    assert (finding.component, finding.ok) == (Component.AUTH, False)
    assert "auth_token" in finding.remedy
    assert "canary" not in str(finding)
    assert "does not give the account" in await wrong.provision(HOOK)
    _, other = bench.sms(number="+15005550009")
    assert "no number +15005550009" in (await other.probe(HOOK))[-1].detail
    assert "no number +15005550009" in await other.provision(HOOK)
    _, elsewhere = bench.whatsapp(number="+15005550009")
    assert "no sender" in (await elsewhere.probe(HOOK))[-1].detail
    assert "no WhatsApp sender" in await elsewhere.provision(HOOK)
    bench.place.account_status = "suspended"
    _, client = bench.sms()
    assert (await client.probe(HOOK))[0].ok is False
    _, away = bench.sms(api_base="http://127.0.0.1:9")
    (finding,) = await away.probe(HOOK)
    assert (finding.component, finding.ok) == (Component.OUTBOUND, False)
    await bench.phone.fault("500", on="numbers")
    assert (await client.probe(HOOK))[-1].component is Component.WEBHOOK


# --- whatsapp -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def talking(bench: Bench) -> Bench:
    """Ada has just written by WhatsApp: the window is open."""
    await bench.phone.person(WA)
    await bench.phone.say(WA, "ciao")
    await until(lambda: len(bench.inbox.requests) == 1)
    bench.inbox.requests.clear()
    return bench


async def test_whatsapp_text_read_and_delivered(talking: Bench) -> None:
    assert isinstance(await send_whatsapp(talking, Text(text="Sì")), Sent)
    await until(lambda: len(talking.inbox.requests) == 2)
    await talking.phone.act(WA, "read")
    await until(lambda: len(talking.inbox.requests) == 3)
    settings, _ = talking.whatsapp()
    assert [event.status for event in statuses(talking, WHATSAPP, settings)] == ["sent", "delivered", "read"]


async def test_whatsapp_files_and_places(talking: Bench) -> None:
    assert isinstance(await send_whatsapp(talking, PHOTO, Text(text="look")), Sent)
    assert isinstance(await send_whatsapp(talking, Location(latitude=45.4642, longitude=9.19, name="Duomo")), Sent)
    await until(lambda: len(talking.inbox.requests) == 4)
    # A file takes its time: what is sent after it may be there before it.
    lines = {line["text"]: line for line in await talking.phone.lines(WA)}
    photo, place = lines["look"], lines["Duomo"]
    assert photo["files"][0]["size"] == len(PNG)
    assert (place["location"]["latitude"], place["location"]["name"]) == (45.4642, "Duomo")


async def test_tw3_a_closed_window_shows_later(bench: Bench) -> None:
    """TW3: 63016 comes in the status, never in the answer; a template goes through."""
    await bench.phone.person(WA)
    assert isinstance(await send_whatsapp(bench, Text(text="hello?")), Sent)
    await until(lambda: len(bench.inbox.requests) == 1)
    settings, _ = bench.whatsapp()
    (report,) = statuses(bench, WHATSAPP, settings)
    assert (report.status, report.code, report.failure) == ("failed", "63016", FailureKind.WINDOW)
    assert isinstance(await send_whatsapp(bench, Template(name="order_ready", language="en", parameters=("Ada", "7"))), Sent)
    await until(lambda: len(bench.inbox.requests) == 3)
    assert [line["text"] for line in await bench.phone.lines(WA)] == ["Hello Ada, your order 7 is ready."]


async def test_tw3_nobody_there_and_blocked(bench: Bench) -> None:
    assert isinstance(await send_whatsapp(bench, Template(name="order_ready", language="en")), Sent)
    await until(lambda: len(bench.inbox.requests) == 1)
    settings, _ = bench.whatsapp()
    assert [event.failure for event in statuses(bench, WHATSAPP, settings)] == [FailureKind.RECIPIENT]
    await bench.phone.person(WA)
    await bench.phone.act(WA, "block", blocked=True)
    assert isinstance(await send_whatsapp(bench, Template(name="order_ready", language="en")), Sent)
    await until(lambda: len(bench.inbox.requests) == 2)
    assert statuses(bench, WHATSAPP, settings)[-1].failure is FailureKind.OPTED_OUT


async def test_tw5_templates_are_listed_and_found_by_name(bench: Bench) -> None:
    """TW5: by name and language; the SID is looked up."""
    for number in range(3):
        bench.place.add_template(Stored(name="many", language=f"x{number}", body="{{2}} before {{1}}, {{name}}", status="pending"))
    _, client = bench.whatsapp()
    found = await client.templates()
    ready = next(one for one in found if one.name == "order_ready")
    assert (ready.language, ready.status, ready.category, ready.parameters) == ("en", "approved", "utility", ("1", "2"))
    assert ready.id.startswith("HX")
    buttons = next(one for one in found if one.name == "still_there")
    assert buttons.buttons == ("Yes, please", "No, thanks")
    many = [one for one in found if one.name == "many"]
    assert [(one.status, one.parameters) for one in many] == [("pending", ("1", "2", "name"))] * 3
    outcome = await send_whatsapp(bench, Template(name="many", language="x9"))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.code) == (FailureKind.INVALID, "63027")
    assert isinstance(await send_whatsapp(bench, Template(name=ready.id, language="")), Sent)
    wrong = await send_whatsapp(bench, Template(name="HX" + "0" * 32, language=""))
    assert isinstance(wrong, Failure)
    assert wrong.code == "21655"


async def test_tw5_the_list_of_templates_that_cannot_be_had(bench: Bench) -> None:
    await bench.phone.fault("500", on="content", count=2)
    _, client = bench.whatsapp()
    with pytest.raises(OSError, match="templates"):
        await client.templates()
    outcome = await send_whatsapp(bench, Template(name="order_ready", language="en"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRANSIENT, "nothing was sent"
    assert not bench.place.messages


async def test_tw5_a_lost_template_is_found_by_what_fills_it(talking: Bench) -> None:
    settings, client = talking.whatsapp()
    template = Template(name="order_ready", language="en", parameters=("Ada", "order-77"))
    (call,) = WHATSAPP.render(Outbound(id="m", to=ADA, parts=(template,)), settings)
    await talking.phone.fault("reset_after")
    await client.send(call)
    found = await client.find_sent(call, datetime.now(UTC) - timedelta(seconds=5))
    assert found == [list(talking.place.messages)[-1]]


async def test_tw6_typing_marks_as_read(talking: Bench) -> None:
    (line,) = await talking.phone.lines(WA)
    _, client = talking.whatsapp()
    await client.show_typing(ADA, line["id"])
    (line,) = await talking.phone.lines(WA)
    assert line["extra"]["read_by_shop"]
    with structlog.testing.capture_logs() as lines:
        await client.show_typing(ADA, "SM-nobody")
    assert [entry["event"] for entry in lines] == ["twilio.typing_not_shown"]


async def test_tw6_a_button_comes_back_as_a_choice(talking: Bench) -> None:
    assert isinstance(await send_whatsapp(talking, Template(name="still_there", language="en")), Sent)
    await until(lambda: len(talking.inbox.requests) == 2)
    line = (await talking.phone.lines(WA))[-1]
    await talking.phone.act(WA, "press", line=line["id"], option="yes")
    await until(lambda: len(talking.inbox.requests) == 3)
    settings, _ = talking.whatsapp()
    (event,) = WHATSAPP.parse(talking.inbox.requests[-1], settings)
    assert isinstance(event, MessageReceived)
    assert (event.reply_to, event.parts[0]) == (line["id"], event.parts[0])
    assert "yes" in str(event.parts[0])


async def test_many_at_once_share_one_session(bench: Bench) -> None:
    await bench.phone.person(ADA)
    outcomes = await asyncio.gather(*(send(bench, Text(text=f"text {number}")) for number in range(20)))
    assert all(isinstance(outcome, Sent) for _, outcome in outcomes)
    assert len(bench.place.messages) == 20
