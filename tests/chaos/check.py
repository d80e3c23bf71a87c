"""The promises, checked: what the world outside has on record against what the gateway's history says. Pure.

Each rule is a function from evidence to violations; ``test_check.py`` plants one violation for each and sees it caught.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.event import Status
from routing.delivery import FINAL, RANK, WORKING
from tests.chaos.ledger import Accepted, Acknowledged, Delivered

#: ``q7-12``: the twelfth question of chat 7; ``a7-3``: the third answer to it.
_NAME = re.compile(r"([qa])(\d+)-(\d+)(?:\s|$)")
#: A delivery that cannot be missing.
_ARRIVED = frozenset({Status.SENT, Status.DELIVERED, Status.READ})

#: (chat, number)
Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a history."""

    pos: int
    inbound: bool
    chat: int
    number: int
    #: The rest is for replies.
    message_id: str = ""
    status: Status | None = None
    flagged: bool = False
    #: Attempts whose outcome nobody knows.
    unknowns: int = 0

    @property
    def key(self) -> Key:
        return self.chat, self.number


@dataclass(frozen=True, slots=True)
class Turn:
    """A status that was announced."""

    pos: int
    message_id: str
    status: Status


@dataclass(frozen=True, slots=True)
class Book:
    """``GET /api/v1/reconcile``, one channel of one process."""

    channel: str
    received: int
    appended: int
    duplicates: int
    quarantined: int
    refused: int
    #: In this node's spool now, and when the process started.
    spooled: int = 0
    carried: int = 0


@dataclass(frozen=True, slots=True)
class FeedLog:
    """What one reader of the feed saw, and what it should have seen, after ``after``."""

    seen: Sequence[int]
    visible: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is known after a run."""

    acknowledged: Sequence[Acknowledged]
    #: Last number that was sent in each chat, answered or not.
    posted: Mapping[int, int]
    lines: Sequence[Line]
    accepted: Sequence[Accepted] = ()
    #: In the order in which the provider took them.
    delivered: Sequence[Delivered] = ()
    turns: Sequence[Turn] = ()
    books: Sequence[Book] = ()
    feeds: Sequence[FeedLog] = ()


@dataclass(slots=True)
class Verdict:
    """What came out."""

    messages: int = 0
    lost: int = 0
    twice: int = 0
    disordered: int = 0
    replies: int = 0
    vanished: int = 0
    #: Replies that the provider took more than once; of these ``flagged`` say so.
    repeated: int = 0
    flagged: int = 0
    pending: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.violations

    def line(self) -> str:
        """The figures, in one line."""
        return (
            f"messages acknowledged {self.messages}, lost {self.lost}, twice {self.twice}, out of order {self.disordered}; "
            f"replies accepted {self.replies}, vanished {self.vanished}, sent twice {self.repeated}, flagged {self.flagged}"
        )


def named(text: str) -> tuple[bool, int, int] | None:
    """(is a question, chat, number) of a text of ours; None for any other text."""
    found = _NAME.match(text)
    return (found[1] == "q", int(found[2]), int(found[3])) if found else None


def name_question(chat: int, number: int) -> str:
    """The beginning of a shopper's message."""
    return f"q{chat}-{number}"


def name_answer(chat: int, number: int) -> str:
    """The beginning of a reply."""
    return f"a{chat}-{number}"


def judge(evidence: Evidence) -> Verdict:
    """All rules."""
    questions = [line for line in evidence.lines if line.inbound]
    answers = [line for line in evidence.lines if not line.inbound]
    lost = lost_messages(evidence.acknowledged, questions)
    twice = twice_in_history(questions)
    disordered = out_of_order(questions)
    vanished = vanished_replies(evidence.accepted, answers, evidence.delivered)
    late = out_of_order_at_provider(answers, evidence.delivered)
    counts = _deliveries(evidence.delivered)
    verdict = Verdict(
        messages=len({(one.chat, one.number) for one in evidence.acknowledged}),
        lost=len(lost),
        twice=len(twice),
        disordered=len(disordered) + len(late),
        replies=len(evidence.accepted),
        vanished=len(vanished),
        repeated=sum(number > 1 for number in counts.values()),
        flagged=sum(line.flagged for line in answers),
        pending=sum(line.status in WORKING for line in answers),
    )
    verdict.violations = [
        *lost,
        *twice,
        *disordered,
        *late,
        *vanished,
        *invented(evidence.posted, questions),
        *twice_in_history(answers),
        *out_of_order(answers),
        *repeated_without_reason(answers, evidence.delivered),
        *backwards(evidence.turns),
        *unbalanced(evidence.books),
        *holes(evidence.feeds),
    ]
    return verdict


# --- what came in ------------------------------------------------------------------------------------------------------


def lost_messages(acknowledged: Iterable[Acknowledged], questions: Iterable[Line]) -> list[str]:
    """Everything that was answered with 2xx is in the history."""
    have = {line.key for line in questions}
    return [
        f"lost: {name_question(one.chat, one.number)} was acknowledged and is not in the history"
        for one in acknowledged
        if (one.chat, one.number) not in have
    ]


def twice_in_history(lines: Iterable[Line]) -> list[str]:
    """Each message is there once, however often it was delivered."""
    counts = Counter((line.inbound, *line.key) for line in lines)
    return [f"twice: {_name(*key)} is in the history {number} times" for key, number in counts.items() if number > 1]


def invented(posted: Mapping[int, int], questions: Iterable[Line]) -> list[str]:
    """Nothing is in the history that nobody wrote."""
    return [
        f"invented: {name_question(line.chat, line.number)} was never sent"
        for line in questions
        if not 1 <= line.number <= posted.get(line.chat, 0)
    ]


