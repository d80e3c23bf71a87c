"""What a decision wants done: a closed set of plain values. ``routing.apply`` carries them out, in order, in one transaction."""

from datetime import datetime

from msgspec import Struct

from connectors.event import WatermarkReported
from connectors.identity import Identity
from storage.file import MediaJob, StoredFile
from storage.piece import Piece
from storage.record import Agent, Attempt, Conversation, Customer, Decision, KnownIdentity, Message, OutboxItem, Queue


class Effect(Struct, frozen=True, kw_only=True):
    """Base of all effects."""


class PutCustomer(Effect, frozen=True, kw_only=True):
    """Create or change a customer; announced as ``customer.changed`` unless it is new."""

    customer: Customer
    new: bool = False


class PutIdentity(Effect, frozen=True, kw_only=True):
    """Create or change an identity."""

    known: KnownIdentity


class MoveIdentities(Effect, frozen=True, kw_only=True):
    """Merge: every identity of one customer, with its history, goes to another. Or the way back (``undo``)."""

    from_id: str
    into_id: str
    at: datetime
    undo: bool = False


class OpenConversation(Effect, frozen=True, kw_only=True):
    """A conversation begins; its number is given when it is written."""

    conversation: Conversation


class ChangeConversation(Effect, frozen=True, kw_only=True):
    """A conversation changes; announced under ``event``."""

    conversation: Conversation
    event: str
    reason: str = ""
    #: Queue that it leaves, whose members must hear of it.
    left_queue: str = ""


class AddMessage(Effect, frozen=True, kw_only=True):
    """A line joins a history. Its ``pos``, and the conversation's, are those of the announcing event."""

    message: Message
    conversation: Conversation
    #: Provider's ids to remember for it.
    provider_ids: tuple[str, ...] = ()
    outbox: OutboxItem | None = None


class ChangeMessage(Effect, frozen=True, kw_only=True):
    """A line changes; announced as ``message.changed`` or ``message.status_changed``."""

    message: Message
    event: str = "message.changed"
    provider_ids: tuple[str, ...] = ()


class LinkProvider(Effect, frozen=True, kw_only=True):
    """Remember the provider's id of a part of a message; what was parked under it is decided now."""

    channel: str
    provider_id: str
    message_id: str
    part: int = 0


class ReportPiece(Effect, frozen=True, kw_only=True):
    """Keep what the provider said of one piece of a message."""

    channel: str
    message_id: str
    piece: Piece


class ParkEvent(Effect, frozen=True, kw_only=True):
    """Keep an event about a message that is not known yet."""

    channel: str
    provider_id: str
    data: bytes
    at: datetime


class KeepWatermark(Effect, frozen=True, kw_only=True):
    """Keep the newest watermark of a person, for replies of ours that we do not know of yet."""

    channel: str
    event: WatermarkReported
    at: datetime


class RecallWatermarks(Effect, frozen=True, kw_only=True):
    """A reply to this person is known to be out: decide again what was kept about them."""

    channel: str
    identity: Identity


class PutMediaJob(Effect, frozen=True, kw_only=True):
    """Fetch a file later."""

    job: MediaJob


class RemoveMediaJob(Effect, frozen=True, kw_only=True):
    """It was fetched, or never will be."""

    job_id: str


class PutFile(Effect, frozen=True, kw_only=True):
    """We hold a copy of a file, or it has found its conversation."""

    file: StoredFile


class UpdateOutbox(Effect, frozen=True, kw_only=True):
    """A reply moves on."""

    item: OutboxItem
    attempt: Attempt | None = None


class NoteAttempt(Effect, frozen=True, kw_only=True):
    """More is known of an attempt that had ended."""

    attempt: Attempt


class RedirectOutbox(Effect, frozen=True, kw_only=True):
    """An address has moved."""

    channel: str
    old_thread: str
    new_thread: str


class PutAgent(Effect, frozen=True, kw_only=True):
    """Create or change an agent; announced as ``agent.changed``."""

    agent: Agent
    #: False for bookkeeping that nobody needs to hear of.
    announce: bool = True


class PutQueue(Effect, frozen=True, kw_only=True):
    """Create or change a queue; announced as ``queue.changed``."""

    queue: Queue


class SetMember(Effect, frozen=True, kw_only=True):
    """Change a membership; announced as ``queue.member_added`` or ``queue.member_removed``."""

    queue_id: str
    agent_id: str
    member: bool


class RecordDecision(Effect, frozen=True, kw_only=True):
    """Remember why; announced as ``routing.decided``."""

    decision: Decision


class Rebalance(Effect, frozen=True, kw_only=True):
    """Somebody may have become free, or something may have begun to wait: look at these queues now."""

    queue_ids: frozenset[str]
    #: Conversations that have just begun to wait: they get a decision record even if nobody is free.
    fresh: frozenset[str] = frozenset()


class Count(Effect, frozen=True, kw_only=True):
    """One more of what a limit counts, see ``storage.nouns.Tallies``."""

    name: str
    at: datetime


class RememberCommand(Effect, frozen=True, kw_only=True):
    """A command with this id has made this message; the same command again gives the same message."""

    command_id: str
    message_id: str


class IdentityChanged(Effect, frozen=True, kw_only=True):
    """Announce ``customer.changed`` for whoever owns the identity."""

    identity: Identity
