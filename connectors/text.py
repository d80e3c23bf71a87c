"""Length and splitting of text, in the unit that each channel counts."""

import re
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final


class Unit(StrEnum):
    """What a channel counts when it says "at most 4096"."""

    #: Unicode code points.
    CHARS = "chars"
    #: UTF-16 code units: an emoji outside the basic plane counts two (Telegram, Messenger's web side, JavaScript).
    UTF16 = "utf16"
    #: UTF-8 bytes.
    BYTES = "bytes"


def length(text: str, unit: Unit) -> int:
    """How long the channel thinks that ``text`` is. A lone surrogate counts as one unit, or three bytes."""
    match unit:
        case Unit.CHARS:
            return len(text)
        case Unit.UTF16:
            return len(text.encode("utf-16-le", "surrogatepass")) // 2
        case Unit.BYTES:
            return len(text.encode("utf-8", "surrogatepass"))


def without_nul(value: Any) -> Any:
    """Decoded JSON with U+FFFD for every NUL, names of fields too: PostgreSQL cannot store NUL. Raises RecursionError if it is too deep."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return {without_nul(name): without_nul(item) for name, item in value.items()} if isinstance(value, dict) else value


#: Code points that belong to the one before them: combining marks, variation selectors, skin tones, keycaps, tags, joiners.
_EXTENDS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0e31\u0e34-\u0e3a\u200c\u200d\u20d0-\u20f0"
    "\ufe00-\ufe0f\ufe20-\ufe2f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)
_JOINER: Final = "\u200d"
_FLAGS: Final = range(0x1F1E6, 0x1F200)
#: Units of the widest single code point.
_SMALLEST: Final = MappingProxyType({Unit.CHARS: 1, Unit.UTF16: 2, Unit.BYTES: 4})
#: Characters beyond the limit that are looked at, so that an emoji across it is seen whole.
_LOOK_AHEAD: Final = 32


def clusters(text: str) -> list[str]:
    """``text`` cut into pieces that a reader sees as one character; joining them gives ``text`` again.

    A good approximation of Unicode's extended grapheme clusters (UAX 29) for what people send: combining marks, emoji
    sequences with joiners, skin tones and flags. Linear in time, also for a thousand marks on one letter.
    """
    starts: list[int] = []
    flags = 0
    for index, char in enumerate(text):
        before = text[index - 1] if index else ""
        flag = ord(char) in _FLAGS
        pairs = flag and flags % 2 == 1
        if not index or not (_EXTENDS.match(char) or before == _JOINER or (before == "\r" and char == "\n") or pairs):
            starts.append(index)
        flags = flags + 1 if flag else 0
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def split(text: str, limit: int, unit: Unit) -> list[str]:
    """``text`` in as few pieces of at most ``limit`` units as possible, cut at the nicest place of each piece's second half.

    Paragraphs before lines before sentences before words before characters; never inside a surrogate pair or an emoji,
    unless one alone exceeds the limit. Only white space at a cut is dropped. The same text always gives the same pieces.
    A limit below one character (an emoji has two UTF-16 units, four bytes) is a ``ValueError``: nothing would fit.
    """
    if limit < _SMALLEST[unit]:
        raise ValueError(f"limit must be at least {_SMALLEST[unit]} {unit.value}, not {limit}")
    pieces: list[str] = []
    start = 0
    # A piece never has more characters than units, so a little more than ``limit`` of them is all that matters.
    while _exceeds(window := text[start : start + limit + _LOOK_AHEAD], limit, unit):
        cut = _nice_cut(window, len(_fit(window, limit, unit)))
        piece = window[:cut].rstrip()
        if piece:
            pieces.append(piece)
        start += cut
        while start < len(text) and text[start].isspace():
            start += 1
    if (rest := text[start:]).strip() or not pieces:
        pieces.append(rest)
    return pieces


def _exceeds(text: str, limit: int, unit: Unit) -> bool:
    return len(text) > limit or length(text, unit) > limit


def _fit(text: str, limit: int, unit: Unit) -> str:
    """The longest start of ``text`` that fits, at least one character."""
    used, size = 0, 0
    for cluster in clusters(text):
        wide = length(cluster, unit)
        if used + wide > limit:
            break
        used += wide
        size += len(cluster)
    if size:
        return text[:size]
    # One cluster alone is too long: cut between its code points.
    for char in text:
        used += length(char, unit)
        if used > limit:
            break
        size += 1
    return text[:size]


_CUTS: Final = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"[.!?…]\s"), re.compile(r"\s"))


def _nice_cut(text: str, end: int) -> int:
    """Where to cut ``text`` at or before ``end``: after the last nice place in the second half, or exactly at ``end``."""
    if text[end : end + 1].isspace():
        return end
    for pattern in _CUTS:
        places = [match.end() for match in pattern.finditer(text, end // 2, end)]
        if places:
            return places[-1]
    return end
