"""Visitors of the web chat: their own words once, their own history only, in every tab."""

import asyncio
import json
import time
import uuid
from pathlib import Path

import pytest

from gateway.web import live
from tests.support.cast import Cast, Frames, Shopper, say
from tests.support.gateway import SHOP, gateway_config, running_gateway
from tests.support.visitor import jwt
from tests.support.waiting import DEADLINE


async def _texts(cast: Cast, shopper: Shopper, wanted: int) -> list[str]:
    """What the supervisor reads in the shopper's conversation, once there are ``wanted`` lines."""
    async with asyncio.timeout(DEADLINE):
        while True:
            for item in (await cast.sue.get("/conversations")).json["items"]:
                if item["identity"]["value"] == shopper.visitor_id:
                    lines = (await cast.sue.get(f"/conversations/{item['id']}/messages")).json["items"]
                    if len(lines) >= wanted:
                        return [line["parts"][0].get("text", line["parts"][0]["type"]) for line in lines]
            await asyncio.sleep(0.01)


async def test_a_frame_sent_again_is_one_message(cast: Cast) -> None:
    """C3: a client id is one message, however often it is sent; each is acknowledged."""
    identifier = str(uuid.uuid4())
    async with cast.cleo.open() as window:
        first = await say(window, "once", identifier)
        assert await say(window, "once", identifier) == first
    async with cast.cleo.open() as window:
        assert await say(window, "once", identifier) == first
        await say(window, "twice")
    assert await _texts(cast, cast.cleo, 2) == ["once", "twice"]


async def test_two_tabs_show_the_same_once(cast: Cast) -> None:
    """C3: every tab gets every event once."""
    await cast.cleo.begin()
    async with cast.cleo.open() as left, cast.cleo.open() as right:
        await say(left, "from the left")
        for tab in (left, right):
            shown = next((frame for frame in tab.seen if frame["type"] == "message"), None) or await tab.of("message")
            assert (shown["mine"], shown["parts"][0]["text"]) == (True, "from the left")
        await say(right, "from the right")
        shown = await left.of("message")
        assert shown["parts"][0]["text"] == "from the right"
        assert [frame["type"] for frame in left.seen].count("message") == 2


async def test_a_returning_visitor_gets_what_was_missed(cast: Cast) -> None:
    """C3: replay after the last position; C6: what came while nobody was there is waiting."""
    conversation = await cast.conversation("first")
    async with cast.cleo.open() as window:
        last = window.seen[-1]["items"][-1]["pos"]
    await cast.ada.post(f"/conversations/{conversation['id']}/accept")
    await cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "while you were away"})
    async with cast.cleo.open(last) as window:
        hello, history = window.seen[-2:]
        assert [item["parts"][0]["text"] for item in history["items"]] == ["while you were away"]
        assert hello["unread"] == 1
        await window.send({"type": "seen", "pos": hello["pos"], "read": True})
        await say(window, "thanks")
    async with cast.cleo.open() as window:
        assert window.seen[-2]["unread"] == 0


async def test_nobody_sees_anybody_elses_chat(cast: Cast) -> None:
    """C1: a session sees its own conversation only."""
    async with cast.dan.open() as dan:
        await cast.conversation("private")
        await say(dan, "hello?")
        await dan.until(lambda frame: frame["type"] == "message")
    assert "private" not in repr(dan.seen)


