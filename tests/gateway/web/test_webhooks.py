"""Deliveries of providers: taken once, kept whatever they are, and counted so that everything adds up."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from config import ChannelConfig
from connectors.content import Text
from connectors.contract import Request
from connectors.event import AnyEvent, MessageReceived, PayloadIgnored, PayloadQuarantined, Sender, encode_event
from connectors.identity import Identity
from gateway.intake import entry_of, read_events
from gateway.reprocess import reprocess
from storage.protocol import WHOLE
from tests.gateway.bad_input.rows import HOOK, SIGNED, update
from tests.support.cast import Cast, Shopper
from tests.support.gateway import BOT_SECRET, SHOP, RunningGateway, gateway_config, running_gateway, with_server
from tests.support.waiting import DEADLINE
from tests.support.wire import raw_http


async def _previews(cast: Cast, wanted: int) -> list[str]:
    async with asyncio.timeout(DEADLINE):
        while True:
            items = (await cast.sue.get("/conversations")).json["items"]
            if len(items) >= wanted:
                return [item["preview"] for item in items]
            await asyncio.sleep(0.01)


async def taken(gateway: RunningGateway) -> int:
    """How many events came in by channels; the gateway's own word on their health is none."""
    recorded = await gateway.services.store.read(WHOLE, 0, 1000)
    return sum(1 for one in recorded if one.entry.channel)


async def test_a_replayed_delivery_is_one_message(cast: Cast) -> None:
    for _ in range(3):
        status, _, body = await cast.gateway.request("POST", HOOK, data=update(1, text="once"), headers=SIGNED)
        assert (status, body) == (200, b"")
    assert (await cast.gateway.request("POST", HOOK, data=update(2, text="other"), headers=SIGNED))[0] == 200
    assert await _previews(cast, 2) == ["other", "once"]
    conversation = (await cast.sue.get("/conversations")).json["items"][1]
    page = (await cast.sue.get(f"/conversations/{conversation['id']}/messages")).json
    assert [item["kind"] for item in page["items"]] == ["inbound"]


async def test_what_came_in_adds_up(cast: Cast) -> None:
    await cast.gateway.request("POST", HOOK, data=update(1), headers=SIGNED)
    await cast.gateway.request("POST", HOOK, data=update(1), headers=SIGNED)
    await cast.gateway.request("POST", HOOK, data=b"unreadable", headers=SIGNED)
    await cast.gateway.request("POST", HOOK, data=b"unreadable", headers=SIGNED)
    await cast.gateway.request("POST", HOOK, data=update(2), headers={"Content-Type": "application/json"})
    (bot,) = [item for item in (await cast.amy.get("/reconcile")).json["items"] if item["channel"] == "bot"]
    assert bot == {
        "channel": "bot", "received": 5, "carried": 0, "appended": 1, "duplicates": 2, "quarantined": 1, "refused": 1, "spooled": 0,
        "balanced": True, "waiting_for_reprocess": 1,
    }  # fmt: skip
    (waiting,) = (await cast.amy.get("/quarantine")).json["items"]
    assert (waiting["channel"], waiting["size"]) == ("bot", 10)
    assert (await cast.sue.get("/quarantine")).status == 403


async def test_a_repeated_header_is_no_secret(gateway: RunningGateway) -> None:
    body = update(9)
    head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    twice = f"X-Telegram-Bot-Api-Secret-Token: {BOT_SECRET}\r\n" * 2
    assert (await raw_http(gateway.port, f"{head}{twice}\r\n".encode() + body))[0] == 403
    once = f"X-Telegram-Bot-Api-Secret-Token: {BOT_SECRET}\r\n"
    assert (await raw_http(gateway.port, f"{head}{once}\r\n".encode() + body))[0] == 200


async def test_bodies_without_or_with_a_wrong_length(gateway: RunningGateway) -> None:
    signed = f"X-Telegram-Bot-Api-Secret-Token: {BOT_SECRET}\r\nContent-Type: application/json\r\n"
    start = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\n{signed}".encode()
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    status, _ = await raw_http(gateway.port, start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17)
    assert status == 413
    status, _ = await raw_http(gateway.port, start + b"Content-Length: 5000\r\n\r\n{}", finish=True)
    assert status in (0, 400, 408)
    status, _ = await raw_http(gateway.port, start + b"Content-Length: -1\r\n\r\n{}")
    assert status == 400
    status, _ = await raw_http(gateway.port, start + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}")
    assert status == 400
    assert await taken(gateway) == 0


async def test_all_unknown_channels_look_the_same(gateway: RunningGateway) -> None:
    answers = []
    for channel in ("nobody", "off", "BOT", "x" * 500, "%00", "b%C3%B6t"):
        status, headers, body = await gateway.request("POST", f"/webhooks/{channel}", data=b"{}", headers=SIGNED)
        answers.append((status, body, sorted(name for name in headers if name != "Date")))
    assert answers == [answers[0]] * len(answers)
    assert answers[0][:2] == (404, b"")


