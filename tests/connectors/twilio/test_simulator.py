"""The simulated Twilio is as strict as the real one, and as forgetful."""

import os
import subprocess
import sys
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from tests.support.pictures import PNG
from tests.support.twilio import ACCOUNT, NUMBER, TOKEN, Bench, twilio_bench
from tests.support.waiting import until

ADA = "+393351234567"
WA = f"whatsapp:{ADA}"
API = f"/2010-04-01/Accounts/{ACCOUNT}"


async def post(bench: Bench, path: str = f"{API}/Messages.json", **form: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
    async with bench.session.post(bench.root + path, data=form, headers=headers) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": "", "From": NUMBER, "Body": "x"}, 21604),
        ({"To": "12", "From": NUMBER, "Body": "x"}, 21211),
        ({"To": "whatsapp:12", "From": f"whatsapp:{NUMBER}", "Body": "x"}, 21211),
        ({"To": ADA, "Body": "x"}, 21603),
        ({"To": ADA, "From": "+15005550009", "Body": "x"}, 21606),
        ({"To": WA, "From": "whatsapp:+15005550009", "Body": "x"}, 63007),
        ({"To": WA, "From": NUMBER, "Body": "x"}, 21910),
        ({"To": ADA, "MessagingServiceSid": "MG0", "Body": "x"}, 21701),
        ({"To": ADA, "From": NUMBER}, 21602),
        ({"To": ADA, "From": NUMBER, "Body": "x" * 1601}, 21617),
        ({"To": ADA, "From": NUMBER, "Body": "x", "StatusCallback": "nowhere"}, 21609),
        ({"To": ADA, "From": NUMBER, "MediaUrl": "nowhere"}, 21620),
        ({"To": WA, "From": f"whatsapp:{NUMBER}", "ContentSid": "HX0"}, 21655),
    ],
)
async def test_what_is_refused_at_once(bench: Bench, form: dict[str, str], code: int) -> None:
    status, body = await post(bench, **form)
    assert (status, body["code"], body["status"]) == (400, code, 400)
    assert str(code) in body["more_info"]
    assert not bench.place.messages


async def test_credentials_and_account(bench: Bench) -> None:
    async with bench.session.get(f"{bench.root}{API}.json") as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, 20003)
    status, body = await post(bench, "/2010-04-01/Accounts/AC0/Messages.json", To=ADA)
    assert (status, body["code"]) == (404, 20404)


async def test_webhooks_are_signed_as_twilio_signs(bench: Bench) -> None:
    await bench.phone.person(ADA)
    await bench.phone.say(ADA, "ciao è 😀", (PNG, "image/png"))
    await until(lambda: len(bench.inbox.requests) == 1)
    (request,) = bench.inbox.requests
    form = dict(part.split("=", 1) for part in unquote(request.body.decode().replace("+", " ")).split("&"))
    assert RequestValidator(TOKEN).validate(request.url, form, request.headers["x-twilio-signature"])
    assert request.headers["i-twilio-idempotency-token"]
    assert (form["Body"], form["NumMedia"], form["SmsStatus"]) == ("ciao è 😀", "1", "received")


async def test_a_failed_webhook_is_not_posted_again_but_for_the_fallback(bench: Bench) -> None:
    """T3."""
    await bench.phone.person(ADA)
    bench.inbox.answers += [(503, "text/plain", "")]
    await bench.phone.say(ADA, "one")
    await bench.phone.say(ADA, "two")
    await until(lambda: len(bench.inbox.requests) == 2)
    assert bench.place.debugger == [11200]
    bench.place.hooks[NUMBER].fallback = bench.hook
    bench.inbox.answers += [(503, "text/plain", "")]
    await bench.phone.say(ADA, "three")
    await until(lambda: len(bench.inbox.requests) == 4)
    assert b"ErrorCode=11200" in bench.inbox.requests[-1].body


@pytest.mark.parametrize(
    ("answer", "shown", "errors"),
    [
        ((200, "text/plain", "OK"), ["OK"], []),
        ((200, "application/json", '{"ok":true}'), [], [12300]),
        ((200, "text/xml", "<Response/>"), [], []),
        ((204, "text/xml", ""), [], []),
    ],
)
async def test_t5_what_is_answered_is_an_instruction(
    bench: Bench, answer: tuple[int, str, str], shown: list[str], errors: list[int]
) -> None:
    """T5: plain text goes to the shopper."""
    await bench.phone.person(ADA)
    bench.inbox.answers.append(answer)
    await bench.phone.say(ADA, "one")
    await bench.phone.say(ADA, "two")
    await until(lambda: len(bench.inbox.requests) == 2)
    assert [line["text"] for line in await bench.phone.lines(ADA) if line["from_shop"]] == shown
    assert bench.place.debugger == errors


