"""What happened on a channel: the closed inbound vocabulary. Connectors return these; the stream keeps them for ever.

Each event has a ``key`` which is unique for ever within its channel and the same at every redelivery: that is what makes
"received twice" harmless. An accepted payload never yields zero events: what we do not care for is ``PayloadIgnored``.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from connectors.content import AnyPart
from connectors.errors import FailureKind
from connectors.identity import Evidence, Identity

#: An aware time, always UTC in the stream.
Instant = Annotated[datetime, Meta(tz=True)]


class Status(StrEnum):
    """Where a reply is on its way. It only ever moves forward, see ``STATUS_RANK``."""

    #: Accepted by us, waiting for its turn.
    QUEUED = "queued"
    #: An attempt is under way.
    SENDING = "sending"
    #: The attempt failed and will be repeated.
    RETRY = "retry"
    #: The attempt's outcome cannot be known; see ``possible_duplicate``.
    UNKNOWN = "unknown"
    #: The provider took it and gave it an id.
    SENT = "sent"
    #: It reached the person's device.
    DELIVERED = "delivered"
    #: The person saw it.
    READ = "read"
    #: It will not arrive; the reason is with it.
    FAILED = "failed"
    #: It waited longer than its life and was not sent.
    EXPIRED = "expired"


class Sender(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The person behind an inbound event, as far as this one payload tells."""

    identity: Identity
    evidence: Evidence = Evidence.PROVIDER
    #: Name as shown by the channel; a claim.
    name: str = ""
    #: BCP 47 tag, for example ``pl``; empty when unknown.
    language: str = ""
    #: Other addresses of the same person in the payload, for example a shared phone number.
    aliases: tuple[tuple[Identity, Evidence], ...] = ()


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of all inbound events."""

    #: Never empty, at most 512 characters; unique within the channel, equal at redelivery.
    key: str
    #: The provider's time; None where it gives none.
    at: Instant | None = None
    #: The provider's own fragment for this event, kept beside the event so that it can be parsed again.
    raw: bytes = b""
    #: Which account of ours it is for, in the words of ``Connector.account``, where one webhook serves several; empty: this channel's.
    account: str = ""


class PersonEvent(Event, frozen=True, kw_only=True):
    """Base of events that one person caused."""

    sender: Sender
    #: Where an answer goes, in the channel's own words (chat id, number, mailbox); empty means the sender's identity.
    thread: str = ""


class MessageReceived(PersonEvent, frozen=True, tag="message.received"):
    """A person wrote. ``message_id`` is the provider's id, unique within the channel."""

    message_id: str
    parts: tuple[AnyPart, ...]
    #: Provider id of the message that is quoted; empty if none.
    reply_to: str = ""
    #: Provider ids of earlier messages of the same thread, oldest first, where the channel has threads that several people share.
    references: tuple[str, ...] = ()
    #: The address that was written to carries our own signature for the newest of ``references``.
    proved: bool = False
    #: Everybody can read it: a comment below a post.
    public: bool = False
    #: A machine wrote it (an auto-reply, a bounce): kept, but it opens no work and is never answered by itself.
    automatic: bool = False
    #: Album id: messages of one group are shown as one; empty if none.
    group: str = ""
    #: Name of the person or chat it was forwarded from; empty if it was not.
    forwarded_from: str = ""
    #: Address of the page where it was written, and of the one that had led there; empty for channels without pages.
    page: str = ""
    referrer: str = ""


class MessageEdited(PersonEvent, frozen=True, tag="message.edited"):
    """A person changed a message of theirs; the parts replace the former ones."""

    message_id: str
    parts: tuple[AnyPart, ...]


class MessageDeleted(Event, frozen=True, tag="message.deleted"):
    """A person took a message back."""

    message_id: str


class MessageEchoed(PersonEvent, frozen=True, tag="message.echoed"):
    """We wrote, but not through this gateway: somebody answered in the provider's own app. ``sender`` is the shopper it went to."""

    message_id: str
    parts: tuple[AnyPart, ...]
    #: Our own message id, where the provider echoes it: then it is no news.
    ours: str = ""
    public: bool = False


class ReactionChanged(PersonEvent, frozen=True, tag="reaction.changed"):
    """A person's reaction to a message; no emoji means that it was taken back."""

    message_id: str
    emoji: tuple[str, ...] = ()


class StatusReported(Event, frozen=True, tag="status.reported"):
    """The provider says how far a reply of ours has come."""

    #: Provider id of our message.
    message_id: str
    status: Status
    #: The provider's error code and words for a failure.
    code: str = ""
    detail: str = ""
    #: Our own message id, where the provider echoes it; empty otherwise.
    ours: str = ""
    #: What a failure means for the address, as for a refused call; None where the code says nothing.
    failure: FailureKind | None = None


class WatermarkReported(PersonEvent, frozen=True, tag="watermark.reported"):
    """All replies of ours in this person's thread up to a time have come so far."""

    #: ``delivered`` or ``read``.
    status: Status
    up_to: Instant


class AccountReported(Event, frozen=True, tag="account.reported"):
    """The provider says something about our account: a restriction, a template's review, a quality rating. For operators."""

    #: A stable word, for example ``template_rejected``.
    code: str
    detail: str = ""
    #: False: sending is or will be restricted until an operator acts.
    healthy: bool = True


class ConsentChanged(PersonEvent, frozen=True, tag="consent.changed"):
    """A person opted out of (or back into) our messages: STOP, a blocked bot, an unsubscription."""

    opted_in: bool


class ChatStarted(PersonEvent, frozen=True, tag="chat.started"):
    """A person opened the chat without writing: ``/start``, a click on "get started", a deep link."""

    #: Parameter of the deep link, or the page where it began; empty if none.
    payload: str = ""


class ProfileReported(PersonEvent, frozen=True, tag="profile.reported"):
    """The provider told us, when we asked, what a person calls themselves: ``sender.name``, a claim. It makes nobody a customer."""


class AddressMoved(Event, frozen=True, tag="address.moved"):
    """The same chat or person has a new address; answers go there from now on."""

    old_thread: str
    new_thread: str


class PayloadIgnored(Event, frozen=True, tag="payload.ignored"):
    """Authentic and understood, but nothing for a shop. ``why`` says so in a few words."""

    why: str


class PayloadQuarantined(Event, frozen=True, tag="payload.quarantined"):
    """Authentic, but unreadable. The whole payload is in ``raw``; ``sportello reprocess`` parses it again after a fix."""

    why: str
    #: The request's headers that the connector needs to parse it again; nothing secret.
    headers: dict[str, str] = {}


AnyEvent = (
    MessageReceived
    | MessageEdited
    | MessageDeleted
    | MessageEchoed
    | ReactionChanged
    | StatusReported
    | WatermarkReported
    | AccountReported
    | ConsentChanged
    | ChatStarted
    | ProfileReported
    | AddressMoved
    | PayloadIgnored
    | PayloadQuarantined
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode_event(event: AnyEvent) -> bytes:
    """JSON of ``event`` without its raw fragment, which the stream keeps in a column of its own."""
    return _encoder.encode(msgspec.structs.replace(event, raw=b"") if event.raw else event)


def decode_event(data: bytes) -> AnyEvent:
    """The inverse of :func:`encode_event`. Raises ``msgspec.ValidationError`` on what was not written by it."""
    event: AnyEvent = _decoder.decode(data)
    return event


def event_type(event: AnyEvent) -> str:
    """The dotted name, for example ``message.received``."""
    return str(event.__struct_config__.tag)
