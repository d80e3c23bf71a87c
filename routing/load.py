"""Snapshots: what the store knows around one event or command, read in the transaction that will apply the decision."""

from datetime import datetime, timedelta

from msgspec import structs

from connectors.capabilities import Flood
from connectors.content import AnyPart
from connectors.errors import FailureKind
from connectors.event import (
    AddressMoved,
    ChatStarted,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PersonEvent,
    ReactionChanged,
    Status,
    StatusReported,
    WatermarkReported,
)
from connectors.identity import Identity, proves
from routing import flood
from routing.answer import may_answer
from routing.command import (
    Assign,
    ConversationCommand,
    ExpireReplies,
    FinishAttempt,
    KeepProgress,
    MailTranscript,
    MailUnseen,
    MediaStored,
    MergeCustomers,
    OptOut,
    PutAgent,
    PutQueue,
    Reopen,
    Reply,
    SetMember,
    SetPresence,
    Transfer,
    UnmergeCustomers,
    VisitorSeen,
)
from routing.continued import LETTER_HOURS, Absence, Address, choose_address, mailbox_name
from routing.inbound import album_id
from routing.report import is_echo_of
from routing.rules import Rules
from routing.snapshot import Arrival, Counted, Linked, Snapshot, Thread
from routing.staff import StaffCommand
from storage.access import Scope
from storage.held import SENDING_HELD
from storage.protocol import Transaction
from storage.record import AgentLoad, Conversation, Customer, KnownIdentity, Message, MessageKind, Queue, State

EVERYTHING = Scope(everything=True)
#: How far back a visitor's "seen", or a watermark, looks for replies, and a thread for who is in it.
SEEN_WINDOW = 200
#: How far back lies what is being sent, in lines; and how it is shown meanwhile.
ECHO_WINDOW = 20
_ON_ITS_WAY = frozenset({Status.QUEUED, Status.SENDING, Status.RETRY, Status.UNKNOWN})
#: How far back the question lies that a bare number answers, in lines.
ASKED_WINDOW = 20
#: Of long threads the newest references count.
REFERENCES = 20
#: Added to now: later than any reply's life ends.
ALL_TIMES = timedelta(days=365_000)
#: Most conversations handed back at once when an agent leaves; nobody holds more.
HELD_LIMIT = 10_000


async def for_arrival(tx: Transaction, arrival: Arrival, rules: Rules) -> Snapshot:
    """Around an inbound event."""
    event = arrival.event
    snapshot = await _person(tx, arrival, rules) if isinstance(event, PersonEvent) else Snapshot()
    match event:
        case MessageReceived():
            quoted = await tx.messages.by_provider_id(arrival.channel, event.reply_to) if event.reply_to else None
            album = await tx.messages.by_provider_id(arrival.channel, album_id(event)) if event.group else None
            thread = await _thread(tx, arrival.channel, event)
            current = thread.conversation if thread else snapshot.conversation
            asked = await _asked(tx, current) if current and may_answer(event, rules.channel(arrival.channel)) else None
            counted = await _counted(tx, arrival, event, rules.channel(arrival.channel).flood, (thread, snapshot))
            return structs.replace(snapshot, quoted=quoted, album=album, thread=thread, asked=asked, counted=counted)
        case MessageEdited() | MessageDeleted() | ReactionChanged():
            return structs.replace(snapshot, message=await tx.messages.by_provider_id(arrival.channel, event.message_id))
        case MessageEchoed():
            found = await _ours(tx, arrival.channel, event.ours, event.message_id, snapshot)
            return found if found.message is not None or event.ours else await _being_sent(tx, arrival.channel, event, found)
        case StatusReported():
            found = await _ours(tx, arrival.channel, event.ours, event.message_id, snapshot)
            return await _refusing(tx, found) if event.failure is FailureKind.OPTED_OUT and found.message else found
        case WatermarkReported() if snapshot.conversation is not None:
            lines = await tx.messages.of_conversation(snapshot.conversation.id, 0, 0, SEEN_WINDOW)
            return structs.replace(snapshot, messages=tuple(lines))
        case ChatStarted():
            return structs.replace(snapshot, linked=await _linked(tx, arrival.channel, event.payload, arrival.at, rules))
        case AddressMoved():
            return Snapshot(conversations=tuple(await tx.conversations.by_thread(arrival.channel, event.old_thread)))
        case _:
            return snapshot