async def test_nul_becomes_a_replacement_character(cast: Cast) -> None:
    body = update(15).replace(b'"text": "hi"', b'"text": "a\\u0000b"')
    assert (await cast.gateway.request("POST", HOOK, data=body, headers=SIGNED))[0] == 200
    assert await _previews(cast, 1) == ["a\ufffdb"]
    conversation = (await cast.sue.get("/conversations")).json["items"][0]["id"]
    await cast.sue.post(f"/conversations/{conversation}/accept")
    answer = await cast.sue.call("POST", f"/conversations/{conversation}/messages", b'{"text":"c\\u0000d"}')
    assert answer.json["message"]["parts"] == [{"type": "text", "text": "c\ufffdd"}]


async def test_a_payload_is_read_again_after_a_fix(cast: Cast) -> None:
    services = cast.gateway.services
    broken = json.dumps({"update_id": 1, "message": {"message_id": "not a number"}}).encode()
    assert (await cast.gateway.request("POST", HOOK, data=broken, headers=SIGNED))[0] == 200
    assert await reprocess(services) == {"recovered": 0, "remaining": 1, "events": 0}

    def parse(request: Request, settings: object) -> Sequence[AnyEvent]:
        assert (request.body, settings) == (broken, channel.settings)
        sender = Sender(identity=Identity("telegram", "1000001", "7"), name="Tardy")
        return [MessageReceived(key="u:1", sender=sender, message_id="7:1", parts=(Text(text="at last"),))]

    channel = services.channels["bot"]
    fixed = replace(channel, connector=replace(channel.connector, parse=parse))
    later = replace(services, channels={**services.channels, "bot": fixed})
    assert await reprocess(later, "web") == {"recovered": 0, "remaining": 0, "events": 0}
    assert await reprocess(later, "bot") == {"recovered": 1, "remaining": 0, "events": 1}
    assert await reprocess(later) == {"recovered": 0, "remaining": 0, "events": 0}
    assert await _previews(cast, 1) == ["at last"]


async def test_a_parser_that_crashes_loses_nothing(cast: Cast) -> None:
    services = cast.gateway.services
    channel = services.channels["bot"]
    request = Request(method="POST", url="", headers={}, body=b"payload", received_at=services.clock())
    for parse in (_crash, _nothing, _keyless, _half_a_character):
        (event,) = read_events(replace(channel, connector=replace(channel.connector, parse=parse)), request)
        assert isinstance(event, PayloadQuarantined)
        assert (event.raw, event.key) == (b"payload", "q:" + hashlib.sha256(b"payload").hexdigest())


def _crash(*_: object) -> Sequence[AnyEvent]:
    raise RecursionError


def _nothing(*_: object) -> Sequence[AnyEvent]:
    return []


def _keyless(*_: object) -> Sequence[AnyEvent]:
    return [PayloadIgnored(key="", why="x")]


def _half_a_character(*_: object) -> Sequence[AnyEvent]:
    return [PayloadIgnored(key="k", why="\ud800")]


async def test_a_big_body_may_be_allowed(tmp_path: Path) -> None:
    config = with_server(gateway_config(tmp_path), max_body=2 * 1024 * 1024)
    async with running_gateway(config) as gateway:
        status, _, _ = await gateway.request("POST", HOOK, data=b" " * (1024 * 1024 + 1), headers=SIGNED)
        assert status == 200


async def test_a_visitor_has_no_way_in_beside_the_chat(tmp_path: Path) -> None:
    """The chat's own door checks whose files a message names and how often somebody writes; a webhook would not."""
    chat = ChannelConfig(kind="webchat", settings={"origins": [SHOP], "secret": "canary-chat-0123456789abcdef0123456"})
    async with running_gateway(gateway_config(tmp_path, {"web": chat})) as running:
        shopper = Shopper(running)
        await shopper.begin()
        body = json.dumps({"type": "message", "id": "0123456789ab", "text": "x", "files": [{"id": "med_1"}]}).encode()
        headers = {"X-Visitor": shopper.token, "Content-Type": "application/json"}
        for path in ("/webhooks/web?from=/chat/v1/web/socket", "/webhooks/web"):
            status, _, answer = await running.request("POST", path, data=body, headers=headers)
            assert (status, answer) == (404, b"")
        assert await taken(running) == 0


async def test_a_quarantined_frame_of_a_visitor_says_who_wrote_and_opens_nothing(cast: Cast) -> None:
    """After a fix of the parser it comes in under the right name; what is kept is no credential."""
    services = cast.gateway.services
    assert (await cast.cleo.begin()).status == 201
    channel = services.channels["web"]
    frame = b'{"type":"message","id":"5e8bd1d8-7d63-4d73-8a11-7ab2e1f8a001","text":"kept"}'
    url = f"{cast.gateway.url}/chat/v1/web/socket"
    request = Request(method="POST", url=url, headers={"x-visitor": cast.cleo.token}, body=frame, received_at=services.clock())
    (event,) = read_events(replace(channel, connector=replace(channel.connector, parse=_crash)), request)
    assert isinstance(event, PayloadQuarantined)
    assert cast.cleo.token.rpartition(".")[2] not in encode_event(event).decode()
    await services.store.append([entry_of("web", event, request)])
    assert await reprocess(services, "web") == {"recovered": 1, "remaining": 0, "events": 1}
    assert await _previews(cast, 1) == ["kept"]
    (conversation,) = (await cast.sue.get("/conversations")).json["items"]
    assert conversation["identity"]["value"] == cast.cleo.visitor_id
    assert not channel.connector.verify(structs.replace(request, headers=event.headers), channel.settings)
