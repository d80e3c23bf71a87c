"""What a provider says of our own messages: ``status`` of one, a ``watermark`` over many, an ``echo``. Pure."""

from msgspec import structs

from connectors.content import Media, plain_text
from connectors.errors import FailureKind
from connectors.event import MessageEchoed, Status, StatusReported, WatermarkReported, encode_event
from routing.consent import consent
from routing.delivery import explain
from routing.effect import (
    ChangeConversation,
    ChangeMessage,
    Effect,
    KeepWatermark,
    LinkProvider,
    NoteAttempt,
    ParkEvent,
    RecallWatermarks,
    ReportPiece,
    UpdateOutbox,
)
from routing.line import shown_time
from routing.pieces import RESOLVED, adopt, reported, settled, shown, with_piece
from routing.rules import Rules
from routing.snapshot import Arrival, Snapshot
from storage.record import Message, MessageKind


def status(arrival: Arrival, event: StatusReported, snapshot: Snapshot, rules: Rules) -> list[Effect]:
    """How far one piece of a message has come; one that is not known yet is waited for."""
    if snapshot.message is None:
        return [ParkEvent(channel=arrival.channel, provider_id=event.message_id, data=encode_event(event), at=arrival.at)]
    why = explain(event.failure, event.code, event.detail, rules.channel(arrival.channel).sends)
    effects = _piece(arrival, event, snapshot.message, snapshot, event.status, why)
    if event.failure is FailureKind.OPTED_OUT and snapshot.known is not None and not snapshot.known.opted_out:
        effects += consent(snapshot.known, snapshot.conversation, arrival.at, event.key, opted_in=False)
    return effects


def own_echo(arrival: Arrival, event: MessageEchoed, snapshot: Snapshot) -> list[Effect]:
    """Our own sending comes back: no news, but its id may be."""
    message = snapshot.message
    if message is None or message.kind is not MessageKind.OUTBOUND:
        return []
    if message.id != event.ours and any(piece.provider_id == event.message_id for piece in snapshot.pieces):
        return []
    effects = _piece(arrival, event, message, snapshot, Status.SENT, "")
    return [*effects, RecallWatermarks(channel=arrival.channel, identity=event.sender.identity)]


def is_echo_of(event: MessageEchoed, message: Message) -> bool:
    """Could it be a piece of ``message``, by what it says? A long text arrives in pieces, a file with another address."""
    if event.public is not message.public:
        return False
    words = plain_text(tuple(part for part in event.parts if not isinstance(part, Media))).strip()
    if words:
        return words in plain_text(message.parts)
    return any(isinstance(part, Media) for part in event.parts) and any(isinstance(part, Media) for part in message.parts)


def _piece(
    arrival: Arrival, event: StatusReported | MessageEchoed, message: Message, snapshot: Snapshot, status_: Status, why: str
) -> list[Effect]:
    piece = adopt(message, snapshot.pieces, event.message_id)
    after = reported(piece, status_, why)
    effects: list[Effect] = []
    if piece not in snapshot.pieces:
        effects.append(LinkProvider(channel=arrival.channel, provider_id=event.message_id, message_id=message.id, part=piece.part))
    if after != piece:
        effects.append(ReportPiece(channel=arrival.channel, message_id=message.id, piece=after))
    known = with_piece(snapshot.pieces, after)
    item, own = snapshot.item, Status.SENT
    changed = message
    if item is not None:
        sure = settled(item, message.pieces, known, arrival.at)
        own = sure.status
        if sure != item:
            effects.append(UpdateOutbox(item=sure))
            if sure.unknowns < item.unknowns and snapshot.attempts:
                effects.append(NoteAttempt(attempt=structs.replace(snapshot.attempts[-1], outcome=RESOLVED)))
            sent_at = shown_time(event.at, arrival.at) if sure.status is Status.SENT else None
            changed = structs.replace(message, possible_duplicate=sure.unknowns > 0, sent_at=message.sent_at or sent_at)
    changed = shown(changed, own, known, message.problem)
    if changed != message:
        effects.append(ChangeMessage(message=changed, event="message.status_changed"))
    return effects


def watermark(arrival: Arrival, event: WatermarkReported, snapshot: Snapshot) -> list[Effect]:
    """Everything that had been sent by then has come so far. What failed has not, and what was not sent cannot have.

    It is kept for what was sent by then and is known later: its sending was not answered yet, or its echo comes late.
    """
    effects: list[Effect] = [KeepWatermark(channel=arrival.channel, event=event, at=arrival.at)]
    seen = 0
    below = {Status.READ: (Status.SENT, Status.DELIVERED), Status.DELIVERED: (Status.SENT,)}.get(event.status, ())
    for message in snapshot.messages:
        if message.kind is not MessageKind.OUTBOUND or (message.sent_at or message.at) > event.up_to:
            continue
        if message.status in below:
            effects.append(ChangeMessage(message=structs.replace(message, status=event.status), event="message.status_changed"))
        seen = max(seen, message.pos)
    conversation = snapshot.conversation
    if event.status is Status.READ and conversation is not None and seen > conversation.customer_seen_pos:
        effects.append(ChangeConversation(conversation=structs.replace(conversation, customer_seen_pos=seen), event="conversation.seen"))
    return effects
