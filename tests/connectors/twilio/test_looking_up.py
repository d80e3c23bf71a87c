"""Asking Twilio: for what became of a sending whose answer was lost, and for what no webhook brought."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.content import Media, Text
from connectors.contract import Call, Sent
from connectors.event import MessageReceived
from connectors.sms import CONNECTOR as SMS
from connectors.twilio.resources import Message, is_like
from tests.support.pictures import PNG
from tests.support.twilio import NUMBER, Bench, sms_settings
from tests.support.twilio_sends import ADA, PHOTO, send
from tests.support.waiting import until


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
