"""The checker has teeth: a good run is good, and each promise that is broken on purpose is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.event import Status
from tests.chaos.check import Book, Evidence, FeedLog, Line, Turn, coverage, judge, named
from tests.chaos.ledger import Accepted, Acknowledged, Delivered, Ledger, Seen, read_ledger

FIRST, SECOND = Line(1, inbound=True, chat=7, number=1), Line(2, inbound=True, chat=7, number=2)
QUESTIONS = [FIRST, SECOND, Line(5, inbound=True, chat=8, number=1)]
#: The second went out twice, after an outcome that nobody knows; the third waits.
ANSWERS = [
    Line(3, inbound=False, chat=7, number=1, message_id="m1", status=Status.SENT),
    Line(4, inbound=False, chat=7, number=2, message_id="m2", status=Status.DELIVERED, flagged=True, unknowns=1),
    Line(6, inbound=False, chat=8, number=1, message_id="m3", status=Status.RETRY),
]
GOOD = Evidence(
    # The third was delivered, and the answer got lost: it may be in the history or not.
    acknowledged=[Acknowledged(7, 1), Acknowledged(7, 2)],
    posted={7: 2, 8: 1},
    lines=[*QUESTIONS, *ANSWERS],
    accepted=[Accepted(7, 1, "m1"), Accepted(7, 2, "m2"), Accepted(8, 1, "m3")],
    delivered=[Delivered(1, 7, "a7-1"), Delivered(2, 7, "a7-2 and more"), Delivered(3, 9, "not of ours"), Delivered(4, 7, "a7-2 and more")],
    turns=[Turn(3, "m1", Status.QUEUED), Turn(7, "m1", Status.SENDING), Turn(8, "m1", Status.SENT), Turn(9, "m3", Status.RETRY)],
    books=[Book("shop", received=6, appended=3, duplicates=1, quarantined=1, refused=1)],
    feeds=[FeedLog(seen=[2, 3, 5], visible=[2, 3, 5])],
)


def with_answer(index: int, **changes: Any) -> list[Line]:
    changed = [*ANSWERS]
    changed[index] = replace(changed[index], **changes)
    return [*QUESTIONS, *changed]


def test_a_good_run_is_good() -> None:
    verdict = judge(GOOD)
    assert verdict.violations == []
    assert verdict.good
    assert verdict.line() == (
        "messages acknowledged 2, lost 0, twice 0, out of order 0; replies accepted 3, vanished 0, sent twice 1, flagged 1"
    )
    assert verdict.pending == 1


@pytest.mark.parametrize(
    ("broken", "named_as", "figure"),
    [
        ({"lines": [*QUESTIONS[1:], *ANSWERS]}, "lost: q7-1", "lost"),
        ({"lines": [*QUESTIONS, Line(9, inbound=True, chat=8, number=1), *ANSWERS]}, "twice: q8-1", "twice"),
        (
            {"lines": [replace(FIRST, pos=7), *QUESTIONS[1:], *ANSWERS]},
            "order: q7-1 (pos 7) stands after q7-2",
            "disordered",
        ),
        ({"posted": {7: 2}}, "invented: q8-1", ""),
        ({"lines": [*QUESTIONS, *ANSWERS[:2]]}, "vanished: a8-1 was accepted and is not in the history", "vanished"),
        ({"lines": with_answer(0, message_id="m9")}, "vanished: a7-1 was accepted as m1", "vanished"),
        ({"lines": with_answer(2, status=None)}, "vanished: a8-1 has no status", "vanished"),
        ({"lines": with_answer(2, status=Status.SENT)}, "vanished: a8-1 is sent, and the provider never took it", "vanished"),
        ({"lines": with_answer(1, flagged=False)}, "unflagged: a7-2", ""),
        ({"lines": with_answer(1, unknowns=0)}, "repeated: a7-2 was taken 2 times with 0", ""),
        ({"delivered": [*GOOD.delivered, Delivered(5, 7, "a7-1")]}, "unflagged: a7-1", "repeated"),
        ({"delivered": [*GOOD.delivered, Delivered(5, 8, "a8-2")]}, "unaccounted: the provider took a8-2", ""),
        (
            {"delivered": [*GOOD.delivered[1:], GOOD.delivered[0]]},
            "order: the provider took a7-1 after a7-2",
            "disordered",
        ),
        ({"lines": [*QUESTIONS, *ANSWERS, replace(ANSWERS[2], pos=9)]}, "twice: a8-1", ""),
        ({"lines": with_answer(0, pos=9)}, "order: a7-1 (pos 9) stands after a7-2", ""),
        ({"turns": [*GOOD.turns, Turn(10, "m1", Status.RETRY)]}, "backwards: m1 went from sent to retry", ""),
        ({"books": [replace(GOOD.books[0], received=7)]}, "unbalanced: shop received 7, and 6", ""),
        ({"books": [replace(GOOD.books[0], spooled=1)]}, "unbalanced: shop received 6, and 7", ""),
        ({"books": [replace(GOOD.books[0], carried=1)]}, "unbalanced: shop received 6 and had 1, and 6", ""),
        ({"feeds": [FeedLog(seen=[2, 5], visible=[2, 3, 5])]}, "feed: 1 of 3 visible events were not shown, the first at pos 3", ""),
        ({"feeds": [FeedLog(seen=[2, 3, 3, 5], visible=[2, 3, 5])]}, "feed: a position came twice", ""),
        ({"feeds": [FeedLog(seen=[2, 5, 3], visible=[2, 3, 5])]}, "feed: a position came twice or too late", ""),
        ({"feeds": [FeedLog(seen=[2, 3, 4, 5], visible=[2, 3, 5])]}, "feed: 1 events were shown that are not there", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_broken_promise_is_named(broken: dict[str, Any], named_as: str, figure: str) -> None:
    before, verdict = judge(GOOD), judge(replace(GOOD, **broken))
    assert not verdict.good
    assert any(violation.startswith(named_as) for violation in verdict.violations), verdict.violations
    if figure:
        assert getattr(verdict, figure) == getattr(before, figure) + 1


def test_names_come_back() -> None:
    assert named("q7-12 Is it open?") == (True, 7, 12)
    assert named("a7-3") == (False, 7, 3)
    assert named("a7-3b") is None
    assert named("hello") is None
    assert coverage([Acknowledged(1, 2), Acknowledged(1, 1), Acknowledged(2, 5)]) == {1: 2, 2: 5}


def test_a_ledger_comes_back_without_its_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    assert list(read_ledger(path, Seen)) == []
    with Ledger(path) as ledger:
        ledger.add(Acknowledged(7, 1, 2, 0.5))
        ledger.sync()
        assert path.read_bytes() == b"[7,1,2,0.5,0.0]\n"
        ledger.add(Acknowledged(8, 1))
        assert ledger.count == 2
    with path.open("ab") as file:
        file.write(b"[9,1")
    assert list(read_ledger(path, Acknowledged)) == [Acknowledged(7, 1, 2, 0.5), Acknowledged(8, 1)]