def out_of_order(lines: Iterable[Line]) -> list[str]:
    """Within a chat the history has the order in which the messages were taken."""
    return [
        f"order: {_name(*_key(line))} (pos {line.pos}) stands after {_name(*_key(before))} (pos {before.pos})"
        for line, before in latecomers(lines)
    ]


def latecomers(lines: Iterable[Line]) -> list[tuple[Line, Line]]:
    """(a line that came too late, the highest one that stands before it)"""
    highest: dict[tuple[bool, int], Line] = {}
    found = []
    for line in sorted(lines, key=lambda line: line.pos):
        before = highest.get((line.inbound, line.chat))
        if before is not None and line.number < before.number:
            found.append((line, before))
        else:
            highest[line.inbound, line.chat] = line
    return found


# --- what went out -------------------------------------------------------------------------------------------------------


def vanished_replies(accepted: Iterable[Accepted], answers: Iterable[Line], delivered: Iterable[Delivered]) -> list[str]:
    """Each accepted reply is in the history under its id, waits or has ended, and was really taken if it says so."""
    have = {line.key: line for line in answers}
    taken = _deliveries(delivered)
    found = []
    for one in accepted:
        name, line = name_answer(one.chat, one.number), have.get((one.chat, one.number))
        if line is None:
            found.append(f"vanished: {name} was accepted and is not in the history")
        elif line.message_id != one.message_id:
            found.append(f"vanished: {name} was accepted as {one.message_id} and is in the history as {line.message_id}")
        elif line.status not in FINAL | WORKING:
            found.append(f"vanished: {name} has no status")
        elif line.status in _ARRIVED and not taken[line.key]:
            found.append(f"vanished: {name} is {line.status}, and the provider never took it")
    return found


def repeated_without_reason(answers: Iterable[Line], delivered: Iterable[Delivered]) -> list[str]:
    """The provider took a reply once, and once more at most for each attempt of unknown outcome; then the line says so."""
    have = {line.key: line for line in answers}
    found = []
    for key, number in _deliveries(delivered).items():
        name, line = name_answer(*key), have.get(key)
        if line is None:
            found.append(f"unaccounted: the provider took {name}, which is not in the history")
            continue
        if number - 1 > line.unknowns:
            found.append(f"repeated: {name} was taken {number} times with {line.unknowns} unknown outcomes")
        if number > 1 and not line.flagged:
            found.append(f"unflagged: {name} was taken {number} times and does not say so")
    return found


def out_of_order_at_provider(answers: Iterable[Line], delivered: Iterable[Delivered]) -> list[str]:
    """The shopper gets the replies of a chat in the order of the history; a repetition may come later."""
    pos = {line.key: line.pos for line in answers}
    seen: set[Key] = set()
    last: dict[int, Key] = {}
    found = []
    for one in delivered:
        key = _answer(one)
        if key is None or key in seen or key not in pos:
            continue
        seen.add(key)
        before = last.get(key[0])
        if before is not None and pos[key] < pos[before]:
            found.append(f"order: the provider took {name_answer(*key)} after {name_answer(*before)}")
        last[key[0]] = key
    return found


def backwards(turns: Iterable[Turn]) -> list[str]:
    """Statuses only move forward."""
    shown: dict[str, Status] = {}
    found = []
    for turn in sorted(turns, key=lambda turn: turn.pos):
        before = shown.get(turn.message_id)
        if before is not None and RANK[turn.status] < RANK[before]:
            found.append(f"backwards: {turn.message_id} went from {before} to {turn.status} at pos {turn.pos}")
        shown[turn.message_id] = turn.status
    return found


# --- books and feeds -----------------------------------------------------------------------------------------------------


def unbalanced(books: Iterable[Book]) -> list[str]:
    """received (and found in the spool at the start) = appended + duplicates + quarantined + refused (and still in the spool)."""
    found = []
    for book in books:
        parts = book.appended + book.duplicates + book.quarantined + book.refused + book.spooled
        if book.received + book.carried != parts:
            had = f" and had {book.carried}" if book.carried else ""
            found.append(f"unbalanced: {book.channel} received {book.received}{had}, and {parts} are accounted for")
    return found


def holes(feeds: Iterable[FeedLog]) -> list[str]:
    """A feed that goes on from its last position shows everything visible, once, in order."""
    found = []
    for feed in feeds:
        if any(later <= earlier for earlier, later in zip(feed.seen, feed.seen[1:], strict=False)):
            found.append("feed: a position came twice or too late")
        missing = set(feed.visible) - set(feed.seen)
        if missing:
            found.append(f"feed: {len(missing)} of {len(feed.visible)} visible events were not shown, the first at pos {min(missing)}")
        extra = set(feed.seen) - set(feed.visible)
        if extra:
            found.append(f"feed: {len(extra)} events were shown that are not there, the first at pos {min(extra)}")
    return found


def coverage(acknowledged: Iterable[Acknowledged]) -> dict[int, int]:
    """Highest acknowledged number of each chat."""
    found: dict[int, int] = defaultdict(int)
    for one in acknowledged:
        found[one.chat] = max(found[one.chat], one.number)
    return dict(found)


def _deliveries(delivered: Iterable[Delivered]) -> Counter[Key]:
    return Counter(key for one in delivered if (key := _answer(one)) is not None)


def _answer(one: Delivered) -> Key | None:
    found = named(one.text)
    return (found[1], found[2]) if found and not found[0] else None


def _key(line: Line) -> tuple[bool, int, int]:
    return line.inbound, line.chat, line.number


def _name(inbound: bool, chat: int, number: int) -> str:  # noqa: FBT001 - a key's first part
    return name_question(chat, number) if inbound else name_answer(chat, number)
