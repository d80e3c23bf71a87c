"""The router over a real store: from an event or command to rows and announcements."""

import asyncio
from datetime import timedelta

import pytest

from connectors.content import Activity, Chosen, Media, MediaKind, Text
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import (
    AddressMoved,
    ConsentChanged,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    ReactionChanged,
    Sender,
    Status,
    StatusReported,
)
from connectors.identity import Evidence, Identity
from routing.command import (
    Accept,
    Assign,
    CrashedAttempts,
    ExpireReplies,
    FinishAttempt,
    MarkSeen,
    MergeCustomers,
    Note,
    PutAgent,
    Reopen,
    Reply,
    Resolve,
    SetMember,
    Snooze,
    Transfer,
    UnmergeCustomers,
    VisitorSeen,
    Wake,
)
from routing.errors import Forbidden, Invalid, NotNow, Stale, Unknown
from storage import open_store
from storage.protocol import WHOLE
from storage.record import Attempt, Conversation, Decision, Entry, Message, MessageKind, OutboxItem, Presence, Role, State
from tests.routing.world import GATEWAY, World


async def test_a_first_message_opens_a_conversation_in_the_default_queue(world: World) -> None:
    conversation = await world.writes("cleo", "Is it open?")
    assert (conversation.state, conversation.number, conversation.preview) == (State.QUEUED, 1, "Is it open?")
    assert conversation.queue_id == await world.default_queue()
    assert await world.event_types() == ["message.received", "conversation.opened", "message.added", "routing.decided"]
    (line,) = await world.history(conversation.customer_id)
    assert (line.kind, line.parts, line.author.name) == (MessageKind.INBOUND, (Text(text="Is it open?"),), "Cleo")
    assert line.pos == conversation.last_pos == conversation.last_inbound_pos


async def test_parallel_first_messages_join_one_conversation(world: World) -> None:
    events = [MessageReceived(key=f"k{n}", message_id=f"p{n}", sender=world.shopper("cleo"), parts=(Text(text=str(n)),)) for n in range(20)]
    await asyncio.gather(*(world.receive(event) for event in events))
    conversation = await world.conversation_of("cleo")
    assert [line.kind for line in await world.history(conversation.customer_id)] == [MessageKind.INBOUND] * 20
    assert (await world.event_types()).count("conversation.opened") == 1


async def test_the_same_event_again_changes_nothing(world: World) -> None:
    event = MessageReceived(key="k", message_id="p", sender=world.shopper("cleo"), parts=(Text(text="once"),))
    await world.receive(event)
    head = len(await world.events())
    await world.receive(event)
    assert len(await world.events()) == head


