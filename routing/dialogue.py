"""What agents do with a conversation: ``decide(command, snapshot, rules, now) -> effects``. Pure.

The snapshot's conversation is one that the actor may see; whether they may also do this is decided here.
"""

from datetime import datetime

from msgspec import structs

from connectors.content import Choices, Media, Template, Text
from connectors.event import Status
from routing.announce import partition
from routing.command import (
    Accept,
    Actor,
    Assign,
    ConversationCommand,
    MarkSeen,
    Note,
    Reopen,
    Reply,
    Resolve,
    Snooze,
    Transfer,
)
from routing.effect import AddMessage, ChangeConversation, Effect, Rebalance, RememberCommand
from routing.errors import Forbidden, Invalid, NotNow, Stale, Unknown
from routing.line import activity, preview
from routing.rules import ChannelRules, Rules
from routing.snapshot import Snapshot
from routing.state import Move, after, back_to_queue
from routing.window import closed, kinds_of
from storage.ids import derive_id
from storage.record import AT_ONCE, Author, AuthorKind, Conversation, Message, MessageKind, OutboxItem, Priority, Role, State


def decide(command: ConversationCommand, snapshot: Snapshot, rules: Rules, now: datetime) -> list[Effect]:
    """The effects of an agent's command; raises Refused with the reason and the remedy."""
    conversation = snapshot.conversation
    if conversation is None:
        raise Unknown("not_found", "There is no such conversation.")
    match command:
        case Reply():
            return _reply(command, conversation, snapshot, rules, now)
        case Note():
            return _note(command, conversation, now)
        case Accept():
            return _accept(command, conversation, now)
        case Assign():
            return _assign(command, conversation, snapshot, now)
        case Transfer():
            return _transfer(command, conversation, snapshot, now)
        case Snooze():
            return _snooze(command, conversation, now)
        case Resolve():
            return _resolve(command, conversation, now)
        case Reopen():
            return _reopen(command, conversation, snapshot, now)
        case MarkSeen():
            return _seen(command, conversation)
        case _:
            raise Invalid("unknown_command", f"Conversations know no {type(command).__name__}.")


# --- writing -----------------------------------------------------------------------------------------------------------


def _reply(command: Reply, conversation: Conversation, snapshot: Snapshot, rules: Rules, now: datetime) -> list[Effect]:
    _may_work(command.actor, conversation)
    _check_parts(command, rules.channel(conversation.channel).sends)
    _check_public(command, snapshot, rules.channel(conversation.channel))
    if conversation.state is State.RESOLVED:
        raise NotNow("resolved", "The conversation is resolved; reopen it first.")
    if command.if_last_pos is not None and conversation.last_inbound_pos > command.if_last_pos:
        raise Stale("stale", f"The shopper has written since (pos {conversation.last_inbound_pos}); look first, then send again.")
    if snapshot.known is not None and snapshot.known.opted_out:
        raise NotNow("opted_out", "This person does not want messages from us on this channel; wait until they write.")
    _check_window(command, conversation, snapshot, rules.channel(conversation.channel), now)
    message = structs.replace(
        _message(command, conversation, MessageKind.OUTBOUND, now),
        status=Status.QUEUED,
        reply_to=snapshot.quoted.id if snapshot.quoted else "",
        public=command.public,
        automatic=command.automatic,
        pieces=command.pieces,
    )
    effects, answered = ([], conversation) if command.automatic else _answered_by_writer(command.actor, conversation, now)
    return [
        *effects,
        AddMessage(
            message=message,
            conversation=structs.replace(answered, preview=preview(command.parts)),
            outbox=_item(command, message, conversation, snapshot, now + rules.reply_life),
        ),
        RememberCommand(command_id=command.id, message_id=message.id),
    ]


def _item(command: Reply, message: Message, conversation: Conversation, snapshot: Snapshot, expires_at: datetime) -> OutboxItem:
    return OutboxItem(
        message_id=message.id,
        conversation_id=conversation.id,
        channel=conversation.channel,
        thread=conversation.thread,
        reply_to=snapshot.quoted_provider_id,
        parts=message.parts,
        status=Status.QUEUED,
        attempts=0,
        unknowns=0,
        part_from=0,
        next_at=AT_ONCE,
        expires_at=expires_at,
        accepted_at=message.received_at,
        partition=partition(conversation.channel, conversation.identity),
        public=command.public,
        priority=command.priority if command.priority is not None else Priority.BULK if command.automatic else Priority.AGENT,
        automatic=command.automatic,
        author=command.actor.name if command.actor.agent_id else "",
        window_from=conversation.last_private_at,
    )


def _answered_by_writer(actor: Actor, conversation: Conversation, now: datetime) -> tuple[list[Effect], Conversation]:
    """Nobody waits any more, and whoever answered what nobody had, has it."""
    effects, taken = _taken_by_writer(actor, conversation)
    return effects, structs.replace(taken, waiting_since=None, updated_at=now)