async def _person(tx: Transaction, arrival: Arrival, rules: Rules) -> Snapshot:
    event = arrival.event
    assert isinstance(event, PersonEvent)
    identity = event.sender.identity
    known = await tx.customers.find(identity)
    aliases = {one: owner for one, _ in event.sender.aliases if (owner := await tx.customers.find(one)) is not None}
    conversation = await tx.conversations.unresolved(arrival.channel, identity) or await tx.conversations.latest(arrival.channel, identity)
    queue = None
    if conversation is None or conversation.state is State.RESOLVED:
        queue = await _start_queue(tx, arrival.channel, rules)
    agent = await _load(tx, conversation.assignee_id) if conversation is not None and conversation.state is State.SNOOZED else None
    return Snapshot(
        known=known,
        customer=await tx.customers.get(known.customer_id) if known else None,
        aliases=aliases,
        conversation=conversation,
        queue=queue,
        agent=agent,
        agent_queues=await tx.queues.of_agent(agent.agent.id) if agent else frozenset(),
    )


async def _ours(tx: Transaction, channel: str, ours: str, provider_id: str, snapshot: Snapshot) -> Snapshot:
    """A message of ours by our own id, if the provider echoes it, else by the provider's; and what is known of its sending."""
    message = await tx.messages.get(ours) if ours else None
    if message is None or message.channel != channel:
        message = await tx.messages.by_provider_id(channel, provider_id)
    if message is None or message.kind is not MessageKind.OUTBOUND:
        return structs.replace(snapshot, message=message)
    item = await tx.outbox.get(message.id)
    attempts = await tx.outbox.attempts(message.id) if item is not None and item.status is Status.UNKNOWN else []
    pieces = await tx.messages.pieces(channel, message.id)
    return structs.replace(snapshot, message=message, item=item, pieces=tuple(pieces), attempts=tuple(attempts))


async def _being_sent(tx: Transaction, channel: str, event: MessageEchoed, snapshot: Snapshot) -> Snapshot:
    """Some providers echo what we send before they have answered, and do not name it: then it is what is on its way and says the same."""
    lines = await tx.messages.of_conversation(snapshot.conversation.id, 0, 0, ECHO_WINDOW) if snapshot.conversation else []
    for line in lines:
        if line.kind is MessageKind.OUTBOUND and line.status in _ON_ITS_WAY and is_echo_of(event, line):
            item = await tx.outbox.get(line.id)
            if item is not None and item.status in (Status.SENDING, Status.UNKNOWN):
                return await _ours(tx, channel, line.id, event.message_id, snapshot)
    return snapshot


async def _refusing(tx: Transaction, snapshot: Snapshot) -> Snapshot:
    assert snapshot.message is not None
    conversation = await tx.conversations.get(snapshot.message.conversation_id, EVERYTHING)
    known = await tx.customers.find(conversation.identity) if conversation else None
    return structs.replace(snapshot, conversation=conversation, known=known)


async def _thread(tx: Transaction, channel: str, event: MessageReceived) -> Thread | None:
    """By the newest reference that we know. Of a person there is one unresolved conversation at most: then that is meant."""
    message = None
    for reference in reversed(event.references[-REFERENCES:]):
        message = await tx.messages.by_provider_id(channel, reference)
        if message is not None:
            break
    conversation = await tx.conversations.get(message.conversation_id, EVERYTHING) if message else None
    if conversation is None:
        return None
    if conversation.state is State.RESOLVED:
        conversation = await tx.conversations.unresolved(channel, conversation.identity) or conversation
    own = conversation.identity == event.sender.identity
    lines = [] if own else await tx.messages.of_conversation(conversation.id, 0, 0, SEEN_WINDOW)
    agent = await _load(tx, conversation.assignee_id) if conversation.state is State.SNOOZED else None
    queues = await tx.queues.of_agent(agent.agent.id) if agent else frozenset()
    thread = Thread(conversation=conversation, messages=tuple(lines), agent=agent, agent_queues=queues)
    if not proves(event.sender.identity, conversation.identity):
        return thread
    customer, typed = await tx.customers.get(conversation.customer_id), await tx.customers.find(conversation.identity)
    return structs.replace(thread, customer=customer, typed=typed)


async def _counted(
    tx: Transaction, arrival: Arrival, event: MessageReceived, limits: Flood, around: tuple[Thread | None, Snapshot]
) -> Counted | None:
    """What of this sender's, and of their domain's, has come within the hour; None where nothing is limited."""
    if event.automatic or limits == Flood():
        return None
    identity = event.sender.identity
    sender = await tx.tallies.total(flood.sender_name(arrival.channel, identity), arrival.at, 1)
    domain = await tx.tallies.total(flood.domain_name(arrival.channel, identity), arrival.at, 1) if limits.domain else 0
    if not flood.reached(event, counted := Counted(sender=sender, domain=domain), limits):
        return counted
    ids = {flood.line_id(one.conversation.id, arrival.at) for one in around if one is not None and one.conversation is not None}
    lines = [line for id_ in ids if (line := await tx.messages.get(id_)) is not None]
    return structs.replace(counted, lines=tuple(lines))


