"""What answers look like: the records of the store, and a few shapes of their own. Bodies' shapes lie beside their handlers."""

from typing import Generic, TypeVar

from msgspec import Struct

from connectors.capabilities import Capabilities
from connectors.compose import Note
from connectors.event import Instant
from storage.interaction import Health
from storage.record import Agent, Conversation, Customer, Decision, KnownIdentity, Message, Presence, Queue, Role, State

T = TypeVar("T")


class Shape(Struct, frozen=True, kw_only=True):
    """Base of answers."""


class Page(Shape, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    items: list[T]
    #: Give it as ``after`` to get the next page; null on the last one.
    next: str | None = None
    #: The feed continues from here.
    as_of_pos: int = 0


class AgentView(Shape, frozen=True, kw_only=True):
    """An agent as colleagues see them."""

    id: str
    name: str
    email: str
    role: Role
    presence: Presence
    capacity: int
    disabled: bool
    #: Conversations that they have open now.
    open_count: int = 0
    #: Is their inbox open somewhere? Null: not known here; only lists say it.
    connected: bool | None = None


class AgentAnswer(Shape, frozen=True, kw_only=True):
    agent: AgentView


class MeAnswer(Shape, frozen=True, kw_only=True):
    agent: AgentView
    #: Ids of the queues that they are a member of.
    queues: list[str]


class QueueView(Shape, frozen=True, kw_only=True):
    """A queue, with what one may see in it."""

    id: str
    name: str
    is_default: bool
    #: Conversations that wait, and that agents have open; 0 for queues whose conversations are not yours to see.
    waiting: int = 0
    open: int = 0
    #: Is the caller a member?
    member: bool = False


class QueueAnswer(Shape, frozen=True, kw_only=True):
    queue: QueueView


class NodeView(Shape, frozen=True, kw_only=True):
    """A running process of the gateway."""

    id: str
    #: ``edge``, ``router``, ``sender``.
    roles: tuple[str, ...]
    since: Instant
    version: str
    #: The one that answers.
    this: bool = False
    #: Kind of duty -> how many it has; known of the one that answers only.
    duties: dict[str, int] | None = None


class ChannelView(Shape, frozen=True, kw_only=True):
    """A configured channel."""

    id: str
    kind: str
    title: str
    enabled: bool
    #: Where the provider delivers.
    webhook_url: str
    capabilities: Capabilities
    #: How well it is, by component: ``inbound``, ``outbound``, ``auth``, ``webhook``; null if disabled, and for who does not
    #: supervise.
    health: Health | None = None


class WindowView(Shape, frozen=True, kw_only=True):
    """Until when the shopper may be answered, and with what."""

    #: Of the most generous window that is open; empty: none is.
    name: str
    #: When it closes, or when the last one closed; null: never.
    closes_at: Instant | None
    #: Part types that may be sent now; automatic replies may be allowed less.
    sends: list[str]


class ConversationView(Conversation, frozen=True, kw_only=True):
    """A conversation with its customer's name."""

    customer_name: str = ""
    #: Null on channels where one may answer for ever.
    window: WindowView | None = None


class ConversationAnswer(Shape, frozen=True, kw_only=True):
    conversation: ConversationView


class ConversationDetail(Shape, frozen=True, kw_only=True):
    conversation: ConversationView
    customer: Customer | None
    as_of_pos: int


class MessageAnswer(Shape, frozen=True, kw_only=True):
    message: Message
    #: What will look different from what was written.
    notes: tuple[Note, ...] = ()


class MessagePage(Shape, frozen=True, kw_only=True):
    """Part of a history, oldest first."""

    items: list[Message]
    as_of_pos: int
    #: Is there more in the direction that was asked for?
    more: bool


class DecisionList(Shape, frozen=True, kw_only=True):
    """Why the router did what it did, newest first."""

    items: list[Decision]


class CustomerAnswer(Shape, frozen=True, kw_only=True):
    customer: Customer


class CustomerDetail(Shape, frozen=True, kw_only=True):
    customer: Customer
    identities: list[KnownIdentity]
    #: Those that the caller may see, newest first.
    conversations: list[ConversationView]
    as_of_pos: int


class QuarantineView(Shape, frozen=True, kw_only=True):
    """An authentic payload that could not be read."""

    pos: int
    at: Instant
    channel: str
    why: str
    size: int


class ReconcileView(Shape, frozen=True, kw_only=True):
    """Conservation for one channel since this process started: what it received and carried is appended, duplicates, quarantined,
    refused or spooled."""

    channel: str
    received: int
    #: Found in this node's spool at the start.
    carried: int
    appended: int
    duplicates: int
    quarantined: int
    refused: int
    #: In this node's spool, to be handed on when the database is back.
    spooled: int
    balanced: bool
    #: Payloads that still wait for a reader, in the whole stream.
    waiting_for_reprocess: int


class TokenView(Shape, frozen=True, kw_only=True):
    """An API token without its secret."""

    id: str
    agent_id: str
    label: str
    created_at: Instant
    used_at: Instant
    expires_at: Instant


class TokenCreated(Shape, frozen=True, kw_only=True):
    token: TokenView
    #: Shown this once.
    secret: str


class TicketAnswer(Shape, frozen=True, kw_only=True):
    ticket: str
    expires_at: Instant


class FileView(Shape, frozen=True, kw_only=True):
    """A stored file. ``mime`` is what the bytes say, not what the sender claimed."""

    id: str
    mime: str
    size: int
    name: str
    #: A scanner has to look at it before it can be sent.
    checking: bool = False


def agent_view(agent: Agent, open_count: int = 0, *, connected: bool | None = None) -> AgentView:
    """An agent without what is nobody's business."""
    return AgentView(
        id=agent.id,
        name=agent.name,
        email=agent.email,
        role=agent.role,
        presence=agent.presence,
        capacity=agent.capacity,
        disabled=agent.disabled,
        open_count=open_count,
        connected=connected,
    )


def queue_view(queue: Queue, counts: dict[tuple[str, State], int], mine: frozenset[str]) -> QueueView:
    """A queue with its numbers."""
    return QueueView(
        id=queue.id,
        name=queue.name,
        is_default=queue.is_default,
        waiting=counts.get((queue.id, State.QUEUED), 0),
        open=counts.get((queue.id, State.OPEN), 0),
        member=queue.id in mine,
    )


def conversation_view(conversation: Conversation, customer_name: str, window: WindowView | None) -> ConversationView:
    """A conversation with a name to show."""
    fields = {name: getattr(conversation, name) for name in Conversation.__struct_fields__}
    return ConversationView(**fields, customer_name=customer_name, window=window)