def _taken_by_writer(actor: Actor, conversation: Conversation) -> tuple[list[Effect], Conversation]:
    """Whoever answers a conversation that nobody has, has it; an answer on somebody else's leaves it with them. A bot keeps it pending."""
    if actor.role is Role.BOT or (conversation.state is State.OPEN and conversation.assignee_id):
        return [], conversation
    taken = structs.replace(conversation, state=after(conversation.state, Move.TAKE), assignee_id=actor.agent_id, snoozed_until=None)
    return [ChangeConversation(conversation=taken, event="conversation.assigned", reason=f"{actor.name} answered")], taken


def _note(command: Note, conversation: Conversation, now: datetime) -> list[Effect]:
    if any(not isinstance(part, Text | Media) for part in command.parts) or not command.parts:
        raise Invalid("bad_parts", "A note holds text and files only.", "parts")
    message = _message(command, conversation, MessageKind.NOTE, now)
    return [AddMessage(message=message, conversation=conversation), RememberCommand(command_id=command.id, message_id=message.id)]


def _message(command: Reply | Note, conversation: Conversation, kind: MessageKind, now: datetime) -> Message:
    author = AuthorKind.BOT if command.actor.role is Role.BOT else AuthorKind.AGENT
    if not command.actor.agent_id:
        author = AuthorKind.SYSTEM
    return Message(
        id=derive_id("msg", now, command.id),
        pos=0,
        conversation_id=conversation.id,
        customer_id=conversation.customer_id,
        kind=kind,
        author=Author(kind=author, id=command.actor.agent_id, name=command.actor.name if command.actor.agent_id else ""),
        parts=command.parts,
        at=now,
        received_at=now,
        channel=conversation.channel,
    )


def _check_parts(command: Reply, sends: frozenset[str]) -> None:
    if not command.parts:
        raise Invalid("empty", "A reply needs at least one part.", "parts")
    for index, part in enumerate(command.parts):
        kind = str(part.__struct_config__.tag)
        if sends and not kinds_of((part,), sends) <= sends:
            raise Invalid("not_supported", f"This channel cannot send {kind}; it sends {', '.join(sorted(sends))}.", f"parts[{index}]")
        if isinstance(part, Text | Choices) and not part.text.strip():
            raise Invalid("empty", "The text is empty.", f"parts[{index}].text")
        if isinstance(part, Template) and not part.name:
            raise Invalid("empty", "The template has no name.", f"parts[{index}].name")


def _check_public(command: Reply, snapshot: Snapshot, channel: ChannelRules) -> None:
    if not command.public:
        return
    if not channel.public:
        raise Invalid("not_supported", "This channel has no public messages.", "public")
    if snapshot.quoted is None or not snapshot.quoted.public:
        raise Invalid("not_public", "A public answer stands below a public message: name it in reply_to.", "reply_to")


def _check_window(command: Reply, conversation: Conversation, snapshot: Snapshot, channel: ChannelRules, now: datetime) -> None:
    """An answer to a comment, below it or by the provider's one private reply to it, needs no window."""
    if snapshot.quoted is not None and snapshot.quoted.public:
        return
    refusal = closed(conversation, channel.windows, command.parts, now, automatic=command.automatic)
    if refusal is not None:
        raise refusal


# --- moving ------------------------------------------------------------------------------------------------------------


def _may_work(actor: Actor, conversation: Conversation) -> None:
    """A conversation that a colleague has is theirs, except for supervisors; a bot works only on what it holds."""
    supervises = actor.role in {Role.ADMIN, Role.SUPERVISOR}
    if actor.role is Role.BOT and conversation.assignee_id != actor.agent_id:
        raise Forbidden("not_yours", "A bot answers only what it holds.")
    if conversation.state is State.OPEN and conversation.assignee_id != actor.agent_id and not supervises:
        raise NotNow("taken", "A colleague has this conversation; ask them to hand it over, or add a note.")


def _accept(command: Accept, conversation: Conversation, now: datetime) -> list[Effect]:
    _may_work(command.actor, conversation)
    if conversation.assignee_id == command.actor.agent_id and conversation.state is State.OPEN:
        return []
    return _give(conversation, Move.TAKE, command.actor.agent_id, "accepted", command, command.actor.name, now)


def _assign(command: Assign, conversation: Conversation, snapshot: Snapshot, now: datetime) -> list[Effect]:
    if command.actor.role is Role.BOT or not command.agent_id:
        _may_work(command.actor, conversation)
    if not command.agent_id:
        return _release(command, conversation, now)
    load = snapshot.agent
    if load is None:
        raise Unknown("not_found", "There is no such agent.")
    if load.agent.disabled or conversation.queue_id not in snapshot.agent_queues:
        raise NotNow("not_a_member", f"{load.agent.name} cannot take it: not an active member of its queue.")
    _may_work(command.actor, conversation)
    return _give(conversation, Move.TAKE, load.agent.id, "assigned", command, load.agent.name, now)


