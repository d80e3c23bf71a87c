"""Statuses only move forward, and each failure has its consequence."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from msgspec import structs

from connectors.content import Text
from connectors.contract import Failure, Sent
from connectors.errors import HANDLING, FailureKind
from connectors.event import Status
from routing.delivery import BACKOFF, RANK, WORKING, advance, progress
from routing.rules import Rules
from storage.record import OutboxItem

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
RULES = Rules()
REPORTS = (Status.SENT, Status.DELIVERED, Status.READ, Status.FAILED)


def item(**changes: object) -> OutboxItem:
    basis = OutboxItem(
        message_id="m1",
        conversation_id="c1",
        channel="shop",
        thread="42",
        reply_to="",
        parts=(Text(text="ciao"),),
        status=Status.SENDING,
        attempts=1,
        unknowns=0,
        part_from=0,
        next_at=NOW,
        expires_at=NOW + timedelta(hours=24),
        accepted_at=NOW,
    )
    return structs.replace(basis, **changes)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_order_of_reports_ends_the_same(count: int) -> None:
    for chosen in permutations(REPORTS, count):
        ends = set()
        for order in permutations(chosen):
            shown = Status.SENDING
            for report in order:
                shown = advance(shown, report)
            ends.add(shown)
        assert ends == {max(chosen, key=RANK.__getitem__)}


def test_a_status_never_goes_back() -> None:
    for shown in set(Status) - WORKING:
        for report in Status:
            assert RANK[advance(shown, report)] >= RANK[shown]


def test_all_parts_taken_is_sent() -> None:
    result = progress(item(), (Sent("a"), Sent("b")), 2, RULES, NOW)
    assert result.item.status is Status.SENT
    assert result.item.part_from == 2


def test_after_a_failure_only_the_unsent_parts_go_again() -> None:
    result = progress(item(), (Sent("a"), Failure(kind=FailureKind.TRANSIENT)), 3, RULES, NOW)
    assert (result.item.status, result.item.part_from) == (Status.RETRY, 1)
    again = progress(structs.replace(result.item, status=Status.SENDING), (Sent("b"), Sent("c")), 3, RULES, NOW)
    assert again.item.part_from == 3
    assert again.item.status is Status.SENT


def test_an_unknown_outcome_is_flagged_and_bounded() -> None:
    unknown = (Failure(kind=FailureKind.UNKNOWN),)
    first = progress(item(), unknown, 1, RULES, NOW)
    assert (first.item.status, first.item.unknowns) == (Status.UNKNOWN, 1)
    last = progress(item(unknowns=RULES.max_unknowns - 1), unknown, 1, RULES, NOW)
    assert last.item.status is Status.FAILED


@pytest.mark.parametrize("kind", list(FailureKind))
def test_each_failure_kind_is_retried_or_ends(kind: FailureKind) -> None:
    result = progress(item(), (Failure(kind=kind, code="7", detail="why", moved_to="43"),), 1, RULES, NOW)
    assert (result.item.status is Status.FAILED) is not HANDLING[kind].retry
    assert HANDLING[kind].agent_text in result.problem
    assert "7 why" in result.problem


def test_the_wait_is_the_providers_or_grows() -> None:
    throttled = progress(item(attempts=9), (Failure(kind=FailureKind.THROTTLED, retry_after=7),), 1, RULES, NOW)
    assert throttled.item.next_at == NOW + timedelta(seconds=7)
    waits = [
        (progress(item(attempts=number), (Failure(kind=FailureKind.TRANSIENT),), 1, RULES, NOW).item.next_at - NOW).total_seconds()
        for number in range(1, len(BACKOFF) + 1)
    ]
    assert waits == list(BACKOFF)


def test_a_moved_address_is_tried_once_at_its_new_place() -> None:
    moved = progress(item(), (Failure(kind=FailureKind.MOVED, moved_to="-100"),), 1, RULES, NOW)
    assert (moved.item.thread, moved.item.next_at, moved.moved_to) == ("-100", NOW, "-100")
    stuck = progress(item(), (Failure(kind=FailureKind.MOVED, moved_to="42"),), 1, RULES, NOW)
    assert stuck.item.status is Status.FAILED


def test_two_addresses_that_name_each_other_are_not_asked_without_pause() -> None:
    again = progress(item(attempts=2), (Failure(kind=FailureKind.MOVED, moved_to="-100"),), 1, RULES, NOW)
    assert again.item.next_at - NOW == timedelta(seconds=BACKOFF[1])


def test_a_reply_whose_next_try_is_too_late_expires() -> None:
    late = progress(item(expires_at=NOW), (Failure(kind=FailureKind.TRANSIENT),), 1, RULES, NOW)
    assert late.item.status is Status.EXPIRED