async def test_a_visitor_cannot_pretend(cast: Cast) -> None:
    """C1: frames are checked, their size included."""
    conversation = await cast.conversation("genuine")
    line = (await cast.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"][0]
    attempts: list[dict[str, object]] = [
        {"type": "message", "id": "aaaaaaaa-1", "text": "x", "sender": "agent"},
        {"type": "message", "id": "aaaaaaaa-2", "text": "x", "pos": 1},
        {"type": "message", "id": "aaaaaaaa-3", "text": "x", "at": "1970-01-01T00:00:00Z"},
        {"type": "message", "id": "aaaaaaaa-4", "text": "x", "visitor": cast.cleo.visitor_id},
        {"type": "edit", "id": line["id"], "text": "forged"},
        {"type": "subscribe", "conversation": "GENERAL"},
        {"type": "message", "id": "aaaaaaaa-5", "text": ""},
        {"type": "message", "id": "aaaaaaaa-6", "text": "x" * 10_001},
        {"type": "message", "id": "", "text": "x"},
        {"type": "message", "text": "x"},
        {"type": "message", "id": "aaaaaaaa-7", "text": ["x"]},
        {"type": "seen", "pos": 2**60},
    ]
    async with cast.dan.open() as window:
        for attempt in attempts:
            await window.send(attempt)
            error = await window.next()
            assert (error["type"], error["code"]) == ("error", "bad_frame"), attempt
            assert error.get("id", "") == str(attempt.get("id", ""))
        await say(window, "honest")
    assert await _texts(cast, cast.dan, 1) == ["honest"]
    assert await _texts(cast, cast.cleo, 1) == ["genuine"]


async def test_tokens_that_are_not_ours(cast: Cast) -> None:
    """C1: only a token that we signed for this channel."""
    await cast.cleo.begin()
    await cast.dan.begin()
    other = Shopper(cast.gateway, channel="web2", origin="https://other.example.org")
    await other.begin()
    key, payload, mac = cast.cleo.token.split(".")
    wrong = [
        other.token,
        f"{key}.{payload}.{mac[:-2]}AA",
        f"b.{payload}.{mac}",
        f"{key}.{cast.dan.token.split('.')[1]}.{mac}",
        f"{key}.{payload}",
        cast.cleo.visitor_id,
        "é",
        "",
    ]
    for token in wrong:
        async with cast.gateway.http.ws_connect(f"{cast.gateway.url}/chat/v1/web/socket", headers={"Origin": SHOP}) as socket:
            frames = Frames(socket)
            await frames.send({"type": "hello", "token": token})
            assert await frames.closed() == 4401
            assert frames.seen == []
    # The same token in two tabs is the same visitor.
    async with cast.cleo.open() as one, cast.cleo.open() as two:
        assert one.seen[0]["visitor_id"] == two.seen[0]["visitor_id"] == cast.cleo.visitor_id


async def test_users_whom_the_shop_vouches_for(cast: Cast) -> None:
    """C2: users by a JWT of the shop's server; anything else is refused."""
    phone, laptop = Shopper(cast.gateway), Shopper(cast.gateway)
    assert (await phone.begin(jwt=jwt())).status == 201
    assert (await laptop.begin(jwt=jwt())).status == 201
    assert phone.visitor_id == laptop.visitor_id == "user:42"
    await phone.say("from the phone")
    await _texts(cast, phone, 1)
    async with laptop.open() as window:
        assert [item["parts"][0]["text"] for item in window.seen[-1]["items"]] == ["from the phone"]
    wrong = [
        jwt(secret="another secret"),
        jwt(alg="none"),
        jwt(alg="HS512"),
        jwt(aud="web2"),
        jwt(exp=int(time.time()) - 1),
        jwt(exp=int(time.time()) + 7200),
        jwt(sub=""),
        jwt(nbf=int(time.time()) + 3600),
        "x",
        "a.b.c",
        jwt().rsplit(".", 1)[0] + ".",
    ]
    for token in wrong:
        answer = await Shopper(cast.gateway).begin(jwt=token)
        assert (answer.status, answer.code) == (401, "bad_jwt"), token
    stranger = Shopper(cast.gateway, channel="web2", origin="https://other.example.org")
    assert (await stranger.begin(jwt=jwt(aud="web2"))).code == "bad_jwt"


async def test_what_visitors_say_about_themselves_is_a_claim(cast: Cast) -> None:
    """C2: name and e-mail that a visitor types are claims, and open nobody's history."""
    conversation = await cast.conversation()
    async with cast.cleo.open() as window:
        await window.send({"type": "profile", "id": "profile-0001", "name": "Cleo", "email": "Cleo@Example.org"})
        await window.of("ack")
    async with asyncio.timeout(DEADLINE):
        while True:
            detail = (await cast.sue.get(f"/customers/{conversation['customer_id']}")).json
            if len(detail["identities"]) == 2:
                break
            await asyncio.sleep(0.01)
    claimed = {item["identity"]["scheme"]: item["evidence"] for item in detail["identities"]}
    assert claimed == {"visitor": "signed", "mailto": "claimed"}
    assert detail["customer"]["name"] == "Cleo"
    # Somebody else claims the same address, and gets nothing by it.
    async with cast.dan.open() as window:
        await window.send({"type": "profile", "id": "profile-0002", "email": "cleo@example.org"})
        await window.of("ack")
        await say(window, "I am Cleo")
    await _texts(cast, cast.dan, 1)
    async with cast.dan.open() as window:
        assert "Hello" not in repr(window.seen)


async def test_choices_come_back_as_what_was_chosen(cast: Cast) -> None:
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    await cast.ada.post(f"{path}/accept")
    question = {"type": "choices", "text": "Size?", "options": [{"id": "s", "label": "Small"}, {"id": "l", "label": "Large"}]}
    async with cast.cleo.open() as window:
        assert (await cast.ada.post(f"{path}/messages", {"parts": [question]})).status == 201
        assert (await window.of("message"))["parts"] == [question]
        await window.send({"type": "chosen", "id": "chosen-0001", "option": "l", "label": "Large"})
        await window.of("ack")
        assert (await window.of("message"))["parts"] == [{"type": "chosen", "id": "l", "label": "Large"}]


async def test_the_reply_is_delivered_and_read(cast: Cast) -> None:
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    await cast.ada.post(f"{path}/accept")
    async with cast.ada.feed() as feed, cast.cleo.open() as window:
        written = (await cast.ada.post(f"{path}/messages", {"text": "Hi"})).json["message"]["id"]
        shown = await window.of("message")
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
        await window.send({"type": "seen", "pos": shown["pos"], "read": True})
        frame = await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "read")
        assert frame["data"]["message"]["id"] == written
    assert "status" not in repr(window.seen)


