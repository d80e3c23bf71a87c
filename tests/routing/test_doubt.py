"""Attempts in several steps, attempts of which nobody knows, and what providers say of them later."""

from datetime import timedelta

from connectors.content import Activity, Text
from connectors.contract import Failure, Outcome, Sent
from connectors.errors import FailureKind
from connectors.event import AccountReported, MessageEchoed, Status, StatusReported, WatermarkReported
from connectors.identity import Identity
from routing.command import CrashedAttempts, FinishAttempt, KeepProgress
from routing.rules import ChannelRules, Rules
from storage.record import Attempt, Message, MessageKind, OutboxItem
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim

CLEO = Identity("visitor", "web", "cleo")
UNKNOWN = Failure(kind=FailureKind.UNKNOWN)


async def _reply(world: World) -> Message:
    ada = await world.agent("ada", await world.default_queue())
    return await world.reply(ada, (await world.writes("cleo")).id)


async def _claim(world: World) -> OutboxItem:
    (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    return item


async def _item(world: World, message: Message) -> OutboxItem:
    item: OutboxItem = await world.look(lambda tx: tx.outbox.get(message.id))
    return item


async def _keep(world: World, item: OutboxItem, *ids: str, calls: int = 3, first: int | None = None, certain: bool = False) -> None:
    await world.router.handle(
        KeepProgress(
            id=world.id(),
            actor=GATEWAY,
            message_id=item.message_id,
            number=item.attempts,
            outcomes=tuple(map(Sent, ids)),
            calls=calls,
            first=first,
            certain=certain,
        )
    )


async def _finish(
    world: World, item: OutboxItem, *outcomes: Outcome, calls: int = 3, first: int | None = None, certain: bool = False
) -> None:
    last = outcomes[-1] if outcomes else None
    outcome = last.kind.value if isinstance(last, Failure) else "sent"
    attempt = Attempt(
        message_id=item.message_id, number=item.attempts, started_at=world.clock(), finished_at=world.clock(), outcome=outcome
    )
    await world.router.handle(
        FinishAttempt(
            id=world.id(),
            actor=GATEWAY,
            message_id=item.message_id,
            attempt=attempt,
            outcomes=outcomes,
            calls=calls,
            first=first,
            certain=certain,
        )
    )


async def test_what_was_kept_on_the_way_is_not_sent_again_after_a_crash(world: World) -> None:
    message = await _reply(world)
    item = await _claim(world)
    await _keep(world, item, "p0")
    await _keep(world, item, "p0")  # its answer was lost, so it is said again
    await _keep(world, item, "p0", "p1", first=0)
    await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY))
    left = await _item(world, message)
    assert (left.part_from, left.status, left.unknowns) == (2, Status.UNKNOWN, 1)
    await world.receive(StatusReported(key="s", message_id="p1", status=Status.READ))
    world.clock.forward(minutes=1)
    again = await _claim(world)
    await _finish(world, again, Sent("p2"))
    now = await world.message(message.id)
    assert (now.status, now.pieces, now.possible_duplicate) == (Status.SENT, 3, True)


async def test_outcomes_that_were_kept_count_once_in_the_end(world: World) -> None:
    message = await _reply(world)
    item = await _claim(world)
    await _keep(world, item, "p0", first=0)
    await _finish(world, item, Sent("p0"), Sent("p1"), Failure(kind=FailureKind.TRANSIENT), first=0)
    assert ((await _item(world, message)).part_from, (await _item(world, message)).status) == (2, Status.RETRY)
    ids = await world.look(lambda tx: tx.messages.provider_ids("web", message.id))
    assert ids == ["p0", "p1"]


async def test_progress_of_an_attempt_that_is_over_changes_nothing(world: World) -> None:
    message = await _reply(world)
    item = await _claim(world)
    await _finish(world, item, Failure(kind=FailureKind.TRANSIENT))
    before = await _item(world, message)
    await _keep(world, item, "late")
    assert await _item(world, message) == before


async def test_a_doubt_that_is_gone_is_gone_once(world: World) -> None:
    """Two attempts without an answer. Of the second the provider says that it went out; the first remains a doubt."""
    message = await _reply(world)
    for _ in range(2):
        await _finish(world, await _claim(world), UNKNOWN, calls=2)
        world.clock.forward(minutes=1)
    item = await _claim(world)
    assert item.unknowns == 2
    await _keep(world, item, "found", calls=2, certain=True)
    await _keep(world, item, "found", calls=2, first=0, certain=True)
    await _finish(world, item, Sent("found"), Sent("p1"), calls=2, first=0, certain=True)
    now, left = await world.message(message.id), await _item(world, message)
    assert (now.status, left.unknowns, now.possible_duplicate) == (Status.SENT, 1, True)
    attempts: list[Attempt] = await world.look(lambda tx: tx.outbox.attempts(message.id))
    assert [attempt.outcome for attempt in attempts] == ["unknown", "resolved", "sent"]


async def test_what_was_found_not_to_have_gone_out_is_sent_without_a_flag(world: World) -> None:
    message = await _reply(world)
    await _finish(world, await _claim(world), UNKNOWN, calls=1)
    assert (await world.message(message.id)).possible_duplicate
    world.clock.forward(minutes=1)
    item = await _claim(world)
    await _keep(world, item, calls=1, certain=True)
    assert not (await world.message(message.id)).possible_duplicate
    await _finish(world, item, Sent("p0"), calls=1, certain=True)
    now = await world.message(message.id)
    assert (now.status, now.possible_duplicate) == (Status.SENT, False)


