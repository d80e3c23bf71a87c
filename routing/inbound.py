"""What an event from a channel means: ``decide(arrival, snapshot, rules) -> effects``. Pure; the time is the arrival's."""

from msgspec import structs

from connectors.content import AnyPart, Text
from connectors.event import (
    AccountReported,
    AddressMoved,
    ChatStarted,
    ConsentChanged,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    PayloadQuarantined,
    PersonEvent,
    ProfileReported,
    ReactionChanged,
    StatusReported,
    WatermarkReported,
    encode_event,
)
from routing import flood, report
from routing.answer import with_choice
from routing.consent import consent, consent_by_writing
from routing.continued import joining, refusal, refuses
from routing.effect import (
    AddMessage,
    ChangeConversation,
    ChangeMessage,
    Effect,
    OpenConversation,
    ParkEvent,
    Rebalance,
    RecallWatermarks,
    RedirectOutbox,
)
from routing.identity import Identified, identify
from routing.line import activity, began, from_elsewhere, from_shopper, keeping_copies, media_jobs, presentable, preview, shown_time
from routing.linked import started
from routing.rules import Rules
from routing.snapshot import Arrival, Snapshot
from routing.state import Move, after
from routing.thread import Joined, joined, name_of
from storage.ids import derive_id
from storage.record import Author, AuthorKind, Conversation, Message, Presence, State


def decide(arrival: Arrival, snapshot: Snapshot, rules: Rules) -> list[Effect]:
    """The effects of one inbound event; the same arrival and snapshot always give the same effects."""
    event = arrival.event
    if isinstance(event, MessageReceived | MessageEchoed | MessageEdited):
        event = structs.replace(event, parts=presentable(event.parts))
    match event:
        case MessageReceived():
            return _message(arrival, event, snapshot, rules)
        case MessageEchoed():
            return _echo(arrival, event, snapshot, rules)
        case MessageEdited() | MessageDeleted() | ReactionChanged():
            return _about_message(arrival, event, snapshot)
        case StatusReported():
            return report.status(arrival, event, snapshot, rules)
        case WatermarkReported():
            return report.watermark(arrival, event, snapshot)
        case ConsentChanged():
            return _consent(arrival, event, snapshot)
        case ChatStarted():
            return started(arrival, _identified(arrival, event, snapshot), snapshot.linked)
        case ProfileReported():
            return _identified(arrival, event, snapshot).effects if snapshot.customer is not None else []
        case AddressMoved():
            return _moved(arrival, event, snapshot)
        case AccountReported() | PayloadIgnored() | PayloadQuarantined():
            return []


def _identified(arrival: Arrival, event: PersonEvent, snapshot: Snapshot) -> Identified:
    return identify(event.sender, arrival.at, snapshot.known, snapshot.customer, snapshot.aliases)


# --- messages ----------------------------------------------------------------------------------------------------------


def _message(arrival: Arrival, event: MessageReceived, snapshot: Snapshot, rules: Rules) -> list[Effect]:
    limits = rules.channel(arrival.channel).flood
    if not (refused := refuses(event, snapshot.thread)):
        event = flood.by_sender(event, snapshot.counted, limits)
    who = joining(event, _identified(arrival, event, snapshot), snapshot.known, snapshot.thread, arrival.at)
    effects = list(who.effects)
    thread = joined(arrival, event, who, snapshot.thread, rules)
    if thread is not None and snapshot.thread is not None:
        snapshot = structs.replace(
            snapshot, conversation=thread.conversation, agent=snapshot.thread.agent, agent_queues=snapshot.thread.agent_queues
        )
    event = event if refused else flood.by_domain(event, snapshot.conversation, snapshot.counted, limits)
    event = structs.replace(event, parts=with_choice(event.parts, snapshot.asked, rules.channel(arrival.channel)))
    if event.group and snapshot.album is not None and _is_live(snapshot.album, snapshot.conversation):
        return effects + _join_album(event, snapshot.album)
    conversation, entering = (_aside if event.automatic or refused else _conversation)(arrival, event, who, snapshot, rules)
    effects += entering
    if thread is not None and thread.newcomer:
        effects.append(activity(conversation, arrival.at, event.key, "joined", subject=name_of(event)))
    if any(isinstance(one, OpenConversation) for one in entering):
        effects += began(conversation, event, arrival.at)
    if refused and snapshot.thread is not None:
        effects += refusal(event, who, snapshot.known, snapshot.thread, arrival.at)
    elif who.known.opted_out and consent_by_writing(event, arrival.at):
        effects += consent(who.known, conversation, arrival.at, event.key, opted_in=True)
    name = name_of(event) if thread is not None and thread.guest else event.sender.name or who.customer.name
    author = Author(kind=AuthorKind.CUSTOMER, id=who.customer.id, name=name)
    message = from_shopper(arrival, event, conversation, author, snapshot.quoted)
    conversation = structs.replace(conversation, preview=preview(message.parts))
    if not refused:
        conversation = _written(arrival, event, conversation, thread)
    ids = (event.message_id, *((album_id(event),) if event.group else ()))
    effects.append(AddMessage(message=message, conversation=conversation, provider_ids=ids))
    effects += media_jobs(message, event.key)
    effects += flood.told(event, conversation, snapshot.counted, limits, arrival.at)
    effects += flood.counts(event, arrival.channel, arrival.at, limits, entering=bool(entering))
    if entering and conversation.state is State.QUEUED:
        effects.append(Rebalance(queue_ids=frozenset({conversation.queue_id}), fresh=frozenset({conversation.id})))
    return effects


