"""Web chat C2 and C6: who somebody is, where they began, and that they are typing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.whisper import PAUSE, TTL, Listener, Whisper, Whispers
from storage import utc_now
from tests.support.cast import Answer, Cast, Shopper, say
from tests.support.gateway import SHOP
from tests.support.visitor import call, events, jwt, lines
from tests.support.waiting import DEADLINE


async def _customer(cast: Cast, shopper: Shopper) -> dict[str, Any]:
    """The customer whom the shopper's newest conversation belongs to."""
    (line, *_) = await lines(cast, shopper, 1)
    conversation = (await cast.sue.get(f"/conversations/{line['conversation_id']}")).json["conversation"]
    return dict((await cast.sue.get(f"/customers/{conversation['customer_id']}")).json)


async def _until(cast: Cast, shopper: Shopper, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await _customer(cast, shopper)
            if wanted(found):
                return found
            await asyncio.sleep(0.01)


def _values(detail: dict[str, Any]) -> set[str]:
    return {item["identity"]["value"] for item in detail["identities"]}


# --- C6: typing ---------------------------------------------------------------------------------------------------------


async def test_agents_see_that_a_visitor_is_typing_if_they_see_the_conversation(cast: Cast) -> None:
    """C6: visitor to agents, ephemeral, with a TTL, at most one in three seconds; nothing in the stream."""
    conversation = await cast.conversation()
    async with cast.ada.feed() as ada, cast.sue.feed() as sue, cast.ben.feed() as ben, cast.cleo.open() as window:
        head = await cast.gateway.services.store.view(lambda tx: tx.stream.head())
        for _ in range(3):
            await window.send({"type": "typing"})
        for feed in (ada, sue):
            frame = await feed.of("typing")
            assert set(frame) == {"type", "conversation_id", "until"}
            assert frame["conversation_id"] == conversation["id"]
        assert await cast.gateway.services.store.view(lambda tx: tx.stream.head()) == head
        await say(window, "Here it is")
        await ada.until(lambda one: one["type"] == "message.added")
        await sue.until(lambda one: one["type"] == "message.added")
        assert [frame["type"] for frame in (*ada.seen, *sue.seen)].count("typing") == 2
        await cast.amy.call("PATCH", "/me", {"presence": "online"})  # all agents see this
        await ben.of("agent.changed")
        assert "typing" not in [frame["type"] for frame in ben.seen]


async def test_before_the_first_message_typing_is_nobodys_business(cast: Cast) -> None:
    """C6: no conversation, no whisper."""
    async with cast.sue.feed() as sue, cast.cleo.open() as window:
        await window.send({"type": "typing"})
        await say(window, "Hello")
        await sue.of("message.added")
        assert "typing" not in [frame["type"] for frame in sue.seen]


async def test_a_visitor_sees_that_an_agent_is_typing(cast: Cast) -> None:
    """C6: agent to this visitor only, on a socket and on a stream; an agent who cannot see the conversation gets the same 404."""
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}/typing"
    async with cast.cleo.open() as window, events(cast.cleo) as stream, cast.dan.open() as dan, cast.sue.feed() as sue:
        assert (await cast.ben.post(path)).status == 404
        for _ in range(3):
            answer = await cast.ada.post(path, {}, key="the-same")
            assert (answer.status, answer.raw) == (204, b"")
        for line in (window, stream):
            frame = await line.of("typing")
            assert (set(frame), frame["author"]) == ({"type", "until", "author"}, "Ada")
        await cast.ada.post(f"/conversations/{conversation['id']}/accept")
        await cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "Yes"})
        await window.of("message")
        await sue.of("message.added")
        await say(dan, "Hello?")
        await dan.of("message")
        assert [frame["type"] for frame in window.seen].count("typing") == 1
        assert "typing" not in [frame["type"] for frame in (*dan.seen, *sue.seen)]


async def test_whispers_are_few_and_stay_in_their_gateway() -> None:
    """C6: a pause for each speaker, bounded memory, two gateways apart."""
    one, other, now = Whispers(), Whispers(), utc_now()
    assert [one.may("cleo", now), one.may("cleo", now + PAUSE / 2), one.may("dan", now), one.may("cleo", now + PAUSE)] == [
        True,
        False,
        True,
        True,
    ]
    assert other.may("cleo", now)
    with one.listen() as near, other.listen() as far:
        for number in range(200):
            one.say(Whisper(conversation_id=str(number), until=now + TTL))
        assert (await near.next()).conversation_id == "100"
        other.say(Whisper(conversation_id="x", until=now + TTL))
        assert (await far.next()).conversation_id == "x"
    one.say(Whisper(conversation_id="late", until=now + TTL))
    assert await _all(near) == [str(number) for number in range(101, 200)]


async def _all(listener: Listener) -> list[str]:
    found: list[str] = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                found.append((await listener.next()).conversation_id)
        except TimeoutError:
            return found


# --- C2, C6: a stranger turns out to be somebody ------------------------------------------------------------------------


