"""What the gateway's own workers report: ``decide(command, snapshot, rules, now) -> effects``. Pure."""

from datetime import datetime

from msgspec import structs

from connectors.event import Status
from routing import sending
from routing.command import CrashedAttempts, ExpireReplies, FinishAttempt, KeepProgress, MediaStored, VisitorSeen, Wake
from routing.delivery import FINAL, advance
from routing.effect import (
    ChangeConversation,
    ChangeMessage,
    Effect,
    PutFile,
    Rebalance,
    RemoveMediaJob,
    UpdateOutbox,
)
from routing.line import with_copy
from routing.rules import Rules
from routing.snapshot import Snapshot
from routing.state import Move, after, back_to_queue
from storage.file import Verdict
from storage.record import MessageKind, Presence

UpkeepCommand = FinishAttempt | KeepProgress | CrashedAttempts | ExpireReplies | Wake | MediaStored | VisitorSeen


def decide(command: UpkeepCommand, snapshot: Snapshot, rules: Rules, now: datetime) -> list[Effect]:
    """The effects of what a worker reports."""
    match command:
        case FinishAttempt():
            return sending.finished(command, snapshot, rules, now)
        case KeepProgress():
            return sending.kept(command, snapshot)
        case CrashedAttempts():
            raise AssertionError("the router turns it into one FinishAttempt per reply")
        case ExpireReplies():
            return _expire(snapshot, dropped=command.accepted_before is not None)
        case Wake():
            return _wake(snapshot, now)
        case MediaStored():
            return _media(command, snapshot)
        case VisitorSeen():
            return _visitor_seen(command, snapshot)


# --- replies -----------------------------------------------------------------------------------------------------------


def _expire(snapshot: Snapshot, *, dropped: bool) -> list[Effect]:
    why = "It was not sent: an operator dropped it after a restore or a stop." if dropped else "It could not be sent in time."
    effects: list[Effect] = []
    for item, message in zip(snapshot.items, snapshot.messages, strict=True):
        if item.status in FINAL or item.status is Status.SENDING:
            continue
        effects.append(UpdateOutbox(item=structs.replace(item, status=Status.EXPIRED)))
        problem = f"{why} {message.problem}".strip()
        expired = structs.replace(message, status=advance(message.status, Status.EXPIRED), problem=problem)
        effects.append(ChangeMessage(message=expired, event="message.status_changed"))
    return effects


def _visitor_seen(command: VisitorSeen, snapshot: Snapshot) -> list[Effect]:
    reached = Status.READ if command.read else Status.DELIVERED
    effects: list[Effect] = []
    for message in snapshot.messages:
        if message.kind is not MessageKind.OUTBOUND or message.pos > command.pos:
            continue
        status = advance(message.status, reached)
        if status is not message.status:
            effects.append(ChangeMessage(message=structs.replace(message, status=status), event="message.status_changed"))
    conversation = snapshot.conversation
    if command.read and conversation is not None and min(command.pos, conversation.last_pos) > conversation.customer_seen_pos:
        seen = structs.replace(conversation, customer_seen_pos=min(command.pos, conversation.last_pos))
        effects.append(ChangeConversation(conversation=seen, event="conversation.seen"))
    return effects


# --- time and files ----------------------------------------------------------------------------------------------------


def _wake(snapshot: Snapshot, now: datetime) -> list[Effect]:
    """Back to its agent if they are there, else to its queue."""
    effects: list[Effect] = []
    queues: set[str] = set()
    fresh: set[str] = set()
    present = {load.agent.id for load in (snapshot.agent,) if load is not None and load.agent.presence is Presence.ONLINE}
    for conversation in snapshot.conversations:
        if conversation.assignee_id in present:
            back = structs.replace(conversation, state=after(conversation.state, Move.RETURN), snoozed_until=None, updated_at=now)
            effects.append(ChangeConversation(conversation=back, event="conversation.assigned", reason="its time has come"))
            continue
        back = back_to_queue(conversation, now)
        effects.append(ChangeConversation(conversation=back, event="conversation.queued", reason="its time has come"))
        queues.add(back.queue_id)
        fresh.add(back.id)
    if queues:
        effects.append(Rebalance(queue_ids=frozenset(queues), fresh=frozenset(fresh)))
    return effects


def _media(command: MediaStored, snapshot: Snapshot) -> list[Effect]:
    file = command.file
    # What still has to be looked at keeps its job.
    waits = file is not None and file.verdict is Verdict.WAITING
    effects: list[Effect] = [] if waits else [RemoveMediaJob(job_id=command.job_id)]
    if file is not None:
        effects.append(PutFile(file=file))
    if snapshot.message is None:
        return effects
    changed = with_copy(snapshot.message, command.part, command.ref, file, command.problem)
    return [*effects, ChangeMessage(message=changed)] if changed != snapshot.message else effects
