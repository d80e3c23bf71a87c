"""Replies on their way: attempts, outcomes, statuses and what the shopper has seen."""

from connectors.content import Text
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import (
    AddressMoved,
    MessageEchoed,
    MessageReceived,
    Status,
    StatusReported,
)
from connectors.identity import Identity
from routing.command import (
    CrashedAttempts,
    ExpireReplies,
    FinishAttempt,
    MarkSeen,
    Note,
    VisitorSeen,
)
from storage.record import Attempt, Conversation, Message, MessageKind, OutboxItem
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim


async def _claimed(world: World) -> tuple[Message, OutboxItem]:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    message = await world.reply(ada, conversation.id)
    (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    return message, item


def _finished(world: World, item: OutboxItem, *outcomes: Sent | Failure) -> FinishAttempt:
    attempt = Attempt(message_id=item.message_id, number=item.attempts, started_at=world.clock(), finished_at=world.clock(), outcome="sent")
    return FinishAttempt(id=world.id(), actor=GATEWAY, message_id=item.message_id, attempt=attempt, outcomes=outcomes, calls=1)


async def test_a_sent_reply_is_known_by_the_providers_id(world: World) -> None:
    message, item = await _claimed(world)
    await world.receive(StatusReported(key="s", message_id="prov-1", status=Status.READ))  # overtakes the answer
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    assert (await world.message(message.id)).status is Status.READ
    await world.receive(StatusReported(key="s2", message_id="prov-1", status=Status.DELIVERED))
    assert (await world.message(message.id)).status is Status.READ


async def test_a_crash_in_the_middle_is_unknown_and_flagged(world: World) -> None:
    message, _ = await _claimed(world)
    assert await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY)) == 1
    now = await world.message(message.id)
    assert (now.status, now.possible_duplicate) == (Status.UNKNOWN, True)
    attempts: list[Attempt] = await world.look(lambda tx: tx.outbox.attempts(message.id))
    assert [attempt.outcome for attempt in attempts] == ["unknown"]
    world.clock.forward(seconds=5)
    (again,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    assert again.attempts == 2


async def test_a_late_answer_settles_what_was_unknown(world: World) -> None:
    """Its sender was only slow, or frozen: nothing is sent a second time."""
    message, item = await _claimed(world)
    await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY))
    await world.router.handle(_finished(world, item, Failure(kind=FailureKind.TRANSIENT)))
    assert (await world.message(message.id)).status is Status.UNKNOWN
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    now = await world.message(message.id)
    assert (now.status, now.possible_duplicate) == (Status.SENT, False)
    world.clock.forward(seconds=5)
    assert await world.store.transact(lambda tx: claim(tx, world.clock())) == []


async def test_a_late_answer_is_not_counted_once_the_next_attempt_has_begun(world: World) -> None:
    message, item = await _claimed(world)
    await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY))
    world.clock.forward(seconds=5)
    (again,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    assert (await world.look(lambda tx: tx.outbox.get(message.id))) == again
    assert (await world.message(message.id)).possible_duplicate


async def test_only_attempts_of_those_who_are_gone_are_unknown(world: World) -> None:
    message, item = await _claimed(world)
    others = frozenset(range(16)) - {item.partition}
    for command in (
        CrashedAttempts(id=world.id(), actor=GATEWAY, partitions=others),
        CrashedAttempts(id=world.id(), actor=GATEWAY, alive={message.id: 1}),
    ):
        assert await world.router.handle(command) == 0
    assert await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY, alive={message.id: 2})) == 1


async def test_a_block_found_while_sending_is_an_opt_out(world: World) -> None:
    message, item = await _claimed(world)
    await world.router.handle(_finished(world, item, Failure(kind=FailureKind.OPTED_OUT, code="403", detail="bot was blocked")))
    now = await world.message(message.id)
    assert now.status is Status.FAILED
    assert "bot was blocked" in now.problem
    known = await world.look(lambda tx: tx.customers.find(Identity("visitor", "web", "cleo")))
    assert known.opted_out


async def test_a_moved_address_takes_everything_along(world: World) -> None:
    message, item = await _claimed(world)
    await world.router.handle(_finished(world, item, Failure(kind=FailureKind.MOVED, moved_to="new")))
    assert (await world.conversation_of("cleo")).thread == "new"
    waiting: OutboxItem = await world.look(lambda tx: tx.outbox.get(message.id))
    assert (waiting.thread, waiting.status) == ("new", Status.RETRY)
    await world.receive(AddressMoved(key="m", old_thread="new", new_thread="newer"))
    assert (await world.conversation_of("cleo")).thread == "newer"


async def test_replies_past_their_life_expire_visibly(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    message = await world.reply(ada, (await world.writes("cleo")).id)
    world.clock.forward(hours=25)
    assert await world.router.handle(ExpireReplies(id=world.id(), actor=GATEWAY)) == 1
    now = await world.message(message.id)
    assert (now.status, now.problem) == (Status.EXPIRED, "It could not be sent in time.")


async def test_what_the_visitor_saw_is_delivered_then_read(world: World) -> None:
    message, item = await _claimed(world)
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    identity = Identity("visitor", "web", "cleo")
    for read, status in ((False, Status.DELIVERED), (True, Status.READ), (False, Status.READ)):
        seen = VisitorSeen(id=world.id(), actor=GATEWAY, channel="web", identity=identity, pos=message.pos, read=read)
        await world.router.handle(seen)
        assert (await world.message(message.id)).status is status
    assert (await world.conversation_of("cleo")).customer_seen_pos == message.pos


async def test_an_answer_from_the_providers_own_app_is_in_the_history(world: World) -> None:
    conversation = await world.writes("cleo")
    await world.receive(MessageEchoed(key="x", message_id="out", sender=world.shopper("cleo"), parts=(Text(text="from my phone"),)))
    kinds = [(line.kind, line.status) for line in await world.history(conversation.customer_id)]
    assert kinds == [(MessageKind.INBOUND, None), (MessageKind.OUTBOUND, Status.SENT)]


async def test_notes_and_seen_marks(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    note = await world.router.handle(Note(id=world.id(), actor=ada, conversation_id=conversation.id, parts=(Text(text="VIP"),)))
    assert isinstance(note, Message)
    (event,) = [one for one in await world.events() if b"VIP" in one.entry.data and one.entry.type == "message.added"]
    assert event.entry.identity == ""
    seen = await world.router.handle(MarkSeen(id=world.id(), actor=ada, conversation_id=conversation.id, pos=10**6))
    assert isinstance(seen, Conversation)
    assert seen.seen_pos == seen.last_pos


async def test_an_id_that_the_provider_gave_twice_does_not_lose_the_outcome(world: World) -> None:
    message, item = await _claimed(world)
    await world.receive(MessageReceived(key="k", message_id="prov-1", sender=world.shopper("cleo"), parts=(Text(text="hm"),)))
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    assert (await world.message(message.id)).status is Status.SENT


async def test_quoting_our_own_reply_gives_the_providers_id_of_it(world: World) -> None:
    first, item = await _claimed(world)
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    ada = await world.actor(first.author.id)
    second = await world.reply(ada, first.conversation_id, "as I said", reply_to=first.id)
    waiting: OutboxItem = await world.look(lambda tx: tx.outbox.get(second.id))
    assert (second.reply_to, waiting.reply_to) == (first.id, "prov-1")
