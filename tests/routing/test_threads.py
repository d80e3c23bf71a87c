"""Mails: who takes part in a conversation that a mail refers to."""

from typing import Any

import pytest

from connectors.content import Activity, Envelope, Text
from connectors.contract import Sent
from connectors.event import MessageReceived, Sender
from connectors.identity import Evidence, Identity
from routing.command import FinishAttempt, Resolve, Snooze
from storage.protocol import Transaction
from storage.record import Attempt, Conversation, Message, MessageKind, State
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim

CLEO, DAN, EVE = "cleo@example.org", "dan@example.org", "eve@example.net"


def _sender(address: str, evidence: Evidence = Evidence.PROVIDER) -> Sender:
    return Sender(identity=Identity("mailto", "", address), name=address.partition("@")[0].title(), evidence=evidence)


async def _mail(world: World, address: str, id_: str, *references: str, channel: str = "mail", **fields: Any) -> None:
    sender = _sender(address, fields.pop("evidence", Evidence.PROVIDER))
    envelope = Envelope(subject="My order", to=("shop@example.com",), cc=fields.pop("cc", ()))
    mail = MessageReceived(
        key=f"<{id_}>",
        message_id=id_,
        sender=sender,
        parts=(Text(text=f"I am {id_}"), envelope),
        references=references,
        thread=f"thread {id_}",
        **fields,
    )
    await world.receive(mail, channel=channel)


async def _of(world: World, address: str, channel: str = "mail") -> Conversation | None:
    identity = Identity("mailto", "", address)

    async def work(tx: Transaction) -> Conversation | None:
        return await tx.conversations.unresolved(channel, identity) or await tx.conversations.latest(channel, identity)

    found: Conversation | None = await world.look(work)
    return found


async def _begun(world: World, **fields: Any) -> Conversation:
    await _mail(world, CLEO, "m1", **fields)
    conversation = await _of(world, CLEO)
    assert conversation is not None
    return conversation


async def _lines(world: World, conversation: Conversation) -> list[Message]:
    lines: list[Message] = await world.look(lambda tx: tx.messages.of_conversation(conversation.id, 0, 0, 100))
    return lines


async def test_somebody_who_was_copied_joins_under_their_own_name(world: World) -> None:
    conversation = await _begun(world, cc=(DAN.upper(),))
    world.clock.forward(minutes=5)
    await _mail(world, DAN, "m2", "m0", "m1", "unknown")
    assert await _of(world, DAN) is None
    first, second = await _lines(world, conversation)
    assert (second.author.name, second.customer_id) == (f"Dan <{DAN}>", first.customer_id)
    assert second.author.id not in {"", first.author.id}
    now = await _of(world, CLEO)
    assert now is not None
    assert (now.thread, now.last_inbound_pos, now.last_private_at) == ("thread m2", second.pos, conversation.last_private_at)


async def test_ids_of_mails_are_no_secrets_a_signed_address_is(world: World) -> None:
    conversation = await _begun(world)
    await _mail(world, EVE, "m2", "m1")
    own = await _of(world, EVE)
    assert own is not None
    assert own.id != conversation.id
    await world.router.handle(Resolve(id=world.id(), actor=GATEWAY, conversation_id=own.id))
    await _mail(world, EVE, "m3", "m1", proved=True)
    lines = await _lines(world, conversation)
    assert [part for line in lines for part in line.parts if isinstance(part, Activity)] == [
        Activity(code="joined", subject=f"Eve <{EVE}>")
    ]
    await _mail(world, EVE, "m4", "m1")  # by now she is somebody who wrote in it
    lines = await _lines(world, conversation)
    assert [line.author.name for line in lines if line.kind is MessageKind.INBOUND] == ["Cleo", f"Eve <{EVE}>", f"Eve <{EVE}>"]
    assert sum(line.kind is MessageKind.ACTIVITY for line in lines) == 1


async def test_an_unproved_participant_may_speak_but_answers_do_not_follow_them(world: World) -> None:
    conversation = await _begun(world, cc=(DAN,))
    await _mail(world, DAN, "m2", "m1", evidence=Evidence.CLAIMED)
    now = await _of(world, CLEO)
    assert now is not None
    assert len(await _lines(world, conversation)) == 2
    assert now.thread == conversation.thread


async def test_an_answer_to_our_own_mail_is_known_by_its_id(world: World) -> None:
    conversation = await _begun(world)
    ada = await world.agent("ada", await world.default_queue())
    reply = await world.reply(ada, conversation.id)
    (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    attempt = Attempt(message_id=reply.id, number=item.attempts, started_at=world.clock(), outcome="sent")
    await world.router.handle(
        FinishAttempt(id=world.id(), actor=GATEWAY, message_id=reply.id, attempt=attempt, outcomes=(Sent("ours@shop"),), calls=1)
    )
    await _mail(world, EVE, "m2", "ours@shop", proved=True)
    assert await _of(world, EVE) is None
    await _mail(world, EVE, "m3", "ours@shop", proved=True, channel="other mailbox")
    assert await _of(world, EVE, "other mailbox") is not None


@pytest.mark.parametrize(("hours", "state"), [(1, State.QUEUED), (25, State.RESOLVED)])
async def test_a_recent_conversation_comes_back_an_old_one_does_not(world: World, hours: int, state: State) -> None:
    conversation = await _begun(world, cc=(DAN,))
    await world.router.handle(Resolve(id=world.id(), actor=GATEWAY, conversation_id=conversation.id))
    world.clock.forward(hours=hours)
    await _mail(world, DAN, "m2", "m1")
    now = await _of(world, CLEO)
    assert now is not None
    assert now.state is state
    own = await _of(world, DAN)
    assert (own is None) is (state is State.QUEUED)
    if own is not None:
        assert [line.author.name for line in await _lines(world, own)] == ["Dan"]


async def test_where_its_person_has_begun_anew_that_conversation_is_meant(world: World) -> None:
    """Two unresolved ones of one person cannot be; the older one stays as it is."""
    first = await _begun(world, cc=(DAN,))
    await world.router.handle(Resolve(id=world.id(), actor=GATEWAY, conversation_id=first.id))
    world.clock.forward(hours=25)
    await _mail(world, CLEO, "m5", cc=(DAN,))
    second = await _of(world, CLEO)
    assert second is not None
    assert second.id != first.id
    await _mail(world, DAN, "m6", "m1")
    assert [line.author.name for line in await _lines(world, second)] == ["Cleo", f"Dan <{DAN}>"]


async def test_a_guest_wakes_a_snoozed_conversation_for_its_agent(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue(), capacity=0)
    conversation = await _begun(world, cc=(DAN,))
    until = world.clock().replace(hour=20)
    await world.router.handle(Snooze(id=world.id(), actor=ada, conversation_id=conversation.id, until=until))
    await _mail(world, DAN, "m2", "m1")
    now = await _of(world, CLEO)
    assert now is not None
    assert (now.state, now.assignee_id) == (State.OPEN, ada.agent_id)