def _give(
    conversation: Conversation, move: Move, agent_id: str, reason: str, command: ConversationCommand, subject: str, now: datetime
) -> list[Effect]:
    state = after(conversation.state, move)
    given = structs.replace(conversation, state=state, assignee_id=agent_id, snoozed_until=None, updated_at=now)
    return [
        ChangeConversation(conversation=given, event="conversation.assigned", reason=f"{reason} by {command.actor.name}"),
        activity(given, now, command.id, "assigned", command.actor.name, subject),
        Rebalance(queue_ids=frozenset({conversation.queue_id})),
    ]


def _release(command: ConversationCommand, conversation: Conversation, now: datetime) -> list[Effect]:
    back = back_to_queue(conversation, now)
    return [
        ChangeConversation(conversation=back, event="conversation.released", reason=f"handed back by {command.actor.name}"),
        activity(back, now, command.id, "released", command.actor.name),
        Rebalance(queue_ids=frozenset({back.queue_id}), fresh=frozenset({back.id})),
    ]


def _transfer(command: Transfer, conversation: Conversation, snapshot: Snapshot, now: datetime) -> list[Effect]:
    _may_work(command.actor, conversation)
    queue = snapshot.queue
    if queue is None:
        raise Unknown("not_found", "There is no such queue.")
    state = after(conversation.state, Move.TRANSFER)
    moved = structs.replace(
        conversation,
        state=state,
        assignee_id="",
        queue_id=queue.id,
        snoozed_until=None,
        waiting_since=conversation.waiting_since or now,
        updated_at=now,
    )
    return [
        ChangeConversation(
            conversation=moved,
            event="conversation.transferred",
            reason=f"moved by {command.actor.name}",
            left_queue=conversation.queue_id,
        ),
        activity(moved, now, command.id, "transferred", command.actor.name, queue.name),
        Rebalance(queue_ids=frozenset({conversation.queue_id, queue.id}), fresh=frozenset({moved.id})),
    ]


def _snooze(command: Snooze, conversation: Conversation, now: datetime) -> list[Effect]:
    _may_work(command.actor, conversation)
    if command.until <= now:
        raise Invalid("in_the_past", "The time to come back must lie in the future.", "until")
    state = after(conversation.state, Move.SNOOZE)
    asleep = structs.replace(
        conversation,
        state=state,
        assignee_id=conversation.assignee_id or command.actor.agent_id,
        snoozed_until=command.until,
        updated_at=now,
    )
    return [
        ChangeConversation(conversation=asleep, event="conversation.snoozed", reason=f"by {command.actor.name}"),
        activity(asleep, now, command.id, "snoozed", command.actor.name),
        Rebalance(queue_ids=frozenset({asleep.queue_id})),
    ]


def _resolve(command: Resolve, conversation: Conversation, now: datetime) -> list[Effect]:
    _may_work(command.actor, conversation)
    state = after(conversation.state, Move.RESOLVE)
    done = structs.replace(conversation, state=state, snoozed_until=None, waiting_since=None, updated_at=now)
    return [
        ChangeConversation(conversation=done, event="conversation.resolved", reason=f"by {command.actor.name}"),
        activity(done, now, command.id, "resolved", command.actor.name),
        Rebalance(queue_ids=frozenset({done.queue_id})),
    ]


def _reopen(command: Reopen, conversation: Conversation, snapshot: Snapshot, now: datetime) -> list[Effect]:
    state = after(conversation.state, Move.REOPEN)
    if snapshot.conversations:
        number = snapshot.conversations[0].number
        raise NotNow("newer_exists", f"The shopper has come back meanwhile, in conversation {number}; go on there.")
    again = structs.replace(conversation, state=state, assignee_id="", waiting_since=now, updated_at=now)
    return [
        ChangeConversation(conversation=again, event="conversation.reopened", reason=f"by {command.actor.name}"),
        activity(again, now, command.id, "reopened", command.actor.name),
        Rebalance(queue_ids=frozenset({again.queue_id}), fresh=frozenset({again.id})),
    ]


def _seen(command: MarkSeen, conversation: Conversation) -> list[Effect]:
    """Seen is what the conversation's own agent has seen; a visitor's glance does not clear it for them."""
    if conversation.assignee_id not in {"", command.actor.agent_id}:
        return []
    pos = min(command.pos, conversation.last_pos)
    if pos <= conversation.seen_pos:
        return []
    return [ChangeConversation(conversation=structs.replace(conversation, seen_pos=pos), event="conversation.seen")]