async def _linked(tx: Transaction, channel: str, token: str, at: datetime, rules: Rules) -> Linked | None:
    claim = rules.links.read(channel, token, at) if rules.links is not None else None
    if claim is None or await tx.messages.by_provider_id("", f"command:{claim.use}") is not None:
        return None
    conversation = await tx.conversations.get(claim.conversation_id, EVERYTHING)
    return None if conversation is None else Linked(conversation=conversation, use=claim.use)


async def _asked(tx: Transaction, conversation: Conversation) -> Message | None:
    lines = await tx.messages.of_conversation(conversation.id, 0, 0, ASKED_WINDOW)
    return next((line for line in reversed(lines) if line.kind is MessageKind.OUTBOUND), None)


async def _start_queue(tx: Transaction, channel: str, rules: Rules) -> Queue:
    name = rules.channel(channel).queue
    return (await tx.queues.by_name(name) if name else None) or await tx.queues.default()


async def _load(tx: Transaction, agent_id: str) -> AgentLoad | None:
    agent = await tx.agents.get(agent_id) if agent_id else None
    return AgentLoad(agent=agent, open_count=await tx.agents.open_count(agent.id)) if agent else None


# --- commands ----------------------------------------------------------------------------------------------------------


async def for_dialogue(tx: Transaction, command: ConversationCommand) -> Snapshot:
    """Around a conversation command; an invisible conversation is none."""
    conversation = await tx.conversations.get(command.conversation_id, command.actor.scope)
    if conversation is None:
        return Snapshot()
    snapshot = Snapshot(conversation=conversation)
    match command:
        case Reply():
            known = await tx.customers.find(conversation.identity)
            quoted = await _quoted(tx, command.reply_to, conversation)
            ids = await tx.messages.provider_ids(conversation.channel, quoted.id) if quoted else []
            return structs.replace(snapshot, known=known, quoted=quoted, quoted_provider_id=ids[0] if ids else "")
        case Assign() if command.agent_id:
            load = await _load(tx, command.agent_id)
            return structs.replace(snapshot, agent=load, agent_queues=await tx.queues.of_agent(command.agent_id))
        case Transfer():
            return structs.replace(snapshot, queue=await tx.queues.get(command.queue_id))
        case Reopen():
            newer = await tx.conversations.unresolved(conversation.channel, conversation.identity)
            return structs.replace(snapshot, conversations=(newer,) if newer else ())
        case _:
            return snapshot


async def _quoted(tx: Transaction, message_id: str, conversation: Conversation) -> Message | None:
    message = await tx.messages.get(message_id) if message_id else None
    return message if message is not None and message.conversation_id == conversation.id else None


async def for_staff(tx: Transaction, command: StaffCommand) -> Snapshot:
    """Around a command about people or queues."""
    match command:
        case SetPresence():
            return await _staff(tx, command.agent_id)
        case PutAgent():
            namesake = await tx.agents.by_email(command.email.strip().lower()) if command.email else None
            return structs.replace(await _staff(tx, command.agent_id), namesake=namesake)
        case PutQueue():
            queue = await tx.queues.get(command.queue_id) if command.queue_id else None
            return Snapshot(queue=queue, default_queue=await tx.queues.default())
        case SetMember():
            return structs.replace(await _staff(tx, command.agent_id), queue=await tx.queues.get(command.queue_id))
        case MergeCustomers() | UnmergeCustomers():
            scope = command.actor.scope
            into = await _visible(tx, command.into_id, scope)
            # What an undone merge gives back has nothing left that could be visible.
            undo = isinstance(command, UnmergeCustomers)
            return Snapshot(customer=into, merge_from=await _visible(tx, command.from_id, EVERYTHING if undo else scope))


async def _staff(tx: Transaction, agent_id: str) -> Snapshot:
    load = await _load(tx, agent_id)
    if load is None:
        return Snapshot()
    held = await tx.conversations.page(
        EVERYTHING,
        states=(State.OPEN, State.SNOOZED, State.PENDING),
        queue_id="",
        assignee_id=agent_id,
        before=0,
        limit=HELD_LIMIT,
    )
    return Snapshot(agent=load, agent_queues=await tx.queues.of_agent(agent_id), conversations=tuple(held))


async def _visible(tx: Transaction, customer_id: str, scope: Scope) -> Customer | None:
    customer = await tx.customers.get(customer_id)
    if customer is None or scope.everything:
        return customer
    return customer if await tx.conversations.of_customer(customer_id, scope) else None


# --- the gateway's workers ---------------------------------------------------------------------------------------------