async def test_t7_stop_blocks_the_sender_and_start_unblocks_it(bench: Bench) -> None:
    await bench.phone.person(ADA)
    await bench.phone.say(ADA, "stop")
    status, body = await post(bench, To=ADA, From=NUMBER, Body="hello?")
    assert (status, body["code"]) == (400, 21610)
    assert "unsubscribed" in (await bench.phone.lines(ADA))[-1]["text"]
    assert await bench.phone.ledger() == []
    await bench.phone.say(ADA, "START")
    assert (await post(bench, To=ADA, From=NUMBER, Body="hello!"))[0] == 201


async def test_t7_with_advanced_opt_out_the_word_is_named(bench: Bench) -> None:
    bench.place.service.url, bench.place.service_posts, bench.place.advanced_opt_out = bench.hook, True, True
    await bench.phone.person(ADA)
    await bench.phone.say(ADA, "STOP")
    await until(lambda: len(bench.inbox.requests) == 1)
    assert b"OptOutType=STOP" in bench.inbox.requests[0].body
    assert bench.place.service.sid.encode() in bench.inbox.requests[0].body


async def test_statuses_in_order_doubled_and_shuffled(bench: Bench) -> None:
    await bench.phone.person(ADA)

    async def told(number: int) -> list[bytes]:
        await post(bench, To=ADA, From=NUMBER, Body="x", StatusCallback=bench.hook)
        await until(lambda: len(bench.inbox.requests) == number)
        found = [b"delivered" in request.body for request in bench.inbox.requests]
        bench.inbox.requests.clear()
        return [b"delivered" if delivered else b"sent" for delivered in found]

    assert await told(2) == [b"sent", b"delivered"]
    await bench.phone.fault("twice", on="webhook")
    assert await told(3) == [b"sent", b"sent", b"delivered"]
    await bench.phone.fault("lost", on="webhook")
    assert await told(1) == [b"delivered"]
    await bench.phone.fault("shuffled", on="webhook", count=2)
    assert await told(2) == [b"delivered", b"sent"]


async def test_a_phone_without_network_gets_it_later(bench: Bench) -> None:
    await bench.phone.person(ADA)
    await bench.phone.act(ADA, "network", online=False)
    await post(bench, To=ADA, From=NUMBER, Body="x", StatusCallback=bench.hook)
    await until(lambda: len(bench.inbox.requests) == 1)
    await bench.phone.act(ADA, "network", online=True)
    await until(lambda: len(bench.inbox.requests) == 2)
    assert [b"MessageStatus=delivered" in request.body for request in bench.inbox.requests] == [False, True]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": "+393359999999", "From": NUMBER, "Body": "x"}, 30005),
        ({"To": "whatsapp:+393359999999", "From": f"whatsapp:{NUMBER}", "Body": "x"}, 63016),
        ({"To": ADA, "From": NUMBER, "MediaUrl": "http://127.0.0.1:9/x.png"}, 11200),
    ],
)
async def test_what_fails_later(bench: Bench, form: dict[str, str], code: int) -> None:
    await bench.phone.person(ADA)
    status, body = await post(bench, StatusCallback=bench.hook, **form)
    assert (status, body["error_code"]) == (201, None)
    await until(lambda: len(bench.inbox.requests) == 1)
    assert f"ErrorCode={code}".encode() in bench.inbox.requests[0].body
    assert bench.place.messages[body["sid"]].error_code == code


async def test_too_many_calls_a_second() -> None:
    async with twilio_bench(per_second=5) as bench:
        await bench.phone.person(ADA)
        answers = [await post(bench, To=ADA, From=NUMBER, Body="x") for _ in range(2)]
        assert [status for status, _ in answers] == [201, 429]
        assert answers[1][1]["code"] == 20429


async def test_two_simulators_share_nothing(bench: Bench) -> None:
    async with twilio_bench() as other:
        await bench.phone.person(ADA)
        await bench.phone.say(ADA, "ciao")
        assert other.place.messages == {}
        assert await other.phone.lines(ADA) == []


async def test_what_twilio_does_not_tell_nobody_can_do(bench: Bench) -> None:
    await bench.phone.person(ADA)
    line = await bench.phone.say(ADA, "ciao")
    for what, body in (("edit", {"line": line, "text": "x"}), ("delete", {"line": line}), ("react", {"line": line, "emoji": "x"})):
        async with bench.session.post(f"{bench.root}/control/people/%2B393351234567/{what}", json=body) as answer:
            assert answer.status == 409


def test_it_runs_alone() -> None:
    command = [sys.executable, "-m", "connectors.twilio.simulator", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "COLUMNS": "200"})
    assert "--auth-token" in done.stdout
