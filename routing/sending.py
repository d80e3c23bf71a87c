"""What senders report of their attempts: ``kept`` on the way, ``finished``, or ``crashed``. Pure."""

from datetime import datetime

from msgspec import structs

from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import Status
from routing.command import CrashedAttempts, FinishAttempt, KeepProgress
from routing.consent import consent
from routing.delivery import Progress, progress
from routing.effect import (
    ChangeConversation,
    ChangeMessage,
    Effect,
    LinkProvider,
    NoteAttempt,
    RecallWatermarks,
    RedirectOutbox,
    UpdateOutbox,
)
from routing.pieces import RESOLVED, credited, placed, shown
from routing.rules import Rules
from routing.snapshot import Snapshot
from storage.piece import Piece
from storage.record import Attempt, Message, OutboxItem


def finished(command: FinishAttempt, snapshot: Snapshot, rules: Rules, now: datetime) -> list[Effect]:
    """The effects of an attempt's end."""
    item, message = snapshot.item, snapshot.message
    if item is None or message is None or not _counts(item, command):
        return []  # it was taken over or expired meanwhile; its attempt is on record
    item, effects = _without_doubt(command, item, command.attempt.number, snapshot)
    if item.status is Status.UNKNOWN:
        item = structs.replace(item, unknowns=max(0, item.unknowns - 1))
    first = item.part_from if command.first is None else command.first
    taken = {id_: part for part, one in enumerate(command.outcomes, first) if isinstance(one, Sent) for id_ in one.ids}
    pieces = placed(snapshot.pieces, taken, copies=item.unknowns > 0)
    outcomes = credited(command.outcomes[max(0, item.part_from - first) :], item.part_from, pieces)
    calls = command.calls or message.pieces
    state = progress(item, outcomes, calls, rules, now)
    effects.append(UpdateOutbox(item=state.item, attempt=command.attempt))
    line = structs.replace(message, pieces=max(message.pieces, calls), possible_duplicate=state.item.unknowns > 0)
    if state.item.status is Status.SENT:
        line = structs.replace(line, pieces=calls, sent_at=command.attempt.started_at)
    effects += _shown(message, line, state.item.status, pieces, state.problem)
    effects += _links(item, message, snapshot.pieces, pieces)
    if state.item.status is Status.SENT and snapshot.conversation is not None:
        effects.append(RecallWatermarks(channel=item.channel, identity=snapshot.conversation.identity))
    if state.opted_out and snapshot.known is not None and not snapshot.known.opted_out:
        effects += consent(snapshot.known, snapshot.conversation, now, command.id, opted_in=False)
    return effects + _moved(item, state, snapshot)


def _counts(item: OutboxItem, command: FinishAttempt) -> bool:
    """An attempt that was given up as unknown may still report, late, what came of it, until the next one begins."""
    if item.attempts != command.attempt.number:
        return False
    late = all(isinstance(one, Sent) for one in command.outcomes)
    return item.status is Status.SENDING or (item.status is Status.UNKNOWN and late)


def kept(command: KeepProgress, snapshot: Snapshot) -> list[Effect]:
    """What was sent of a message with more parts, and that there is no more doubt about what went before. Twice is no harm."""
    item, message = snapshot.item, snapshot.message
    if item is None or message is None or item.status is not Status.SENDING or item.attempts != command.number:
        return []
    moved, effects = _without_doubt(command, item, command.number, snapshot)
    first = item.part_from if command.first is None else command.first
    taken = {id_: part for part, one in enumerate(command.outcomes, first) for id_ in one.ids}
    pieces = placed(snapshot.pieces, taken, copies=item.unknowns > 0)
    moved = structs.replace(moved, part_from=max(item.part_from, first + len(command.outcomes)))
    if moved != item:
        effects.append(UpdateOutbox(item=moved))
    line = structs.replace(message, pieces=max(message.pieces, command.calls), possible_duplicate=moved.unknowns > 0)
    # An attempt under way is not announced: the line stays as it was, but for what is known of its pieces.
    assert message.status is not None
    effects += _shown(message, line, message.status, pieces, message.problem)
    return effects + _links(item, message, snapshot.pieces, pieces)


def crashed(message_id: str, attempt: Attempt, now: datetime, command: CrashedAttempts) -> FinishAttempt:
    """What a restart knows of an attempt that was under way: nothing."""
    unknown = Failure(kind=FailureKind.UNKNOWN, detail="the gateway stopped during the sending")
    return FinishAttempt(
        id=f"{command.id}:{message_id}",
        actor=command.actor,
        message_id=message_id,
        attempt=structs.replace(attempt, finished_at=now, outcome=FailureKind.UNKNOWN.value, detail=unknown.detail),
        outcomes=(unknown,),
        calls=0,
    )


def _without_doubt(
    command: FinishAttempt | KeepProgress, item: OutboxItem, number: int, snapshot: Snapshot
) -> tuple[OutboxItem, list[Effect]]:
    """If the provider has said what became of the attempt before: it is no longer unknown. To be told again changes nothing."""
    former = [one for one in snapshot.attempts if one.number < number]
    if not command.certain or not former or former[-1].outcome != FailureKind.UNKNOWN:
        return item, []
    clear = structs.replace(item, unknowns=max(0, item.unknowns - 1))
    return clear, [NoteAttempt(attempt=structs.replace(former[-1], outcome=RESOLVED))]


def _shown(before: Message, line: Message, own: Status, pieces: tuple[Piece, ...], why: str) -> list[Effect]:
    """The line in the history, if what it shows has changed."""
    changed = shown(line, own, pieces, why)
    return [ChangeMessage(message=changed, event="message.status_changed")] if changed != before else []


def _links(item: OutboxItem, message: Message, before: tuple[Piece, ...], pieces: tuple[Piece, ...]) -> list[Effect]:
    known = {piece.provider_id: piece.part for piece in before}
    return [
        LinkProvider(channel=item.channel, provider_id=piece.provider_id, message_id=message.id, part=piece.part)
        for piece in pieces
        if known.get(piece.provider_id) != piece.part
    ]


def _moved(item: OutboxItem, state: Progress, snapshot: Snapshot) -> list[Effect]:
    if not state.moved_to or snapshot.conversation is None:
        return []
    moved = structs.replace(snapshot.conversation, thread=state.moved_to)
    return [
        RedirectOutbox(channel=item.channel, old_thread=item.thread, new_thread=state.moved_to),
        ChangeConversation(conversation=moved, event="conversation.updated", reason="the address has moved"),
    ]
