"""More mails than anybody writes: all are kept, and those beyond the limits ask for no work."""

from typing import Any

import pytest
from msgspec import structs

from connectors.capabilities import Flood
from connectors.content import Activity, Envelope, Text
from connectors.event import MessageReceived, Sender
from connectors.identity import Identity
from routing.command import Accept, Resolve
from routing.router import Router
from routing.rules import ChannelRules, Rules
from storage.protocol import Transaction
from storage.record import Conversation, Message, MessageKind, State
from tests.routing.world import World

EVE = "eve@bomb.example"
FLOOD = Flood(sender=4, unproved=2, domain=3)
BASE = "support@shop.example/unverified"


@pytest.fixture
def bombed(world: World) -> World:
    world.rules = Rules(channels={"mail": ChannelRules(flood=FLOOD)})
    world.router = Router(world.store, world.rules, world.clock)
    return world


def _identity(address: str, *, proved: bool = True) -> Identity:
    return Identity("mailto", "" if proved else BASE, address)


async def _mails(world: World, count: int, address: str = EVE, *, proved: bool = True, **fields: Any) -> None:
    remarks = () if proved else ("unverified",)
    for _ in range(count):
        id_ = world.id()
        parts = (Envelope(subject="Hello", remarks=remarks), Text(text=f"number {id_}"))
        sender = Sender(identity=_identity(address, proved=proved))
        await world.receive(MessageReceived(key=id_, message_id=id_, sender=sender, parts=parts, **fields), channel="mail")


async def _of(world: World, address: str = EVE, *, proved: bool = True) -> Conversation:
    identity = _identity(address, proved=proved)

    async def work(tx: Transaction) -> Conversation | None:
        return await tx.conversations.unresolved("mail", identity) or await tx.conversations.latest("mail", identity)

    found: Conversation | None = await world.look(work)
    assert found is not None
    return found


async def _lines(world: World, conversation: Conversation) -> list[Message]:
    lines: list[Message] = await world.look(lambda tx: tx.messages.of_conversation(conversation.id, 0, 0, 1000))
    return lines


def _told(lines: list[Message]) -> list[tuple[str, str]]:
    codes = {"flooded", "crowded"}
    return [(part.code, part.subject) for line in lines for part in line.parts if isinstance(part, Activity) and part.code in codes]


def _marked(lines: list[Message]) -> list[bool]:
    inbound = [line for line in lines if line.kind is MessageKind.INBOUND]
    assert all(line.automatic == any("flood" in part.remarks for part in line.parts if isinstance(part, Envelope)) for line in inbound)
    return [line.automatic for line in inbound]


async def test_beyond_the_limit_all_are_kept_and_nothing_is_unread(bombed: World) -> None:
    await _mails(bombed, 4)
    before = await _of(bombed)
    await _mails(bombed, 26)
    conversation = await _of(bombed)
    lines = await _lines(bombed, conversation)
    assert _marked(lines) == [False] * 4 + [True] * 26
    assert (conversation.state, conversation.last_inbound_pos) == (State.QUEUED, before.last_inbound_pos)
    assert conversation.last_private_at == before.last_private_at
    # The number grows in round steps: 26 were kept.
    assert _told(lines) == [("flooded", "20")]


async def test_what_is_done_stays_done_until_the_next_hour(bombed: World) -> None:
    agent = await bombed.agent("ada", await bombed.default_queue(), online=False)
    await _mails(bombed, 4)
    conversation = await _of(bombed)
    await bombed.router.handle(Accept(id=bombed.id(), actor=agent, conversation_id=conversation.id))
    await bombed.router.handle(Resolve(id=bombed.id(), actor=agent, conversation_id=conversation.id))
    await _mails(bombed, 3)
    assert (await _of(bombed)).state is State.RESOLVED
    bombed.clock.forward(hours=1)
    await _mails(bombed, 1)
    back = await _of(bombed)
    assert (back.id, back.state) == (conversation.id, State.QUEUED)
    assert _told(await _lines(bombed, back)) == [("flooded", "2")]


async def test_each_hour_has_its_line(bombed: World) -> None:
    await _mails(bombed, 5)
    bombed.clock.forward(hours=1)
    await _mails(bombed, 6)
    assert _told(await _lines(bombed, await _of(bombed))) == [("flooded", "1"), ("flooded", "2")]


async def test_who_is_not_proved_has_a_lower_limit_of_their_own(bombed: World) -> None:
    await _mails(bombed, 5, proved=False)
    await _mails(bombed, 4)
    assert _marked(await _lines(bombed, await _of(bombed, proved=False))) == [False] * 2 + [True] * 3
    assert _marked(await _lines(bombed, await _of(bombed))) == [False] * 4, "whoever writes under a name takes nothing from its owner"


async def test_many_names_of_one_domain_begin_only_so_many_conversations(bombed: World) -> None:
    for number in range(10):
        await _mails(bombed, 1, f"name{number}@bomb.example", proved=False)
    await _mails(bombed, 1, "dan@other.example", proved=False)
    await _mails(bombed, 1, "cleo@bomb.example")
    found = [await _of(bombed, f"name{number}@bomb.example", proved=False) for number in range(10)]
    assert [one.state for one in found] == [State.QUEUED] * 3 + [State.RESOLVED] * 7
    assert _told(await _lines(bombed, found[-1])) == [("crowded", "bomb.example")]
    assert (await _of(bombed, "dan@other.example", proved=False)).state is State.QUEUED
    assert (await _of(bombed, "cleo@bomb.example")).state is State.QUEUED, "who is proved is no forger"
    # Whom an agent has to answer anyway is heard, and the others in the next hour.
    await _mails(bombed, 1, "name0@bomb.example", proved=False)
    assert _marked(await _lines(bombed, found[0])) == [False, False]
    bombed.clock.forward(hours=1)
    await _mails(bombed, 1, "name9@bomb.example", proved=False)
    assert (await _of(bombed, "name9@bomb.example", proved=False)).state is State.QUEUED


async def test_a_known_message_id_does_not_get_round_the_domains_limit(bombed: World) -> None:
    await _mails(bombed, 1, "dan@other.example")
    (known,) = await _lines(bombed, await _of(bombed, "dan@other.example"))
    ids = await bombed.look(lambda tx: tx.messages.provider_ids("mail", known.id))
    for number in range(5):
        await _mails(bombed, 1, f"name{number}@bomb.example", proved=False, references=tuple(ids))
    states = [(await _of(bombed, f"name{number}@bomb.example", proved=False)).state for number in range(5)]
    assert states == [State.QUEUED] * 3 + [State.RESOLVED] * 2


@pytest.mark.parametrize("limits", [Flood(), Flood(domain=1)])
async def test_without_a_limit_nothing_is_counted(bombed: World, limits: Flood) -> None:
    rules = structs.replace(bombed.rules, channels={"mail": ChannelRules(flood=limits)})
    bombed.router = Router(bombed.store, rules, bombed.clock)
    await _mails(bombed, 40)
    lines = await _lines(bombed, await _of(bombed))
    assert _marked(lines) == [False] * 40
    assert await bombed.look(lambda tx: tx.tallies.total("flood:mail:" + str(_identity(EVE)), bombed.clock(), 1)) == 0


async def test_what_says_itself_that_a_machine_wrote_it_counts_for_nothing(bombed: World) -> None:
    await _mails(bombed, 20, automatic=True)
    await _mails(bombed, 1)
    conversation = await _of(bombed)
    assert conversation.state is State.QUEUED
    assert not (await _lines(bombed, conversation))[-1].automatic