def _written(arrival: Arrival, event: MessageReceived, conversation: Conversation, thread: Joined | None) -> Conversation:
    """The conversation after a message of the shopper's. What a machine wrote asks for nothing, and a comment opens no window."""
    if event.automatic:
        return conversation
    private = conversation.last_private_at
    answered_there = (event.public and private is not None) or (thread is not None and not thread.trusted)
    if not event.public and conversation.identity == event.sender.identity:
        written = shown_time(event.at, arrival.at)
        private = written if private is None else max(private, written)
    return structs.replace(
        conversation,
        thread=conversation.thread if answered_there else event.thread or event.sender.identity.value,
        waiting_since=conversation.waiting_since or arrival.at,
        last_private_at=private,
        updated_at=arrival.at,
    )


def _aside(arrival: Arrival, event: PersonEvent, who: Identified, snapshot: Snapshot, rules: Rules) -> tuple[Conversation, list[Effect]]:
    """Where something is kept that asks for no work; what it begins is done until the shopper writes."""
    if snapshot.conversation is not None:
        return snapshot.conversation, []
    begun = _open(arrival, event, who, snapshot, rules)
    conversation = structs.replace(begun, state=State.RESOLVED, assignee_id="", waiting_since=None)
    return conversation, [OpenConversation(conversation=conversation)]


def album_id(event: MessageReceived) -> str:
    """Under which provider id the line of an album is found by its later parts."""
    return f"album:{event.thread}:{event.group}"


def _is_live(album: Message, conversation: Conversation | None) -> bool:
    """Would somebody see what is added to this line? Where a conversation is set aside or done nobody would: there a new line wakes it."""
    if conversation is None or conversation.id != album.conversation_id:
        return False
    return conversation.state not in {State.SNOOZED, State.RESOLVED}


def _join_album(event: MessageReceived, album: Message) -> list[Effect]:
    """The pieces of an album come as messages of their own, at any distance in time; they are one line."""
    joined = structs.replace(album, parts=album.parts + event.parts)
    return [ChangeMessage(message=joined, provider_ids=(event.message_id,)), *media_jobs(joined, event.key, first=len(album.parts))]


def _conversation(
    arrival: Arrival, event: PersonEvent, who: Identified, snapshot: Snapshot, rules: Rules
) -> tuple[Conversation, list[Effect]]:
    """The conversation that a message belongs to, and the effects by which it begins or comes back (none if it was there)."""
    known = snapshot.conversation
    if known is None or (known.state is State.RESOLVED and arrival.at - known.updated_at > rules.reopen_within):
        opened = _open(arrival, event, who, snapshot, rules)
        return opened, [OpenConversation(conversation=opened)]
    if known.state is State.SNOOZED and _still_there(known, snapshot):
        returned = structs.replace(known, state=after(known.state, Move.RETURN), snoozed_until=None, waiting_since=arrival.at)
        return returned, [ChangeConversation(conversation=returned, event="conversation.assigned", reason="the shopper wrote")]
    moved = structs.replace(known, state=after(known.state, Move.ARRIVE))
    if moved.state is known.state:
        return known, []
    back = structs.replace(moved, assignee_id="", snoozed_until=None, waiting_since=arrival.at, updated_at=arrival.at)
    event_name = "conversation.reopened" if known.state is State.RESOLVED else "conversation.queued"
    return back, [ChangeConversation(conversation=back, event=event_name, reason="the shopper wrote")]


