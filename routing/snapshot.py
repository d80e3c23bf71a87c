"""What a decision may look at: plain values, loaded by the router in the transaction that will apply the decision."""

from datetime import datetime

from msgspec import Struct

from connectors.event import AnyEvent
from connectors.identity import Identity
from storage.piece import Piece
from storage.record import Agent, AgentLoad, Attempt, Conversation, Customer, KnownIdentity, Message, OutboxItem, Queue


class Arrival(Struct, frozen=True, kw_only=True):
    """An inbound event on its way out of the stream."""

    event: AnyEvent
    channel: str
    #: When the gateway received it: the "now" of its decision, so that deciding it again gives the same.
    at: datetime


class Thread(Struct, frozen=True, kw_only=True):
    """The conversation that a message refers to, for whoever takes part in it."""

    conversation: Conversation
    #: Its newest lines, if the message is not of the conversation's own person.
    messages: tuple[Message, ...] = ()
    #: Its assignee, if it is snoozed.
    agent: AgentLoad | None = None
    agent_queues: frozenset[str] = frozenset()
    #: Of a chat that goes on by mail: its customer, and the address as the visitor had typed it.
    customer: Customer | None = None
    typed: KnownIdentity | None = None


class Counted(Struct, frozen=True, kw_only=True):
    """What was counted within this hour before a message came, see :mod:`routing.flood`."""

    #: Of this sender.
    sender: int = 0
    #: Conversations of unproved senders of the same domain, begun or taken up again.
    domain: int = 0
    #: Lines of this hour that tell of what was beyond a limit, of the conversations that the message may belong to.
    lines: tuple[Message, ...] = ()


class Linked(Struct, frozen=True, kw_only=True):
    """Whom a signed link was given to, and that it is used now."""

    conversation: Conversation
    #: As which command that is remembered.
    use: str


class Snapshot(Struct, frozen=True, kw_only=True):
    """The state around one event or command; what a decision does not need stays empty."""

    #: The sender's identity and customer, and who owns the other addresses in the payload.
    known: KnownIdentity | None = None
    customer: Customer | None = None
    aliases: dict[Identity, KnownIdentity] = {}
    #: The unresolved conversation of the pair, else its newest one; for commands the one they name.
    conversation: Conversation | None = None
    #: Other conversations concerned: those of a moved thread, those due, those of an agent who leaves,
    #: or the unresolved one that stands in the way of reopening an older one.
    conversations: tuple[Conversation, ...] = ()
    #: The message that the event is about, the one that is quoted, and the album that it belongs to.
    message: Message | None = None
    quoted: Message | None = None
    #: The provider's id of the quoted message, for the channel to quote it.
    quoted_provider_id: str = ""
    album: Message | None = None
    #: Of outbound messages: what they are at the provider.
    pieces: tuple[Piece, ...] = ()
    #: The newest line that we wrote, if what the shopper wrote may answer a question in it.
    asked: Message | None = None
    thread: Thread | None = None
    #: Who opened the chat came by a link of ours.
    linked: Linked | None = None
    #: Where the channel limits what a sender's messages ask for.
    counted: Counted | None = None
    #: Replies that the shopper's client may have shown.
    messages: tuple[Message, ...] = ()
    item: OutboxItem | None = None
    items: tuple[OutboxItem, ...] = ()
    #: Former tries of the item, if a doubt about one of them is gone.
    attempts: tuple[Attempt, ...] = ()
    #: Where new conversations start; for commands the queue they name.
    queue: Queue | None = None
    default_queue: Queue | None = None
    #: The agent a command names, with their load and queues; for arrivals the conversation's assignee.
    agent: AgentLoad | None = None
    agent_queues: frozenset[str] = frozenset()
    #: Another agent with the e-mail that a command wants to use.
    namesake: Agent | None = None
    #: Both customers of a merge.
    merge_from: Customer | None = None
