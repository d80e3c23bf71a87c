"""What is kept: frozen rows, the same on every back-end. Times are aware UTC; ids come from ``storage.ids``."""

from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Final

from msgspec import Struct

from connectors.content import AnyPart
from connectors.event import Instant, Status
from connectors.identity import Evidence, Identity


class State(StrEnum):
    """Where a conversation stands. ``routing.state`` has the table of allowed moves."""

    #: A bot holds it.
    PENDING = "pending"
    #: It waits for a person.
    QUEUED = "queued"
    #: An agent has it.
    OPEN = "open"
    #: Set aside until a time, or until the shopper writes.
    SNOOZED = "snoozed"
    #: Done; the shopper may come back.
    RESOLVED = "resolved"


class Role(StrEnum):
    """What an agent may do; each includes the one after it, except ``BOT``."""

    #: Everything, including channels, agents and tokens.
    ADMIN = "admin"
    #: Sees all queues, moves conversations, manages queues.
    SUPERVISOR = "supervisor"
    #: Works in the queues they are a member of.
    AGENT = "agent"
    #: A program: like an agent, never assigned by the router, signs in by token only.
    BOT = "bot"


class Presence(StrEnum):
    """Does an agent want work?"""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class MessageKind(StrEnum):
    """Which way a message went."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    #: Private, among agents.
    NOTE = "note"
    #: A line by the system: assigned, resolved, …
    ACTIVITY = "activity"


class AuthorKind(StrEnum):
    CUSTOMER = "customer"
    AGENT = "agent"
    BOT = "bot"
    SYSTEM = "system"


# --- the stream ------------------------------------------------------------------------------------------------------


class Entry(Struct, frozen=True, kw_only=True):
    """An event on its way into the stream."""

    #: Dotted name, past tense.
    type: str
    #: JSON of the event.
    data: bytes
    #: 0 … PARTITIONS-1; order is kept within it.
    partition: int
    #: When we got it, or did it.
    at: datetime
    #: Channel and dedup key of inbound events; empty for events that we derive.
    channel: str = ""
    key: str = ""
    #: The provider's bytes, for inbound events.
    raw: bytes = b""
    #: What the event is about and who may see it; see ``Audience``.
    conversation: str = ""
    queues: tuple[str, ...] = ()
    agent: str = ""
    #: May the shopper's own client see it?
    identity: str = ""


class Recorded(Struct, frozen=True, kw_only=True):
    """An event in the stream."""

    #: Gapless and in the order of commits, from 1.
    pos: int
    #: Position of the event before it in the same partition; 0 for the first.
    prev_pos: int
    entry: Entry


class Appended(Struct, frozen=True):
    """The event is durable at ``pos``."""

    pos: int


class Duplicate(Struct, frozen=True):
    """The same (channel, key) is already in the stream, at ``pos``."""

    pos: int


class Spooled(Struct, frozen=True):
    """The event is durable on this node alone and will be appended when the database is back; ``seq`` is its place in the node's spool."""

    seq: int


class Gathered(Struct, frozen=True):
    """The event is durable in the database, and gets its ``pos`` after those that other nodes took before; see ``storage.gathering``."""

    #: The same (channel, key) was already there: this one writes nothing.
    known: bool = False


class Node(Struct, frozen=True, kw_only=True):
    """One running process of the gateway."""

    #: Unique among those that run at the same time.
    id: str
    #: What it does: ``edge``, ``router``, ``sender``.
    roles: tuple[str, ...]
    since: Instant
    #: Of the program.
    version: str = ""


# --- people ------------------------------------------------------------------------------------------------------------


class Customer(Struct, frozen=True, kw_only=True):
    """The person."""

    id: str
    #: Best name known; may be empty.
    name: str
    created_at: Instant
    language: str = ""


class KnownIdentity(Struct, frozen=True, kw_only=True):
    """One address of a customer."""

    identity: Identity
    customer_id: str
    evidence: Evidence
    since: Instant
    #: Name that the channel shows for this address.
    name: str = ""
    #: The person told us to stop writing to this address.
    opted_out: bool = False


class Agent(Struct, frozen=True, kw_only=True):
    """A person or bot who answers."""

    id: str
    name: str
    #: Log-in name; lower case.
    email: str
    role: Role
    created_at: Instant
    presence: Presence = Presence.OFFLINE
    #: Most open conversations that the router gives; by hand an agent may take more.
    capacity: int = 5
    disabled: bool = False
    #: When the router last gave them something; breaks ties.
    last_assigned_at: Instant | None = None


class AgentLoad(Struct, frozen=True, kw_only=True):
    """An agent as the assignment sees them."""

    agent: Agent
    open_count: int


class Queue(Struct, frozen=True, kw_only=True):
    """Conversations waiting for agents who are its members."""

    id: str
    name: str
    created_at: Instant
    #: Where conversations go that no rule sends elsewhere; exactly one queue.
    is_default: bool = False


# --- history -----------------------------------------------------------------------------------------------------------


class Author(Struct, frozen=True, kw_only=True):
    """Who wrote a message."""

    kind: AuthorKind
    #: Customer or agent id; empty for the system.
    id: str = ""
    #: Name at the time of writing.
    name: str = ""


