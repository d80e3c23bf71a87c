"""A shopper follows a link of ours to another channel: with a good token they are whom it was given to; without, nobody is joined."""

import base64
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from config import Secret
from connectors.content import Activity
from connectors.event import ChatStarted, MessageReceived, Sender
from connectors.identity import Evidence, Identity
from routing.command import MergeCustomers, UnmergeCustomers
from routing.link import LIFE, Links
from routing.linked import LINKED
from routing.rules import Rules
from storage.ids import derive_id, id_bytes, id_of_bytes
from storage.record import Conversation, Customer, KnownIdentity, Message
from tests.routing.world import GATEWAY, Clock, World

KEY = Secret("canary-key-of-the-tests-0123456789abcdef")
LINKS = Links(KEY)
BOT = "shop"


@pytest.fixture
def town(world: World) -> World:
    return dataclasses.replace(world, rules=Rules(links=LINKS))


def telegram(name: str) -> Identity:
    return Identity("telegram", "700000001", name)


async def starts(town: World, name: str, payload: str, channel: str = BOT) -> None:
    sender = Sender(identity=telegram(name), name=name.title())
    await town.receive(ChatStarted(key=town.id(), sender=sender, thread=name, payload=payload), channel=channel)


async def says(town: World, name: str, text: str = "ciao") -> Conversation:
    return await town.writes(name, text)


async def owner(town: World, identity: Identity) -> KnownIdentity:
    found = await town.store.view(lambda tx: tx.customers.find(identity))
    assert found is not None
    return found


async def token_for(town: World, conversation: Conversation, channel: str = BOT) -> str:
    return LINKS.make(channel, conversation.id, town.clock())[0]


async def lines(town: World, conversation: Conversation) -> list[Message]:
    return await town.store.view(lambda tx: tx.messages.of_conversation(conversation.id, 0, 0, 100))


def said(found: list[Message]) -> list[tuple[str, str]]:
    return [(part.code, part.subject) for line in found for part in line.parts if isinstance(part, Activity)]


async def apart(town: World, chat: Conversation, name: str = "42") -> bool:
    """Is the Telegram user somebody else than the visitor?"""
    return (await owner(town, telegram(name))).customer_id != chat.customer_id


async def test_a_link_joins_who_follows_it(town: World) -> None:
    chat = await says(town, "cleo")
    await starts(town, "42", await token_for(town, chat))
    known = await owner(town, telegram("42"))
    assert (known.customer_id, known.evidence) == (chat.customer_id, Evidence.SIGNED)
    assert said(await lines(town, chat)) == [(LINKED, BOT)]
    assert (await town.conversation_of("cleo")).customer_id == chat.customer_id


async def test_a_known_person_brings_their_history_and_the_join_can_be_undone(town: World) -> None:
    chat = await says(town, "cleo")
    message = MessageReceived(
        key=town.id(), message_id="42:1", sender=Sender(identity=telegram("42"), name="Cleo B"), thread="42", parts=()
    )
    await town.receive(message, channel=BOT)
    before = (await owner(town, telegram("42"))).customer_id
    await starts(town, "42", await token_for(town, chat))
    assert not await apart(town, chat)
    found = await town.router.handle(UnmergeCustomers(id=town.id(), actor=GATEWAY, from_id=before, into_id=chat.customer_id))
    assert isinstance(found, Customer)
    assert (await owner(town, telegram("42"))).customer_id == before
    assert (await owner(town, chat.identity)).customer_id == chat.customer_id


async def test_a_link_follows_a_customer_who_was_merged_meanwhile(town: World) -> None:
    chat, other = await says(town, "cleo"), await says(town, "dan")
    token = await token_for(town, chat)
    await town.router.handle(MergeCustomers(id=town.id(), actor=GATEWAY, from_id=chat.customer_id, into_id=other.customer_id))
    await starts(town, "42", token)
    assert (await owner(town, telegram("42"))).customer_id == other.customer_id


