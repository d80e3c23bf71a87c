"""What agents, and the gateway's own workers, may ask of the router: the closed set of commands.

Every command names its ``actor``; the router alone decides whether they may. ``id`` seeds the ids of what it creates.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field

from connectors.content import AnyPart
from connectors.contract import Outcome, Sent
from connectors.identity import Identity
from storage.access import Scope
from storage.file import StoredFile
from storage.protocol import EVERY_PARTITION
from storage.record import Attempt, Presence, Priority, Role


class Actor(Struct, frozen=True, kw_only=True):
    """Who asks."""

    #: Agent id; empty for the gateway itself.
    agent_id: str
    name: str
    role: Role
    scope: Scope


class Command(Struct, frozen=True, kw_only=True):
    """Base of all commands."""

    id: str
    actor: Actor


class ConversationCommand(Command, frozen=True, kw_only=True):
    """Base of commands about one conversation."""

    conversation_id: str


# --- conversations -----------------------------------------------------------------------------------------------------


class Reply(ConversationCommand, frozen=True, kw_only=True):
    """Answer the shopper. Result: the :class:`storage.record.Message`, status ``queued``."""

    parts: tuple[AnyPart, ...]
    #: Our id of the quoted message; empty if none.
    reply_to: str = ""
    #: Refuse with Stale if a message newer than this has arrived from the shopper; None does not look.
    if_last_pos: int | None = None
    #: Where everybody can read it: below the public message that ``reply_to`` names.
    public: bool = False
    #: A machine wrote it: it takes no conversation over, and nobody counts as answered by it.
    automatic: bool = False
    #: None: ``BULK`` for what is automatic, else ``AGENT``.
    priority: Priority | None = None
    #: How many messages it is at the provider, if that is known beforehand: then reports count even if they overtake the provider's answer.
    pieces: int = 0


class Note(ConversationCommand, frozen=True, kw_only=True):
    """Write among agents; the shopper never sees it. Result: the Message."""

    parts: tuple[AnyPart, ...]


class Accept(ConversationCommand, frozen=True, kw_only=True):
    """Take a waiting conversation. Result of this and all below: the Conversation as it now stands."""


class Assign(ConversationCommand, frozen=True, kw_only=True):
    """Give it to a member of its queue; an empty id hands it back to the queue, keeping its place."""

    agent_id: str


class Transfer(ConversationCommand, frozen=True, kw_only=True):
    """Move it to another queue, where it waits anew."""

    queue_id: str


class Snooze(ConversationCommand, frozen=True, kw_only=True):
    """Set it aside until a time; a new message wakes it earlier."""

    until: datetime


class Resolve(ConversationCommand, frozen=True, kw_only=True):
    """Done."""


class Reopen(ConversationCommand, frozen=True, kw_only=True):
    """Not done after all: back to its queue."""


class MarkSeen(ConversationCommand, frozen=True, kw_only=True):
    """An agent has read up to ``pos``."""

    pos: int


class Wake(Command, frozen=True, kw_only=True):
    """The gateway's clock: snoozed conversations whose time has come go back to work. Result: how many."""

    limit: int = 100


# --- people and queues -------------------------------------------------------------------------------------------------


class SetPresence(Command, frozen=True, kw_only=True):
    """An agent comes or goes. Result: the Agent."""

    agent_id: str
    presence: Presence


class PutAgent(Command, frozen=True, kw_only=True):
    """Create (empty id) or change an agent; None leaves a field as it is. Result: the Agent."""

    agent_id: str = ""
    name: str | None = None
    email: str | None = None
    role: Role | None = None
    capacity: int | None = None
    disabled: bool | None = None


class PutQueue(Command, frozen=True, kw_only=True):
    """Create (empty id) or rename a queue, or make it the default. Result: the Queue."""

    queue_id: str = ""
    name: str | None = None
    is_default: bool | None = None


class SetMember(Command, frozen=True, kw_only=True):
    """Put an agent into a queue or take them out. Result: None."""

    queue_id: str
    agent_id: str
    member: bool


class MergeCustomers(Command, frozen=True, kw_only=True):
    """Two customers are one person: all identities of ``from_id`` go to ``into_id``. Result: the Customer that remains."""

    from_id: str
    into_id: str