async def test_rebuilding_gives_the_same_ids(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    conversation = await world.writes("cleo")
    (line,) = await world.history(conversation.customer_id)
    store = await open_store(f"sqlite://{tmp_path_factory.mktemp('again')}/world.db")
    try:
        other = World(store)
        again = await other.writes("cleo")
        (line_again,) = await other.history(again.customer_id)
    finally:
        await store.close()
    assert (again.id, again.customer_id, line_again.id) == (conversation.id, conversation.customer_id, line.id)


async def test_assignment_happens_the_moment_an_agent_comes_online(world: World) -> None:
    first = await world.writes("cleo")
    world.clock.forward(seconds=5)
    await world.writes("dan")
    ada = await world.agent("ada", await world.default_queue(), capacity=1)
    assert (await world.conversation_of("cleo")).assignee_id == ada.agent_id
    assert (await world.conversation_of("dan")).state is State.QUEUED
    decisions: list[Decision] = await world.look(lambda tx: tx.queues.decisions(first.id, 10))
    assert [decision.outcome for decision in decisions] == ["assigned", "waiting"]


async def test_whoever_finishes_gets_the_longest_waiting(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue(), capacity=1)
    taken = await world.writes("cleo")
    for name in ("dan", "eve"):
        world.clock.forward(seconds=1)
        await world.writes(name)
    await world.router.handle(Resolve(id=world.id(), actor=ada, conversation_id=taken.id))
    assert (await world.conversation_of("dan")).assignee_id == ada.agent_id
    assert (await world.conversation_of("eve")).state is State.QUEUED


@pytest.mark.parametrize("change", ["capacity", "membership", "snooze"])
async def test_every_way_of_becoming_free_assigns_at_once(world: World, change: str) -> None:
    queue = await world.default_queue()
    ada = await world.agent("ada", *(() if change == "membership" else (queue,)), capacity=1)
    if change != "membership":
        await world.writes("first")
    waiting = await world.writes("cleo")
    assert waiting.state is State.QUEUED
    match change:
        case "capacity":
            await world.router.handle(PutAgent(id=world.id(), actor=GATEWAY, agent_id=ada.agent_id, capacity=2))
        case "membership":
            await world.router.handle(SetMember(id=world.id(), actor=GATEWAY, queue_id=queue, agent_id=ada.agent_id, member=True))
        case "snooze":
            held = await world.conversation_of("first")
            until = world.clock() + timedelta(hours=1)
            await world.router.handle(Snooze(id=world.id(), actor=ada, conversation_id=held.id, until=until))
    assert (await world.conversation_of("cleo")).assignee_id == ada.agent_id


async def test_reply_is_accepted_with_its_outbox_item_and_is_idempotent(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue(), online=False)
    conversation = await world.writes("cleo")
    message = await world.reply(ada, conversation.id, "Yes, until 19:00.")
    assert (message.status, message.author.name) == (Status.QUEUED, "ada")
    item: OutboxItem = await world.look(lambda tx: tx.outbox.get(message.id))
    assert (item.thread, item.parts, item.channel) == ("cleo", (Text(text="Yes, until 19:00."),), "web")
    now = await world.conversation_of("cleo")
    assert (now.state, now.assignee_id, now.waiting_since) == (State.OPEN, ada.agent_id, None)
    events = len(await world.events())
    twice = Reply(id="the same command", actor=ada, conversation_id=conversation.id, parts=(Text(text="once"),))
    assert await world.router.handle(twice) == await world.router.handle(twice)
    assert len(await world.events()) == events + 1


async def test_a_stale_reply_is_refused(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    seen = await world.writes("cleo")
    await world.writes("cleo", "one more thing")
    with pytest.raises(Stale):
        await world.reply(ada, seen.id, if_last_pos=seen.last_pos)
    newest = (await world.conversation_of("cleo")).last_pos
    assert (await world.reply(ada, seen.id, if_last_pos=newest)).status is Status.QUEUED


async def test_refusals_say_what_to_do(world: World) -> None:
    queue = await world.default_queue()
    ada, ben = await world.agent("ada", queue), await world.agent("ben", queue)
    outsider = await world.agent("otto", await world.queue("Returns"))
    bot = await world.agent("robi", queue, role=Role.BOT)
    conversation = await world.writes("cleo")
    holder, other = (ada, ben) if conversation.assignee_id == ada.agent_id else (ben, ada)
    with pytest.raises(Unknown):
        await world.reply(outsider, conversation.id)
    with pytest.raises(NotNow, match="colleague"):
        await world.reply(other, conversation.id)
    with pytest.raises(Forbidden):
        await world.reply(bot, conversation.id)
    with pytest.raises(Invalid, match="empty"):
        await world.reply(holder, conversation.id, "   ")
    with pytest.raises(NotNow, match="member"):
        await world.router.handle(Assign(id=world.id(), actor=holder, conversation_id=conversation.id, agent_id=outsider.agent_id))
    with pytest.raises(Invalid, match="future"):
        await world.router.handle(Snooze(id=world.id(), actor=holder, conversation_id=conversation.id, until=world.clock()))
    await world.router.handle(Resolve(id=world.id(), actor=holder, conversation_id=conversation.id))
    with pytest.raises(NotNow, match="reopen"):
        await world.reply(holder, conversation.id)
    with pytest.raises(Forbidden):
        await world.router.handle(PutAgent(id=world.id(), actor=ada, name="x", email="x@y.example"))


async def test_hand_over_keeps_the_place_and_tells_both_queues(world: World) -> None:
    queue, returns = await world.default_queue(), await world.queue("Returns")
    ada = await world.agent("ada", queue)
    conversation = await world.writes("cleo")
    since = conversation.waiting_since
    world.clock.forward(minutes=3)
    moved = await world.router.handle(Transfer(id=world.id(), actor=ada, conversation_id=conversation.id, queue_id=returns))
    assert isinstance(moved, Conversation)
    assert (moved.state, moved.queue_id, moved.waiting_since) == (State.QUEUED, returns, since)
    (event,) = [one for one in await world.events() if one.entry.type == "conversation.transferred"]
    assert set(event.entry.queues) == {queue, returns}
    with pytest.raises(Unknown):
        await world.router.handle(Accept(id=world.id(), actor=ada, conversation_id=conversation.id))


async def test_coming_back_reopens_for_a_day_and_begins_anew_after(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    first = await world.writes("cleo")
    await world.router.handle(Resolve(id=world.id(), actor=ada, conversation_id=first.id))
    world.clock.forward(hours=23)
    assert (await world.writes("cleo")).id == first.id
    await world.router.handle(Resolve(id=world.id(), actor=ada, conversation_id=first.id))
    world.clock.forward(hours=25)
    second = await world.writes("cleo")
    assert (second.id != first.id, second.number, second.customer_id) == (True, 2, first.customer_id)
    with pytest.raises(NotNow):
        await world.router.handle(Reopen(id=world.id(), actor=ada, conversation_id=second.id))


@pytest.mark.parametrize("present", [True, False])
async def test_a_snoozed_conversation_comes_back_to_its_agent_or_its_queue(world: World, present: bool) -> None:  # noqa: FBT001
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    until = world.clock() + timedelta(hours=1)
    await world.router.handle(Snooze(id=world.id(), actor=ada, conversation_id=conversation.id, until=until))
    if not present:
        await world.presence(ada.agent_id, Presence.OFFLINE)
    assert await world.router.handle(Wake(id=world.id(), actor=GATEWAY)) == 0
    world.clock.forward(hours=2)
    assert await world.router.handle(Wake(id=world.id(), actor=GATEWAY)) == 1
    back = await world.conversation_of("cleo")
    assert (back.state, back.assignee_id) == ((State.OPEN, ada.agent_id) if present else (State.QUEUED, ""))


async def test_an_agent_who_leaves_hands_back_what_they_had(world: World) -> None:
    queue = await world.default_queue()
    ada = await world.agent("ada", queue)
    await world.writes("cleo")
    ben = await world.agent("ben", queue)
    await world.router.handle(PutAgent(id=world.id(), actor=GATEWAY, agent_id=ada.agent_id, disabled=True))
    assert (await world.conversation_of("cleo")).assignee_id == ben.agent_id
    await world.router.handle(SetMember(id=world.id(), actor=GATEWAY, queue_id=queue, agent_id=ben.agent_id, member=False))
    assert (await world.conversation_of("cleo")).state is State.QUEUED


async def test_edits_deletions_and_reactions_find_their_message_in_any_order(world: World) -> None:
    cleo = world.shopper("cleo")
    await world.receive(MessageEdited(key="e", message_id="p", sender=cleo, parts=(Text(text="two shirts"),)))
    await world.receive(ReactionChanged(key="r", message_id="p", sender=cleo, emoji=("👍",)))
    await world.receive(MessageReceived(key="k", message_id="p", sender=cleo, parts=(Text(text="one shirt"),)))
    (line,) = await world.history((await world.conversation_of("cleo")).customer_id)
    assert line.parts == (Text(text="two shirts"),)
    assert line.edited_at is not None
    assert line.reactions == {str(cleo.identity): ("👍",)}
    await world.receive(ReactionChanged(key="r2", message_id="p", sender=cleo))
    await world.receive(MessageDeleted(key="d", message_id="p"))
    line = await world.message(line.id)
    assert (line.reactions, line.deleted) == ({}, True)


async def test_an_album_is_one_line_and_each_file_is_fetched(world: World) -> None:
    for number in range(3):
        photo = Media(kind=MediaKind.IMAGE, ref=f"file{number}")
        await world.writes("cleo", parts=(photo,), group="g7")
    (line,) = await world.history((await world.conversation_of("cleo")).customer_id)
    assert [part.ref for part in line.parts if isinstance(part, Media)] == ["file0", "file1", "file2"]
    jobs = await world.look(lambda tx: tx.files.due_jobs(world.clock(), 10))
    assert sorted((job.part, job.ref) for job in jobs) == [(0, "file0"), (1, "file1"), (2, "file2")]


async def test_a_button_press_and_a_quote_are_lines(world: World) -> None:
    await world.receive(MessageReceived(key="k", message_id="p", sender=world.shopper("cleo"), parts=(Text(text="hi"),)))
    await world.writes("cleo", parts=(Chosen(id="yes", label="Yes"),), reply_to="p")
    first, second = await world.history((await world.conversation_of("cleo")).customer_id)
    assert (second.reply_to, second.parts) == (first.id, (Chosen(id="yes", label="Yes"),))


async def test_opting_out_is_remembered_and_stops_replies(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    await world.receive(ConsentChanged(key="c", sender=world.shopper("cleo"), opted_in=False))
    with pytest.raises(NotNow, match="does not want"):
        await world.reply(ada, conversation.id)
    codes = [part.code for line in await world.history(conversation.customer_id) for part in line.parts if isinstance(part, Activity)]
    assert codes == ["assigned", "opted_out"]
    await world.receive(ConsentChanged(key="c2", sender=world.shopper("cleo"), opted_in=True))
    assert (await world.reply(ada, conversation.id)).status is Status.QUEUED


async def test_ignored_payloads_pass_silently_and_poison_is_passed_over_loudly(world: World) -> None:
    await world.receive(PayloadIgnored(key="i", why="a poll vote"))
    poison = Entry(type="message.received", data=b'{"type":"nonsense"}', partition=0, at=world.clock(), channel="web", key="x")
    await world.store.append([poison])
    await world.writes("cleo", "after the poison")
    assert (await world.event_types()).count("routing.failed") == 1
    assert (await world.conversation_of("cleo")).preview == "after the poison"


# --- replies on their way ----------------------------------------------------------------------------------------------


async def _claimed(world: World) -> tuple[Message, OutboxItem]:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    message = await world.reply(ada, conversation.id)
    (item,) = await world.store.transact(lambda tx: tx.outbox.claim(world.clock(), 10, frozenset()))
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
    (again,) = await world.store.transact(lambda tx: tx.outbox.claim(world.clock(), 10, frozenset()))
    assert again.attempts == 2


async def test_a_late_answer_after_a_crash_is_not_counted_twice(world: World) -> None:
    message, item = await _claimed(world)
    await world.router.handle(CrashedAttempts(id=world.id(), actor=GATEWAY))
    await world.router.handle(_finished(world, item, Sent("prov-1")))
    assert (await world.message(message.id)).status is Status.UNKNOWN


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


# --- one history -------------------------------------------------------------------------------------------------------


async def test_a_proved_second_address_joins_the_history_a_claimed_one_does_not(world: World) -> None:
    phone = Identity("tel", "", "+393331234567")
    by_sms = MessageReceived(key="s", message_id="s", sender=Sender(identity=phone, name="Cleo"), parts=(Text(text="by sms"),))
    await world.receive(by_sms, channel="sms")
    for evidence, name in ((Evidence.CLAIMED, "mallory"), (Evidence.PROVIDER, "cleo")):
        sender = Sender(identity=Identity("telegram", "7", name), name=name, aliases=((phone, evidence),))
        await world.receive(MessageReceived(key=name, message_id=name, sender=sender, parts=(Text(text=name),)), channel="tg")
    owner = await world.look(lambda tx: tx.customers.find(phone))
    lines = await world.history(owner.customer_id)
    assert [(line.channel, line.parts) for line in lines] == [("sms", (Text(text="by sms"),)), ("tg", (Text(text="cleo"),))]
    assert [line.pos for line in lines] == sorted(line.pos for line in lines)


async def test_a_claimed_address_gives_way_to_its_owner(world: World) -> None:
    mail = Identity("mailto", "", "cleo@example.org")
    mallory = Sender(identity=Identity("visitor", "web", "m"), aliases=((mail, Evidence.CLAIMED),))
    await world.receive(MessageReceived(key="m", message_id="m", sender=mallory, parts=(Text(text="I am Cleo"),)))
    await world.receive(
        MessageReceived(key="c", message_id="c", sender=Sender(identity=mail), parts=(Text(text="really"),)), channel="mail"
    )
    owner = await world.look(lambda tx: tx.customers.find(mail))
    assert [line.parts for line in await world.history(owner.customer_id)] == [(Text(text="really"),)]


async def test_merge_and_unmerge(world: World) -> None:
    one, two = await world.writes("cleo"), await world.writes("cleo2", channel="shop2")
    merged = await world.router.handle(MergeCustomers(id=world.id(), actor=GATEWAY, from_id=two.customer_id, into_id=one.customer_id))
    assert merged is not None
    assert len(await world.history(one.customer_id)) == 2
    await world.writes("cleo2", "still me", channel="shop2")
    assert len(await world.history(one.customer_id)) == 3
    await world.router.handle(UnmergeCustomers(id=world.id(), actor=GATEWAY, from_id=two.customer_id, into_id=one.customer_id))
    assert len(await world.history(one.customer_id)) == 1
    assert len(await world.history(two.customer_id)) == 2


async def test_a_contact_that_proves_both_known_addresses_merges_them(world: World) -> None:
    phone = Identity("tel", "", "+393331234567")
    await world.receive(MessageReceived(key="s", message_id="s", sender=Sender(identity=phone), parts=(Text(text="a"),)), channel="sms")
    telegram = Identity("telegram", "7", "42")
    await world.receive(MessageReceived(key="t", message_id="t", sender=Sender(identity=telegram), parts=(Text(text="b"),)), channel="tg")
    shared = Sender(identity=telegram, aliases=((phone, Evidence.PROVIDER),))
    await world.receive(MessageReceived(key="u", message_id="u", sender=shared, parts=(Text(text="c"),)), channel="tg")
    owner = await world.look(lambda tx: tx.customers.find(telegram))
    assert [line.parts for line in await world.history(owner.customer_id)] == [(Text(text=text),) for text in "abc"]
    assert "customer.merged" in await world.event_types()


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


async def test_what_the_router_announces_is_not_read_again(world: World) -> None:
    """Its own events need no routing: after one pass nothing is left, also when many messages came together."""
    events = [MessageReceived(key=f"k{n}", message_id=f"p{n}", sender=world.shopper("cleo"), parts=(Text(text=str(n)),)) for n in range(5)]
    await world.receive(*events, route=False)
    assert await world.router.route() == 5
    assert await world.router.route() == 0
    assert await world.look(lambda tx: tx.stream.cursor("router", WHOLE)) == len(await world.events())
