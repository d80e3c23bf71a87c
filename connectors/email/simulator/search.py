"""SEARCH (RFC 3501, 6.4.4): which mails are meant."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from connectors.email.simulator.command import Bad, Numbers, Token, word
from connectors.email.simulator.mailbox import Stored
from connectors.email.words import decode_words


class Placed(NamedTuple):
    """A mail, and its number among those of the folder."""

    number: int
    mail: Stored


class Ends(NamedTuple):
    """What ``*`` is."""

    number: int
    uid: int


Test = Callable[[Placed], bool]

_FLAGS: Final = {"answered": "\\Answered", "deleted": "\\Deleted", "draft": "\\Draft", "flagged": "\\Flagged", "seen": "\\Seen"}


def search_of(arguments: list[Token], ends: Ends) -> Test:
    """The criteria as a test of one mail. Raises :class:`Bad` for what it does not know."""
    rest = iter(arguments)
    tests = []
    for token in rest:
        if isinstance(token, str) and token.lower() == "charset":
            if word(_next(rest)).lower() not in {"us-ascii", "utf-8"}:
                raise Bad("[BADCHARSET (US-ASCII UTF-8)] unknown charset")
            continue
        tests.append(_test(token, rest, ends))
    if not tests:
        raise Bad("search for what?")
    return _all(tests)


def _all(tests: list[Test]) -> Test:
    return lambda one: all(test(one) for test in tests)


def _next(rest: Iterator[Token]) -> Token:
    found = next(rest, None)
    if found is None:
        raise Bad("a search key lacks its value")
    return found


def _test(token: Token, rest: Iterator[Token], ends: Ends) -> Test:
    if isinstance(token, list):
        return search_of(token, ends)
    key = word(token).lower()
    if key[:1].isdigit() or key[:1] == "*":
        numbers = Numbers(key, ends.number)
        return lambda one: one.number in numbers
    flag = _FLAGS.get(key.removeprefix("un"), "")
    if flag:
        wanted = not key.startswith("un")
        return lambda one: one.mail.has(flag) is wanted
    match key:
        case "all" | "old":
            return lambda _: True
        case "new" | "recent":
            return lambda _: False
        case "keyword" | "unkeyword":
            keyword, wanted = word(_next(rest)), key == "keyword"
            return lambda one: one.mail.has(keyword) is wanted
        case "uid":
            uids = Numbers(word(_next(rest)), ends.uid)
            return lambda one: one.mail.uid in uids
        case "not":
            inner = _test(_next(rest), rest, ends)
            return lambda one: not inner(one)
        case "or":
            first, second = _test(_next(rest), rest, ends), _test(_next(rest), rest, ends)
            return lambda one: first(one) or second(one)
        case "larger" | "smaller":
            return _by_size(key, word(_next(rest)))
        case "since" | "before" | "on" | "sentsince" | "sentbefore" | "senton":
            return _by_day(key, _day(word(_next(rest))))
        case _:
            return _by_text(key, rest)


def _by_size(key: str, text: str) -> Test:
    if not text.isdigit():
        raise Bad("a size is a number")
    size = int(text)
    return lambda one: len(one.mail.raw) > size if key == "larger" else len(one.mail.raw) < size


def _by_day(key: str, day: date) -> Test:
    def test(one: Placed) -> bool:
        there = _sent(one.mail) if key.startswith("sent") else one.mail.at.date()
        if there is None:
            return False
        how = key.removeprefix("sent")
        return there >= day if how == "since" else there < day if how == "before" else there == day

    return test


def _by_text(key: str, rest: Iterator[Token]) -> Test:
    if key in {"from", "to", "cc", "bcc", "subject"}:
        return _by_header(key, word(_next(rest)))
    if key == "header":
        return _by_header(word(_next(rest)), word(_next(rest)))
    if key not in {"text", "body"}:
        raise Bad(f"unknown search key {key[:40]!r}")
    wanted = word(_next(rest)).lower().encode()
    return lambda one: wanted in (one.mail.raw if key == "text" else one.mail.raw.partition(b"\r\n\r\n")[2]).lower()


def _by_header(name: str, wanted: str) -> Test:
    def test(one: Placed) -> bool:
        found = one.mail.header(name)
        return found is not None and wanted.lower() in decode_words(found).lower()

    return test


def _sent(mail: Stored) -> date | None:
    try:
        return parsedate_to_datetime(mail.header("date") or "").date()
    except (TypeError, ValueError):
        return None


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%d-%b-%Y").date()  # noqa: DTZ007  a day has no zone here
    except ValueError:
        raise Bad(f"{text[:40]!r} is no day like 1-Feb-2026") from None