class Conversation(Struct, frozen=True, kw_only=True):
    """One thread between an identity and one of our channels; at most one unresolved per pair, kept by the database."""

    id: str
    #: Short human number, from 1.
    number: int
    channel: str
    identity: Identity
    customer_id: str
    #: Where answers go, in the channel's own words.
    thread: str
    state: State
    queue_id: str
    created_at: Instant
    updated_at: Instant
    assignee_id: str = ""
    #: Since when the shopper waits for an answer; None once answered or resolved, never None while queued. Handing a conversation back
    #: keeps it, so nobody loses their place.
    waiting_since: Instant | None = None
    snoozed_until: Instant | None = None
    #: Start of the newest message, at most 140 characters.
    preview: str = ""
    #: ``pos`` of the newest message, of the newest inbound one, and of the newest one that an agent has seen.
    last_pos: int = 0
    last_inbound_pos: int = 0
    seen_pos: int = 0
    #: Newest ``pos`` that the shopper has seen, where the channel tells.
    customer_seen_pos: int = 0
    #: When the shopper last wrote in private and by hand, by the provider's clock: the reply windows count from then. A conversation that
    #: begins anew takes it over.
    last_private_at: Instant | None = None


class Message(Struct, frozen=True, kw_only=True):
    """One line of a history."""

    id: str
    #: Position in the stream: the order of every history.
    pos: int
    conversation_id: str
    customer_id: str
    kind: MessageKind
    author: Author
    parts: tuple[AnyPart, ...]
    #: Time to show: the provider's, clamped to 7 days before and 5 minutes after ``received_at``.
    at: Instant
    received_at: Instant
    channel: str = ""
    #: Our id of the quoted message; empty if none.
    reply_to: str = ""
    #: Album id at the provider; parts of one album are one message.
    group: str = ""
    forwarded_from: str = ""
    edited_at: Instant | None = None
    deleted: bool = False
    #: Emoji by who put it there (identity or agent id).
    reactions: dict[str, tuple[str, ...]] = {}
    #: For outbound messages only.
    status: Status | None = None
    #: Why it failed, in words for the agent, with the provider's code.
    problem: str = ""
    possible_duplicate: bool = False
    #: Everybody could read it: a comment below a post, or our answer to one.
    public: bool = False
    #: A machine wrote it.
    automatic: bool = False
    #: For outbound messages: how many messages it is at the provider; 0 while nobody knows.
    pieces: int = 0
    #: When the attempt began that sent the last of them.
    sent_at: Instant | None = None


# --- sending -----------------------------------------------------------------------------------------------------------


class Priority(IntEnum):
    """Whose turn it is first."""

    #: A person's answer to one shopper.
    AGENT = 0
    #: What a machine wrote, or somebody for many: it waits whenever an agent's reply does.
    BULK = 1


#: Due, whatever the clocks of those who accept and of those who send may say.
AT_ONCE: Final = datetime.fromtimestamp(0, UTC)


class OutboxItem(Struct, frozen=True, kw_only=True):
    """A reply accepted and not finished. It leaves the table's waiting part only with a terminal status."""

    message_id: str
    conversation_id: str
    channel: str
    #: Where to, at the time of acceptance; rewritten when the address moves.
    thread: str
    #: Provider id of the message that is answered.
    reply_to: str
    parts: tuple[AnyPart, ...]
    status: Status
    #: Attempts begun so far, and how many of them ended without a known outcome.
    attempts: int
    unknowns: int
    #: First part that has not been sent.
    part_from: int
    #: Not before.
    next_at: Instant
    #: Not after: then it expires.
    expires_at: Instant
    accepted_at: Instant
    #: That of its conversation: whoever owns it sends it.
    partition: int = 0
    #: Everybody may read it.
    public: bool = False
    priority: Priority = Priority.AGENT
    #: A machine wrote it.
    automatic: bool = False
    #: Name of who wrote it; empty for the system.
    author: str = ""
    #: ``last_private_at`` of the conversation when it was accepted.
    window_from: Instant | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try of one reply; written before the call, completed after it."""

    message_id: str
    #: From 1.
    number: int
    started_at: Instant
    finished_at: Instant | None = None
    #: ``sent``, a failure kind, or empty while under way (or if the process died: then ``unknown``); ``resolved`` for an unknown one of
    #: which the provider could say later what had come of it.
    outcome: str = ""
    code: str = ""
    detail: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """Why a conversation went to somebody, or to nobody."""

    conversation_id: str
    queue_id: str
    at: Instant
    #: ``assigned`` or ``waiting``.
    outcome: str
    #: The chosen agent; empty if none.
    agent_id: str
    #: In one sentence.
    reason: str
    candidates: tuple["Candidate", ...]


class Candidate(Struct, frozen=True, kw_only=True):
    """An agent who was looked at."""

    agent_id: str
    name: str
    open_count: int
    capacity: int
    eligible: bool
    #: ``eligible``, ``offline``, ``away``, ``at capacity``, ``disabled``, ``bot``.
    reason: str