async def test_a_status_with_our_id_settles_a_doubt_before_anything_is_sent_again(world: World) -> None:
    message = await _reply(world)
    await _finish(world, await _claim(world), UNKNOWN, calls=1)
    await world.receive(StatusReported(key="s", message_id="p0", status=Status.DELIVERED, ours=message.id))
    now, item = await world.message(message.id), await _item(world, message)
    assert (now.status, now.problem, now.possible_duplicate, item.status) == (Status.DELIVERED, "", False, Status.SENT)
    attempts: list[Attempt] = await world.look(lambda tx: tx.outbox.attempts(message.id))
    assert [attempt.outcome for attempt in attempts] == ["resolved"]
    world.clock.forward(hours=1)
    assert await world.store.transact(lambda tx: claim(tx, world.clock())) == []


async def test_after_a_report_only_the_rest_is_sent_and_nothing_left_is_sent(world: World) -> None:
    """A crash in the first call of a message whose number of pieces nobody has told: a report says that the first went out."""
    message = await _reply(world)
    await _claim(world)
    await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY))
    await world.receive(StatusReported(key="s", message_id="p0", status=Status.READ, ours=message.id))
    again = await _claim(world)
    assert again.part_from == 1
    await _finish(world, again, calls=1)
    assert (await world.message(message.id)).status is Status.READ


async def test_an_opt_out_that_a_status_tells_stops_replies(world: World) -> None:
    message = await _reply(world)
    await _finish(world, await _claim(world), Sent("p0"), calls=1)
    failed = StatusReported(key="s", message_id="p0", status=Status.FAILED, code="21610", failure=FailureKind.OPTED_OUT)
    await world.receive(failed)
    now = await world.message(message.id)
    assert (now.status, now.problem) == (Status.FAILED, "This person does not want messages from us. 21610")
    known = await world.look(lambda tx: tx.customers.find(CLEO))
    assert known.opted_out
    codes = [part.code for line in await world.history(message.customer_id) for part in line.parts if isinstance(part, Activity)]
    assert codes.count("opted_out") == 1


async def test_a_refusal_while_sending_leaves_a_line(world: World) -> None:
    message = await _reply(world)
    await _finish(world, await _claim(world), Failure(kind=FailureKind.OPTED_OUT), calls=1)
    codes = [part.code for line in await world.history(message.customer_id) for part in line.parts if isinstance(part, Activity)]
    assert codes.count("opted_out") == 1


async def test_a_closed_window_offers_a_template_where_there_are_any(world: World) -> None:
    rules = {"web": ChannelRules(sends=frozenset({"text", "template"}))}
    message = await _reply(World(world.store, rules=Rules(channels=rules)))
    templates = World(world.store, clock=world.clock, rules=Rules(channels=rules))
    await _finish(templates, await _claim(templates), Sent("p0"), calls=1)
    late = StatusReported(key="s", message_id="p0", status=Status.FAILED, code="131047", failure=FailureKind.WINDOW)
    await templates.receive(late)
    assert (await world.message(message.id)).problem == "The time for a reply on this channel is over. Send a template. 131047"


async def test_a_watermark_moves_what_had_been_sent_by_then(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    sent: list[Message] = []
    outcomes: tuple[Outcome, ...] = (Sent("p0"), Failure(kind=FailureKind.INVALID), Sent("p2"), Sent("p3"))
    for number, outcome in enumerate(outcomes):
        sent.append(await world.reply(ada, conversation.id, str(number)))
        await _finish(world, await _claim(world), outcome, calls=1)
        world.clock.forward(seconds=10)
    waiting = await world.reply(ada, conversation.id, "waits")
    up_to = world.clock() - timedelta(seconds=15)
    for number, status in enumerate((Status.DELIVERED, Status.READ, Status.DELIVERED)):
        await world.receive(WatermarkReported(key=f"w{number}", sender=world.shopper("cleo"), status=status, up_to=up_to))
        shown = [(await world.message(message.id)).status for message in (*sent, waiting)]
        reached = Status.DELIVERED if number == 0 else Status.READ
        assert shown == [reached, Status.FAILED, reached, Status.SENT, Status.QUEUED]
    assert (await world.conversation_of("cleo")).customer_seen_pos == sent[2].pos
    await world.receive(StatusReported(key="s", message_id="p0", status=Status.FAILED))
    assert (await world.message(sent[0].id)).status is Status.READ


async def test_a_watermark_of_a_stranger_and_news_of_the_account_change_nothing(world: World) -> None:
    await world.receive(
        WatermarkReported(key="w", sender=world.shopper("nobody"), status=Status.READ, up_to=world.clock()),
        AccountReported(key="a", code="template_rejected", healthy=False),
    )
    assert await world.event_types() == ["watermark.reported", "account.reported"]
    assert await world.look(lambda tx: tx.customers.find(Identity("visitor", "web", "nobody"))) is None


async def test_a_public_answer_from_elsewhere_is_shown_as_such(world: World) -> None:
    conversation = await world.writes("cleo")
    await world.receive(MessageEchoed(key="x", message_id="out", sender=world.shopper("cleo"), parts=(Text(text="12 euro"),), public=True))
    line = (await world.history(conversation.customer_id))[-1]
    assert (line.kind, line.public, line.pieces) == (MessageKind.OUTBOUND, True, 1)
