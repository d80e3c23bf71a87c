"""The router over a real store: from an event or command to rows and announcements."""

import asyncio
from datetime import timedelta

import pytest

from connectors.content import Activity, Chosen, Media, MediaKind, Text
from connectors.event import (
    ConsentChanged,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    ReactionChanged,
    Status,
)
from routing.command import (
    Accept,
    Assign,
    PutAgent,
    Reopen,
    Reply,
    Resolve,
    SetMember,
    Snooze,
    Transfer,
    Wake,
)
from routing.errors import Forbidden, Invalid, NotNow, Stale, Unknown
from storage import open_store
from storage.protocol import WHOLE
from storage.record import Conversation, Decision, Entry, MessageKind, OutboxItem, Presence, Role, State
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


async def test_what_the_router_announces_is_not_read_again(world: World) -> None:
    """Its own events need no routing: after one pass nothing is left, also when many messages came together."""
    events = [MessageReceived(key=f"k{n}", message_id=f"p{n}", sender=world.shopper("cleo"), parts=(Text(text=str(n)),)) for n in range(5)]
    await world.receive(*events, route=False)
    assert await world.router.route() == 5
    assert await world.router.route() == 0
    assert await world.look(lambda tx: tx.stream.cursor("router", WHOLE)) == len(await world.events())