async def test_cors_is_exact(stage: Cast) -> None:
    """C1: the origins of the list, exactly."""
    path = "/chat/v1/web/sessions"
    status, headers, _ = await stage.gateway.request("OPTIONS", path, headers={"Origin": SHOP, "Access-Control-Request-Method": "POST"})
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (204, SHOP, "Origin")
    assert "Access-Control-Allow-Credentials" not in headers
    status, headers, _ = await stage.gateway.request("POST", path, data=b"[]", headers={"Origin": SHOP, "Content-Type": "application/json"})
    assert (status, headers["Access-Control-Allow-Origin"]) == (400, SHOP)
    for channel in ("nobody", "bot", "off"):
        assert (await stage.gateway.request("POST", f"/chat/v1/{channel}/sessions", data=b"{}", headers={"Origin": SHOP}))[0] == 404


async def test_the_demo_chats_on_its_own_pages_only(tmp_path: Path) -> None:
    """C1: the gateway's own pages only in the demo."""
    async with running_gateway(gateway_config(tmp_path), demo=True) as gateway:
        assert (await Shopper(gateway, origin=gateway.url).begin()).status == 201
        assert (await Shopper(gateway, origin="http://127.0.0.1:1").begin()).status == 403
    async with running_gateway(gateway_config(tmp_path)) as gateway:
        assert (await Shopper(gateway, origin=gateway.url).begin()).status == 403


async def test_a_silent_line_gets_pings(stage: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: a heartbeat below 30 s."""
    monkeypatch.setattr(live, "PING_SECONDS", 0.02)
    shopper = Shopper(stage.gateway)
    await shopper.begin()
    async with stage.gateway.http.ws_connect(f"{stage.gateway.url}/chat/v1/web/socket", headers={"Origin": SHOP}) as socket:
        await socket.send_json({"type": "hello", "token": shopper.token})
        types = [json.loads((await socket.receive(DEADLINE)).data)["type"] for _ in range(4)]
    assert types[:2] == ["hello", "history"]
    assert types[-1] == "ping"
