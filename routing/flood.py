"""More messages of one sender than a person writes: all are kept, but those beyond the limit ask for no work. Pure.

They are treated as what a machine wrote: nothing is reopened, woken or queued, nothing is unread, nobody begins to wait. One line in the
history says so. Senders whom nothing proves have a lower limit, and all those of one domain together begin only so many conversations:
names before the ``@`` cost a forger nothing.
"""

from datetime import datetime
from typing import Final

from msgspec import structs

from connectors.capabilities import Flood
from connectors.content import Activity, Envelope
from connectors.event import MessageReceived
from connectors.identity import Identity
from routing.effect import ChangeMessage, Count, Effect
from routing.line import activity
from routing.snapshot import Counted
from storage.ids import derive_id
from storage.record import Conversation, State

#: The remark on a message beyond a limit.
REMARK: Final = "flood"
#: Codes of the line that says so: beyond the sender's limit, or that of a domain's unproved senders.
FLOODED: Final = "flooded"
CROWDED: Final = "crowded"
_UNPROVED: Final = "unverified"


def sender_name(channel: str, identity: Identity) -> str:
    """What messages of a sender are counted under."""
    return f"flood:{channel}:{identity}"


def domain_name(channel: str, identity: Identity) -> str:
    """What conversations of a domain's unproved senders are counted under; whoever cannot be read is of no domain."""
    return f"flood:{channel}:@{_domain(identity)}"


def line_id(conversation_id: str, at: datetime) -> str:
    """Of the one line of an hour."""
    return derive_id("msg", _hour(at), conversation_id, REMARK)


def reached(event: MessageReceived, counted: Counted, limits: Flood) -> bool:
    """May the message be beyond a limit?"""
    unproved = _unproved(event)
    limit = limits.unproved if unproved else limits.sender
    return 0 < limit <= counted.sender or (unproved and 0 < limits.domain <= counted.domain)


def by_sender(event: MessageReceived, counted: Counted | None, limits: Flood) -> MessageReceived:
    """The message, marked if it is beyond its sender's limit."""
    limit = limits.unproved if _unproved(event) else limits.sender
    over = counted is not None and not event.automatic and 0 < limit <= counted.sender
    return _marked(event) if over else event


def by_domain(event: MessageReceived, conversation: Conversation | None, counted: Counted | None, limits: Flood) -> MessageReceived:
    """The message, marked if one more conversation would be too many for its sender's domain. Where agents are at work it comes in."""
    quiet = conversation is None or conversation.state is State.RESOLVED
    over = counted is not None and not event.automatic and _unproved(event) and quiet and 0 < limits.domain <= counted.domain
    return _marked(event) if over else event


def counts(event: MessageReceived, channel: str, at: datetime, limits: Flood, *, entering: bool) -> list[Effect]:
    """One more of the sender's, and of the domain's if it made work. What said itself that a machine wrote it is not counted."""
    if event.automatic and not _is_marked(event):
        return []
    effects: list[Effect] = []
    if limits.sender or limits.unproved:
        effects.append(Count(name=sender_name(channel, event.sender.identity), at=at))
    if limits.domain and entering and _unproved(event) and not event.automatic:
        effects.append(Count(name=domain_name(channel, event.sender.identity), at=at))
    return effects


def told(event: MessageReceived, conversation: Conversation, counted: Counted | None, limits: Flood, at: datetime) -> list[Effect]:
    """The line that says so: one in an hour; its number grows in round steps, so that what it tells of does not come twice."""
    if counted is None or not _is_marked(event):
        return []
    limit = limits.unproved if _unproved(event) else limits.sender
    over = counted.sender + 1 - limit if limit else 0
    code, subject = (FLOODED, str(over)) if over > 0 else (CROWDED, _domain(event.sender.identity))
    id_ = line_id(conversation.id, at)
    line = next((one for one in counted.lines if one.id == id_), None)
    if line is None:
        added = activity(conversation, at, REMARK, code, subject=subject)
        return [structs.replace(added, message=structs.replace(added.message, id=id_))]
    if code == FLOODED and _round(over):
        return [ChangeMessage(message=structs.replace(line, parts=(Activity(code=code, subject=subject),)))]
    return []


def _marked(event: MessageReceived) -> MessageReceived:
    envelope = next((part for part in event.parts if isinstance(part, Envelope)), Envelope())
    others = tuple(part for part in event.parts if part is not envelope)
    remarks = tuple(dict.fromkeys((*envelope.remarks, REMARK)))
    return structs.replace(event, automatic=True, parts=(structs.replace(envelope, remarks=remarks), *others))


def _is_marked(event: MessageReceived) -> bool:
    return _says(event, REMARK)


def _unproved(event: MessageReceived) -> bool:
    return _says(event, _UNPROVED)


def _says(event: MessageReceived, remark: str) -> bool:
    return any(isinstance(part, Envelope) and remark in part.remarks for part in event.parts)


def _domain(identity: Identity) -> str:
    return identity.value.rpartition("@")[2] if "@" in identity.value else ""


def _round(number: int) -> bool:
    """1, 2, 5, 10, 20, 50, …"""
    return str(number).rstrip("0") in {"1", "2", "5"}


def _hour(at: datetime) -> datetime:
    """Its beginning; as the stream's times, in UTC."""
    return at.replace(minute=0, second=0, microsecond=0)