async def for_attempt(tx: Transaction, command: FinishAttempt | KeepProgress) -> Snapshot:
    """Around a reply that was, or is being, tried."""
    item = await tx.outbox.get(command.message_id)
    message = await tx.messages.get(command.message_id)
    pieces = await tx.messages.pieces(message.channel, message.id) if message else []
    attempts = await tx.outbox.attempts(command.message_id) if command.certain else []
    conversation = await tx.conversations.get(message.conversation_id, EVERYTHING) if message else None
    known = await tx.customers.find(conversation.identity) if conversation else None
    return Snapshot(item=item, message=message, conversation=conversation, known=known, pieces=tuple(pieces), attempts=tuple(attempts))


async def for_expiry(tx: Transaction, command: ExpireReplies, now: datetime) -> Snapshot:
    """Replies past their life, and their lines."""
    before = command.accepted_before
    if before is not None:
        # In the order of acceptance: nothing that is to be dropped lies behind the first that is not.
        items = [item for item in await tx.outbox.expired(now + ALL_TIMES, command.limit) if item.accepted_at < before]
    elif await tx.settings.get(SENDING_HELD):
        return Snapshot()  # what became of them is for an operator to say
    else:
        items = await tx.outbox.expired(now, command.limit)
    pairs = [(item, message) for item in items if (message := await tx.messages.get(item.message_id)) is not None]
    return Snapshot(items=tuple(item for item, _ in pairs), messages=tuple(message for _, message in pairs))


async def for_waking(tx: Transaction, conversation: Conversation) -> Snapshot:
    """Around one conversation whose time has come."""
    return Snapshot(conversations=(conversation,), agent=await _load(tx, conversation.assignee_id))


async def for_media(tx: Transaction, command: MediaStored) -> Snapshot:
    """The line whose file was fetched."""
    return Snapshot(message=await tx.messages.get(command.message_id))


async def for_visitor(tx: Transaction, command: VisitorSeen) -> Snapshot:
    """What the shopper's client may just have shown."""
    conversation = await tx.conversations.latest(command.channel, command.identity)
    if conversation is None:
        return Snapshot()
    messages = await tx.messages.of_conversation(conversation.id, 0, command.pos + 1, SEEN_WINDOW)
    return Snapshot(conversation=conversation, messages=tuple(messages))


async def for_opt_out(tx: Transaction, command: OptOut) -> tuple[Conversation | None, list[KnownIdentity]]:
    """A conversation, and what is known of the address that its messages go to: as whose it came in, and as its owner's."""
    conversation = await tx.conversations.get(command.conversation_id, command.actor.scope)
    if conversation is None:
        return None, []
    identity = conversation.identity
    wanted = dict.fromkeys([identity, *([Identity("mailto", "", identity.value)] if identity.scheme == "mailto" else [])])
    return conversation, [known for one in wanted if (known := await tx.customers.find(one)) is not None]


async def for_absence(tx: Transaction, command: MailUnseen | MailTranscript, now: datetime) -> Absence | None:
    """A chat whose visitor may have gone; None if it is nobody's."""
    chat = await tx.conversations.get(command.conversation_id, command.actor.scope)
    if chat is None:
        return None
    lines = await tx.messages.of_conversation(chat.id, 0, 0, SEEN_WINDOW)
    chosen = choose_address(chat.identity, await tx.customers.identities(chat.customer_id))
    customer = await tx.customers.get(chat.customer_id)
    address = await _address(tx, command.by, *chosen) if chosen else None
    if address is not None and not address.proved:
        letters = await tx.tallies.total(mailbox_name(address.identity.value), now, LETTER_HOURS)
        address = structs.replace(address, letters=letters)
    return Absence(chat=chat, lines=tuple(lines), address=address, language=customer.language if customer else "")


async def _address(tx: Transaction, by: str, identity: Identity, proved: bool) -> Address:  # noqa: FBT001 - as it was chosen
    both = [await tx.customers.find(one) for one in (identity, Identity("mailto", "", identity.value))]
    found = [await tx.conversations.latest(by, one) for one in (identity, Identity("mailto", "", identity.value))]
    mails = [line for one in found if one for line in await tx.messages.of_conversation(one.id, 0, 0, ECHO_WINDOW)]
    ours = [line for line in mails if line.kind is MessageKind.OUTBOUND]
    return Address(
        identity=identity,
        proved=proved,
        opted_out=any(one.opted_out for one in both if one is not None),
        conversation=found[0],
        last=max(ours, key=lambda line: line.pos, default=None),
    )


def uploads(parts: tuple[AnyPart, ...]) -> tuple[str, ...]:
    """Ids of the stored files that ``parts`` refer to."""
    files = (file for part in parts for file in (part, getattr(part, "header_media", None)))
    return tuple(stored for file in files if (stored := getattr(file, "stored", "")))
