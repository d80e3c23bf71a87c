"""How far a reply has come: statuses only move forward, and every failure says what happens next. Pure."""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, structs

from connectors.contract import Failure, Outcome, Sent
from connectors.errors import HANDLING, FailureKind
from connectors.event import Status
from routing.rules import Rules
from storage.record import OutboxItem

#: While it is ours to send, a status may go back and forth among these.
WORKING: Final = frozenset({Status.QUEUED, Status.SENDING, Status.RETRY, Status.UNKNOWN})

#: What has been reached; a failure beats "sent", and a later proof of delivery beats the failure. So the order of reports does not matter.
RANK: Final[dict[Status, int]] = {
    Status.QUEUED: 0,
    Status.SENDING: 1,
    Status.RETRY: 1,
    Status.UNKNOWN: 1,
    Status.SENT: 2,
    Status.EXPIRED: 3,
    Status.FAILED: 3,
    Status.DELIVERED: 4,
    Status.READ: 5,
}

#: No more attempts follow.
FINAL: Final = frozenset({Status.SENT, Status.DELIVERED, Status.READ, Status.FAILED, Status.EXPIRED})

#: Seconds before each next attempt; the last repeats until the reply expires.
BACKOFF: Final = (1.0, 4.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


def advance(shown: Status | None, reported: Status) -> Status:
    """The status to show after ``reported`` arrived: never back, whatever the order of reports."""
    if shown is None:
        return reported
    if shown in WORKING and reported in WORKING:
        return reported if reported is not Status.QUEUED else shown
    return reported if RANK[reported] > RANK[shown] else shown


class Progress(Struct, frozen=True, kw_only=True):
    """Where a reply stands after an attempt."""

    item: OutboxItem
    #: What the agent reads; empty when all is well.
    problem: str
    opted_out: bool = False
    moved_to: str = ""


def progress(item: OutboxItem, outcomes: tuple[Outcome, ...], calls: int, rules: Rules, now: datetime) -> Progress:
    """What an attempt with these ``outcomes`` (in the order of calls, from ``item.part_from``; ``calls`` in all, 0: unknown) means."""
    item = structs.replace(item, part_from=item.part_from + sum(isinstance(one, Sent) for one in outcomes))
    failure = next((one for one in outcomes if isinstance(one, Failure)), None)
    if failure is None and calls and item.part_from >= calls:
        return Progress(item=structs.replace(item, status=Status.SENT), problem="")
    if failure is None:
        failure = Failure(kind=FailureKind.TRANSIENT, detail="the sending was interrupted between two parts")
    return Progress(
        item=_next(item, failure, rules, now),
        problem=explain(failure.kind, failure.code, failure.detail, rules.channel(item.channel).sends),
        opted_out=failure.kind is FailureKind.OPTED_OUT,
        moved_to=failure.moved_to if failure.kind is FailureKind.MOVED else "",
    )


def explain(kind: FailureKind | None, code: str, detail: str, sends: frozenset[str]) -> str:
    """A failure in words for the agent, what they can do included, with the provider's own words after it."""
    told = HANDLING[kind].agent_text if kind is not None else ""
    remedy = "Send a template." if kind is FailureKind.WINDOW and "template" in sends else ""
    return " ".join(text for text in (told, remedy, code, detail) if text)


def _next(item: OutboxItem, failure: Failure, rules: Rules, now: datetime) -> OutboxItem:
    if failure.kind is FailureKind.UNKNOWN:
        item = structs.replace(item, unknowns=item.unknowns + 1)
    given_up = item.unknowns >= rules.max_unknowns
    if not HANDLING[failure.kind].retry or given_up:
        return structs.replace(item, status=Status.FAILED)
    if failure.kind is FailureKind.MOVED and failure.moved_to in {"", item.thread}:
        return structs.replace(item, status=Status.FAILED)
    # At once at a new address, but only once: two addresses that name each other would be asked without end.
    at_once = failure.kind is FailureKind.MOVED and item.attempts <= 1
    wait = 0.0 if at_once else max(failure.retry_after, _backoff(item, failure))
    next_at = now + timedelta(seconds=wait)
    if next_at > item.expires_at:
        return structs.replace(item, status=Status.EXPIRED)
    status = Status.UNKNOWN if failure.kind is FailureKind.UNKNOWN else Status.RETRY
    return structs.replace(item, status=status, next_at=next_at, thread=failure.moved_to or item.thread)


def _backoff(item: OutboxItem, failure: Failure) -> float:
    """Throttling is the provider's pace and no failure of ours: it waits what it is told, at least a second."""
    if failure.kind is FailureKind.THROTTLED:
        return 1.0
    return BACKOFF[min(max(item.attempts, 1), len(BACKOFF)) - 1]
