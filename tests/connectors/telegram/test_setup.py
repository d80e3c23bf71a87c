"""Webhook, credentials, courtesies: the rest of the client, over real HTTP."""

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
from aiohttp import web

from config import ConfigError
from connectors.abilities import Acknowledger, Linker, MediaFetcher, Provisioner, Receiver
from connectors.content import Text
from connectors.contract import Failure, Request
from connectors.errors import FailureKind
from connectors.event import MessageReceived, PayloadIgnored
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.simulator.app import UPDATES
from tests.support.serving import serving
from tests.support.telegram import SECRET, TOKEN, Bench, deliver
from tests.support.waiting import until


def test_the_client_offers_everything_that_a_bot_can(bench: Bench) -> None:
    client = bench.client()
    for ability in (Receiver, MediaFetcher, Acknowledger, Linker, Provisioner):
        assert isinstance(client, ability)


@pytest.mark.parametrize("token", ["700000001:canary-wrong", "999:other"])
async def test_wrong_token(bench: Bench, token: str) -> None:
    outcomes = await deliver(bench, 1, Text(text="x"), client=bench.client(bench.settings(token=token)))
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].kind is FailureKind.AUTH


async def test_webhooks_are_posted_with_the_secret_until_they_are_taken(bench: Bench) -> None:
    """G1: header, repetition on non-2xx, order within a chat, findings in words."""
    settings = bench.settings(mode="webhook")
    seen: list[tuple[bool, str]] = []
    refuse = 1

    async def hook(request: web.Request) -> web.Response:
        nonlocal refuse
        body = await request.read()
        received = Request(
            method="POST",
            url=str(request.url),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            received_at=bench_time(),
        )
        (event,) = CONNECTOR.parse(received, settings)
        assert isinstance(event, MessageReceived)
        part = event.parts[0]
        assert isinstance(part, Text)
        seen.append((CONNECTOR.verify(received, settings), part.text))
        refuse -= 1
        return web.Response(status=503 if refuse >= 0 else 200)

    app = web.Application()
    app.router.add_post("/hook", hook)
    async with serving(app) as root:
        client = bench.client(settings)
        found = await client.provision(f"{root}/hook")
        assert "Bot @demo_shop_bot" in found
        assert f"Webhook {root}/hook set." in found
        user = await bench.phone.user()
        for number in range(3):
            await bench.phone.say(user, text=str(number))
        await until(lambda: bench.app[UPDATES].pending == 0)
        assert seen == [(True, "0"), (True, "0"), (True, "1"), (True, "2")]
        found = await client.provision(f"{root}/hook")
    assert SECRET not in found


def bench_time() -> datetime:
    return datetime(2026, 11, 21, tzinfo=UTC)


async def test_provisioning_says_what_is_wrong(bench: Bench) -> None:
    """G1: last_error_message and pending_update_count reach the operator."""
    assert "Unauthorized" in await bench.client(bench.settings(token="700000001:canary-wrong")).provision("https://x.test/")
    client = bench.client(bench.settings(mode="webhook"))
    assert "Webhook refused: Bad Request: bad webhook" in await client.provision("ftp://x.test/")
    await client.provision("http://127.0.0.1:1/hook")
    await bench.phone.say(await bench.phone.user(), text="lost?")
    await until(lambda: bool(bench.app[UPDATES].webhook.last_error_message))
    info = await client._ask("getWebhookInfo")
    assert b"Connection failed" in info.body
    assert b'"pending_update_count":1' in info.body


async def test_provisioning_a_long_poll_removes_the_webhook(bench: Bench) -> None:
    await bench.client(bench.settings(mode="webhook")).provision("http://127.0.0.1:1/hook")
    assert bench.app[UPDATES].webhook.url
    assert "long poll" in await bench.client().provision("http://127.0.0.1:1/hook")
    assert not bench.app[UPDATES].webhook.url


async def test_an_acknowledgement_that_fails_is_no_trouble(bench: Bench) -> None:
    client = bench.client()
    await client.acknowledge(PayloadIgnored(key="1:callback:777", why="x"))
    await client.acknowledge(PayloadIgnored(key="1:message:1:1", why="x"))


async def test_nothing_shows_token_or_secret(bench: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """G10, B110: logs at DEBUG, reprs, replies, outcomes and findings, with everything going wrong."""
    caplog.set_level("DEBUG")
    caplog.set_level("DEBUG", "telegram")  # the gateway's own set-up keeps it quiet
    settings: Settings = bench.settings(mode="webhook")
    client = bench.client(settings)
    said = [repr(settings), repr(client), repr(client._bot), await client.provision("http://127.0.0.1:1/hook")]
    user = await bench.phone.user()
    for kind in ("500", "garbage", "reset_after", "hang"):
        await bench.phone.post("faults", kind=kind, seconds=0.01)
        said.append(repr(await deliver(bench, user, Text(text="x"), client=client)))
    unreachable = bench.client(bench.settings(api_base="http://127.0.0.1:1"))
    said.append(repr(await deliver(bench, user, Text(text="x"), client=unreachable)))
    said.append(await unreachable.provision("https://x.test/"))
    await bench.phone.post("faults", kind="500", method="getUpdates")
    polling = bench.client().receive()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(polling)
    await polling.aclose()  # type: ignore[attr-defined]
    said.append(repr(await client.fetch_media("nope", 1)))
    captured = capfd.readouterr()
    everything = "\n".join([*said, caplog.text, captured.out, captured.err])
    assert "sendmessage" in everything, "the library's DEBUG lines must be among what is searched"
    for canary in (TOKEN, TOKEN.partition(":")[2], SECRET):
        assert canary not in everything


async def test_g11_a_link_to_the_bot_carries_a_word(bench: Bench) -> None:
    """Telegram is asked what the bot is called, once; the operator may say it."""
    word = "a" * 60 + "_-09"
    client = bench.client()
    assert isinstance(client, Linker)
    assert await client.start_link(word) == f"https://t.me/demo_shop_bot?start={word}"
    await bench.phone.post("faults", kind="500", method="getMe")
    assert await client.start_link(word) == f"https://t.me/demo_shop_bot?start={word}"
    with pytest.raises(OSError, match="does not say what the bot is called"):
        await bench.client().start_link(word)
    named = bench.client(bench.settings(bot_username="Our_Bot", link_base="https://links.example/"))
    assert await named.start_link("x") == "https://links.example/Our_Bot?start=x"


@pytest.mark.parametrize("wrong", [{"link_base": "t.me"}, {"link_base": "https://me:pw@t.me"}, {"bot_username": "@shop"}])
def test_a_link_that_could_not_work_is_refused_at_the_start(bench: Bench, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        bench.settings(**wrong)