class UnmergeCustomers(Command, frozen=True, kw_only=True):
    """Undo it: what came with the merge goes back. Result: the Customer that comes back."""

    from_id: str
    into_id: str


# --- the gateway's workers ---------------------------------------------------------------------------------------------


class KeepProgress(Command, frozen=True, kw_only=True):
    """What an attempt under way has sent so far, before it goes on: a crash from then on costs nobody a second copy. Result: None."""

    message_id: str
    #: By which it went, for what the provider calls it; empty: it is looked up.
    channel: str = ""
    #: Number of the attempt.
    number: int
    #: One per call made, in the order of parts.
    outcomes: tuple[Sent, ...]
    calls: int
    #: As for :class:`FinishAttempt`.
    first: int | None = None
    certain: bool = False


class FinishAttempt(Command, frozen=True, kw_only=True):
    """What came of one try. ``outcomes`` has one entry per call made, in the order of parts, the last may be a Failure. Result: None.

    What was found at the provider, of an attempt before this one, is an outcome of this one: a Sent.
    """

    message_id: str
    #: By which it went, for what the provider calls it; empty: it is looked up.
    channel: str = ""
    attempt: Attempt
    outcomes: tuple[Outcome, ...]
    #: How many calls the whole message takes; 0: whoever knew it is gone.
    calls: int
    #: The part that the first outcome is about; None: the item's ``part_from``. What was kept already counts once.
    first: int | None = None
    #: Nobody knew what came of an attempt before, and that doubt is gone.
    certain: bool = False


class ExpireReplies(Command, frozen=True, kw_only=True):
    """Replies past their life become ``expired``, unless sending is held. Result: how many."""

    limit: int = 100
    #: An operator gives up all that were accepted before it, whatever their life, also while sending is held.
    accepted_before: datetime | None = None


class CrashedAttempts(Command, frozen=True, kw_only=True):
    """Whoever made the attempts that are under way in these partitions is gone: their outcome is unknown. Result: how many."""

    partitions: frozenset[int] = EVERY_PARTITION
    #: Attempts that we are making ourselves, by message.
    alive: Mapping[str, int] = field(default_factory=dict)


class MediaStored(Command, frozen=True, kw_only=True):
    """A media part has its copy, or never will; or it has one that nobody gets, because of the file's verdict. Result: None."""

    job_id: str
    message_id: str
    part: int
    #: Which file it was at the provider: an edit may have put another one into its place.
    ref: str
    file: StoredFile | None = None
    #: Why there is none, in words for the agent.
    problem: str = ""


class MailUnseen(ConversationCommand, frozen=True, kw_only=True):
    """A visitor may have gone: what they have not seen goes to them by mail. Result: seconds until it is to be asked again; 0: never."""

    #: The e-mail channel.
    by: str
    #: For how long an answer has to be unseen.
    after: timedelta
    #: What the chat is called.
    title: str
    #: Where the chat may stand; only pages of these are linked to.
    origins: tuple[str, ...] = ()


class MailTranscript(ConversationCommand, frozen=True, kw_only=True):
    """A visitor wants their chat by mail. Result: the Message."""

    #: The e-mail channel.
    by: str
    #: What the chat is called.
    title: str


class OptOut(ConversationCommand, frozen=True, kw_only=True):
    """Whoever reads what we send in this conversation wants no more of it, as if they had written STOP. Result: None."""


class VisitorSeen(Command, frozen=True, kw_only=True):
    """The shopper's own client has shown everything up to ``pos``. Result: None."""

    channel: str
    identity: Identity
    pos: int
    #: ``delivered`` or ``read``.
    read: bool = False


AnyCommand = (
    Reply
    | Note
    | Accept
    | Assign
    | Transfer
    | Snooze
    | Resolve
    | Reopen
    | MarkSeen
    | Wake
    | SetPresence
    | PutAgent
    | PutQueue
    | SetMember
    | MergeCustomers
    | UnmergeCustomers
    | KeepProgress
    | FinishAttempt
    | ExpireReplies
    | CrashedAttempts
    | MediaStored
    | MailUnseen
    | MailTranscript
    | OptOut
    | VisitorSeen
)