def _open(arrival: Arrival, event: PersonEvent, who: Identified, snapshot: Snapshot, rules: Rules) -> Conversation:
    queue = snapshot.queue or snapshot.default_queue
    assert queue is not None
    bot = rules.channel(arrival.channel).bot
    return Conversation(
        id=derive_id("cnv", arrival.at, arrival.channel, event.key),
        number=0,
        channel=arrival.channel,
        identity=event.sender.identity,
        customer_id=who.customer.id,
        thread=event.thread or event.sender.identity.value,
        state=State.PENDING if bot else State.QUEUED,
        assignee_id=bot,
        queue_id=queue.id,
        created_at=arrival.at,
        updated_at=arrival.at,
        waiting_since=arrival.at,
        last_private_at=snapshot.conversation.last_private_at if snapshot.conversation else None,
    )


def _still_there(conversation: Conversation, snapshot: Snapshot) -> bool:
    """Is the conversation's agent still able to answer?"""
    load = snapshot.agent
    return (
        load is not None
        and load.agent.id == conversation.assignee_id
        and load.agent.presence is Presence.ONLINE
        and not load.agent.disabled
        and conversation.queue_id in snapshot.agent_queues
    )


def _echo(arrival: Arrival, event: MessageEchoed, snapshot: Snapshot, rules: Rules) -> list[Effect]:
    if snapshot.message is not None:
        return report.own_echo(arrival, event, snapshot)
    who = _identified(arrival, event, snapshot)
    conversation, begun = _aside(arrival, event, who, snapshot, rules)
    effects = [*who.effects, *begun]
    message = from_elsewhere(arrival, event, conversation)
    answered = None if conversation.state is State.OPEN else conversation.waiting_since
    conversation = structs.replace(conversation, preview=preview(message.parts), waiting_since=answered, updated_at=arrival.at)
    effects.append(AddMessage(message=message, conversation=conversation, provider_ids=(event.message_id,)))
    return [*effects, RecallWatermarks(channel=arrival.channel, identity=event.sender.identity)]


# --- about messages ----------------------------------------------------------------------------------------------------


def _about_message(arrival: Arrival, event: MessageEdited | MessageDeleted | ReactionChanged, snapshot: Snapshot) -> list[Effect]:
    """A change of a message that may not be here yet: then it waits for it."""
    message = snapshot.message
    if message is None:
        return [ParkEvent(channel=arrival.channel, provider_id=event.message_id, data=encode_event(event), at=arrival.at)]
    match event:
        case MessageEdited():
            changed = structs.replace(message, parts=_edited_parts(message, event), edited_at=arrival.at)
            return [ChangeMessage(message=changed), *media_jobs(changed, event.key)]
        case MessageDeleted():
            return [ChangeMessage(message=structs.replace(message, deleted=True))]
        case ReactionChanged():
            reactions = {who: emoji for who, emoji in message.reactions.items() if who != str(event.sender.identity)}
            if event.emoji:
                reactions[str(event.sender.identity)] = event.emoji
            return [ChangeMessage(message=structs.replace(message, reactions=reactions))]


def _edited_parts(message: Message, event: MessageEdited) -> tuple[AnyPart, ...]:
    """An edit replaces everything, except in an album, where it brings a new caption for one piece only."""
    if not message.group:
        return keeping_copies(event.parts, message.parts)
    return tuple(part for part in message.parts if not isinstance(part, Text)) + tuple(
        part for part in event.parts if isinstance(part, Text)
    )


# --- about people ------------------------------------------------------------------------------------------------------


def _consent(arrival: Arrival, event: ConsentChanged, snapshot: Snapshot) -> list[Effect]:
    who = _identified(arrival, event, snapshot)
    if who.known.opted_out is not event.opted_in:
        # Known already: by their writing, or by what a sending ran into.
        return who.effects
    return [*who.effects, *consent(who.known, snapshot.conversation, arrival.at, event.key, opted_in=event.opted_in)]


def _moved(arrival: Arrival, event: AddressMoved, snapshot: Snapshot) -> list[Effect]:
    effects: list[Effect] = [RedirectOutbox(channel=arrival.channel, old_thread=event.old_thread, new_thread=event.new_thread)]
    for conversation in snapshot.conversations:
        moved = structs.replace(conversation, thread=event.new_thread, updated_at=arrival.at)
        effects.append(ChangeConversation(conversation=moved, event="conversation.updated", reason="the address has moved"))
        effects.append(activity(moved, arrival.at, event.key, "moved"))
    return effects