async def test_who_is_known_already_is_not_merged_with_themselves(town: World) -> None:
    chat = await says(town, "cleo")
    await starts(town, "42", await token_for(town, chat))
    await starts(town, "42", await token_for(town, chat))
    assert not await apart(town, chat)
    assert said(await lines(town, chat)) == [(LINKED, BOT)] * 2


async def test_a_link_is_good_once(town: World) -> None:
    chat = await says(town, "cleo")
    token = await token_for(town, chat)
    await starts(town, "42", token)
    await starts(town, "666", token)
    assert not await apart(town, chat)
    assert await apart(town, chat, "666")
    assert said(await lines(town, chat)) == [(LINKED, BOT)]


@pytest.mark.parametrize("age", [timedelta(0), LIFE - timedelta(seconds=1), LIFE, LIFE * 2])
async def test_a_link_is_good_for_a_day(town: World, age: timedelta) -> None:
    chat = await says(town, "cleo")
    token = await token_for(town, chat)
    town.clock.now += age
    await starts(town, "42", token)
    assert await apart(town, chat) is (age >= LIFE)


async def test_a_link_is_for_one_channel(town: World) -> None:
    chat = await says(town, "cleo")
    token = await token_for(town, chat, "other")
    await starts(town, "42", token)
    assert await apart(town, chat)
    await starts(town, "42", token, channel="other")
    assert not await apart(town, chat)


def _changed(token: str, index: int) -> str:
    """With one bit of it turned."""
    data = bytearray(base64.urlsafe_b64decode(token))
    data[index] ^= 1
    return base64.urlsafe_b64encode(bytes(data)).decode()


FORGED: list[Callable[[str], Any]] = [
    *[lambda token, index=index: _changed(token, index) for index in range(42)],
    lambda token: token[:-1],
    lambda token: token + "A",
    lambda token: token.upper(),
    lambda token: token + "\n",
    lambda _: "+" * 56,
    lambda _: "é" * 56,
    lambda _: "A" * 56,
    lambda _: "",
    lambda _: "newsletter",
]


@pytest.mark.parametrize("forge", FORGED)
def test_nothing_that_we_did_not_sign_is_read(forge: Callable[[str], str]) -> None:
    now = Clock()()
    token, until = LINKS.make(BOT, derive_id("cnv", now, "x"), now)
    assert until == now + LIFE
    assert LINKS.read(BOT, token, now) is not None
    assert LINKS.read(BOT, forge(token), now) is None


async def test_a_forged_token_is_a_plain_start(town: World) -> None:
    chat = await says(town, "cleo")
    foreign = Links(Secret("canary-key-of-another-shop-0123456789")).make(BOT, chat.id, town.clock())[0]
    for token in (foreign, _changed(await token_for(town, chat), 41), "newsletter"):
        await starts(town, "42", token)
    known = await owner(town, telegram("42"))
    assert (known.customer_id != chat.customer_id, known.evidence) == (True, Evidence.PROVIDER)
    assert said(await lines(town, chat)) == []


async def test_a_conversation_that_is_gone_joins_nobody(town: World) -> None:
    chat = await says(town, "cleo")
    token = LINKS.make(BOT, derive_id("cnv", town.clock(), "never was"), town.clock())[0]
    await starts(town, "42", token)
    assert await apart(town, chat)


def test_a_token_is_short_enough_and_new_each_time() -> None:
    now = Clock()()
    made = {LINKS.make(BOT, derive_id("cnv", now, "x"), now)[0] for _ in range(20)}
    assert len(made) == 20
    assert {len(token) for token in made} == {56}
    assert all(set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") for token in made)


def test_an_id_is_sixteen_bytes_and_back() -> None:
    for seed in range(200):
        made = derive_id("cnv", Clock()() + timedelta(days=seed * 1000), str(seed))
        assert id_of_bytes("cnv", id_bytes(made)) == made
    with pytest.raises(ValueError, match="not an id"):
        id_bytes("cnv_1")