@pytest.mark.parametrize("user_wrote_before", [True, False], ids=["a known user", "a new user"])
async def test_a_stranger_becomes_the_signed_user_and_it_can_be_undone(cast: Cast, user_wrote_before: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """C6: explicit (both tokens) and reversible (the existing unmerge), whether the user was known or not."""
    if user_wrote_before:
        laptop = Shopper(cast.gateway)
        await laptop.begin(jwt=jwt())
        await laptop.say("from the laptop")
    conversation = await cast.conversation("as a stranger")
    answer = await call(cast.cleo, "POST", "identify", {"jwt": jwt(name="Cleo Rossi")})
    assert answer.status == 201
    assert answer.json["visitor_id"] == "user:42"
    user = Shopper(cast.gateway, token=answer.json["token"], visitor_id="user:42")
    joined = await _until(cast, cast.cleo, lambda detail: "user:42" in _values(detail))
    assert _values(joined) == {cast.cleo.visitor_id, "user:42"}
    assert joined["customer"]["id"] != conversation["customer_id"]
    # Agents read the stranger's words in the user's history; the user sees their own conversation only.
    history = (await cast.sue.get(f"/customers/{joined['customer']['id']}/history")).json["items"]
    assert "as a stranger" in [line["parts"][0]["text"] for line in history]
    async with user.open() as window:
        assert "as a stranger" not in repr(window.seen)
        await say(window, "as myself")
    own = await _until(cast, user, lambda detail: len(_values(detail)) == 2)
    assert own["customer"]["id"] == joined["customer"]["id"]

    undone = await cast.sue.post(f"/customers/{joined['customer']['id']}/unmerge", {"from_id": conversation["customer_id"]})
    assert undone.status == 200, undone.raw
    assert _values(await _customer(cast, cast.cleo)) == {cast.cleo.visitor_id}
    assert _values(await _customer(cast, user)) == {"user:42"}
    # Said again by the page: an agent's undoing stands.
    assert (await call(cast.cleo, "POST", "identify", {"jwt": jwt()})).status == 201
    await user.say("again")
    await lines(cast, user, 2)
    assert _values(await _customer(cast, cast.cleo)) == {cast.cleo.visitor_id}


async def test_half_a_proof_attaches_nothing(cast: Cast) -> None:
    """C2, C6: a JWT alone, a token alone, a token of another channel, a wrong JWT: nothing changes."""
    conversation = await cast.conversation()
    other = Shopper(cast.gateway, channel="web2", origin="https://other.example.org")
    await other.begin()
    headers = {"Origin": SHOP, "Content-Type": "application/json"}
    body = b'{"jwt":"' + jwt().encode() + b'"}'
    alone = Answer(*await cast.gateway.request("POST", "/chat/v1/web/identify", data=body, headers=headers))
    assert (alone.status, alone.code) == (401, "bad_token")
    assert (await call(cast.cleo, "POST", "identify", {"jwt": jwt()}, token=other.token)).code == "bad_token"
    assert (await call(cast.cleo, "POST", "identify", {})).code == "invalid_body"
    for wrong in (jwt(secret="x" * 40), jwt(aud="web2"), jwt(exp=1)):
        assert (await call(cast.cleo, "POST", "identify", {"jwt": wrong})).code == "bad_jwt"
    # A channel without an identity secret knows no users.
    assert (await call(other, "POST", "identify", {"jwt": jwt(aud="web2")})).code == "bad_jwt"
    await cast.cleo.say("still me")
    await lines(cast, cast.cleo, 2)
    assert _values(await _customer(cast, cast.cleo)) == {conversation["identity"]["value"]}


async def test_a_user_cannot_become_another_user(cast: Cast) -> None:
    """C2: a named token stays its user's; said again it is only renewed."""
    user = Shopper(cast.gateway)
    await user.begin(jwt=jwt())
    assert (await call(user, "POST", "identify", {"jwt": jwt(sub="43")})).code == "already_identified"
    assert (await call(user, "POST", "identify", {"jwt": jwt()})).json["visitor_id"] == "user:42"


async def test_another_road_into_the_intake_is_closed(cast: Cast) -> None:
    """C1: a visitor's token opens nothing at a webhook's address, whatever the address also says."""
    await cast.cleo.begin()
    frame = b'{"type":"message","id":"uuid-0001","text":"x"}'
    for path in ("/webhooks/web", "/webhooks/web?x=/chat/v1/web/socket"):
        status, _, _ = await cast.gateway.request("POST", path, data=frame, headers={"x-visitor": cast.cleo.token})
        assert status == 404


# --- C6: where it began -------------------------------------------------------------------------------------------------


async def test_agents_see_where_a_conversation_began(cast: Cast) -> None:
    """C6: page, campaign and referrer, once for each conversation; what is no web address is left out."""
    page, referrer = "https://shop.example.org/cups?utm_source=news", "https://search.example/"
    async with cast.cleo.open() as window:
        await window.send({"type": "message", "id": "uuid-0001", "text": "one", "page": page, "referrer": referrer})
        await window.of("ack")
        await window.send({"type": "message", "id": "uuid-0002", "text": "two", "page": "https://shop.example.org/other"})
        await window.of("ack")
        shown = await lines(cast, cast.cleo, 4)
    told = [(part["code"], part["subject"]) for line in shown for part in line["parts"] if part["type"] == "activity"]
    assert told == [("referred", referrer), ("started", page)]
    async with cast.dan.open() as window:
        await window.send({"type": "message", "id": "uuid-0001", "text": "one", "page": "javascript:alert(1)", "referrer": "x"})
        await window.of("ack")
        await say(window, "two")
    assert [line["kind"] for line in await lines(cast, cast.dan, 2)] == ["inbound", "inbound"]
