"""IMAP's commands as they come over the line: words, quoted strings, literals, lists (RFC 3501, part 4 and 9; RFC 7888).

A word is a ``str``, a quoted string or literal ``bytes``, a list a ``list`` of them.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

#: A line without its literals. Searches for many UIDs are long.
MAX_LINE: Final = 64 * 1024
_DEPTH: Final = 20

Token: TypeAlias = "str | bytes | list[Token]"  # noqa: S105

_LITERAL: Final = re.compile(rb"\{(\d{1,10})(\+?)\}$")
#: A literal's place in the text is marked by its number between two NUL, which a line may not contain.
_TOKEN: Final = re.compile(
    rb'[ ]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]|\\["\\])*)"|\x00(?P<literal>\d+)\x00'
    rb'|(?P<word>(?:[^ ()"\[\]\x00-\x1f]|\[[^\]\x00]*\])+))'
)


class Bad(Exception):
    """The command is not understood: ``BAD``."""


class No(Exception):
    """The command is understood and refused: ``NO``."""


class TooBig(Exception):
    """The client is already sending more than is taken: the connection ends."""


async def read_command(reader: asyncio.StreamReader, go_on: Callable[[], None], most: int) -> tuple[str, str, list[Token]] | None:
    """The next command's tag, name and arguments; None at the end. ``go_on`` says that a literal, of ``most`` bytes, may come.

    Raises :class:`Bad` (its second argument is the tag), :class:`No` likewise, :class:`TooBig`.
    """
    text, literals = b"", list[bytes]()
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            raise TooBig from None
        if not line.endswith(b"\n"):
            return None
        text += line.rstrip(b"\r\n")
        tag = text.partition(b" ")[0].decode("ascii", "replace")
        found = _LITERAL.search(text)
        if len(text) > MAX_LINE:
            raise TooBig
        if b"\0" in line:
            raise Bad("a line must not contain NUL", tag)
        if found is None:
            break
        size, waits = int(found[1]), not found[2]
        if size > most:
            if waits:
                raise No(f"[TOOBIG] a mail may have {most} bytes", tag)
            raise TooBig
        if waits:
            go_on()
        literals.append(await reader.readexactly(size))
        # ``\0`` is put in after the check: the next line is checked by itself.
        text = text[: found.start()] + b"\0%d\0" % (len(literals) - 1)
    try:
        words = tokens(text, literals)
    except Bad as error:
        raise Bad(str(error), tag) from None
    if len(words) < 2 or not isinstance(words[0], str) or not isinstance(words[1], str):
        raise Bad("give a tag and a command", tag or "*")
    return words[0], words[1].lower(), words[2:]


def tokens(text: bytes, literals: Sequence[bytes] = ()) -> list[Token]:
    """Raises :class:`Bad`."""
    stack: list[list[Token]] = [[]]
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Bad("this is no IMAP: quotes or brackets do not fit")
        at = match.end()
        if match["open"] is not None:
            if len(stack) > _DEPTH:
                raise Bad("too many brackets")
            inner: list[Token] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif match["close"] is not None:
            if len(stack) == 1:
                raise Bad("a bracket is closed that was not opened")
            stack.pop()
        elif match["literal"] is not None:
            stack[-1].append(literals[int(match["literal"])])
        elif match["quoted"] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", match["quoted"]))
        else:
            stack[-1].append(match["word"].decode("utf-8", "replace"))
    if len(stack) > 1:
        raise Bad("a bracket is not closed")
    return stack[0]


def word(token: Token) -> str:
    """A word or string as text. Raises :class:`Bad` for a list."""
    if isinstance(token, list):
        raise Bad("a word was expected, not a list")
    return token if isinstance(token, str) else token.decode("utf-8", "replace")


def words(token: Token) -> list[str]:
    """A list of words; one alone counts as a list."""
    return [word(one) for one in token] if isinstance(token, list) else [word(token)]


class Numbers:
    """A set like ``1:3,7,*`` of UIDs or sequence numbers, where ``*`` is the largest there is."""

    def __init__(self, text: str, largest: int) -> None:
        if not re.fullmatch(r"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*", text):
            raise Bad(f"{text[:40]!r} is no set of numbers")
        ends = [tuple(largest if end == "*" else int(end) for end in part.split(":")) for part in text.split(",")]
        self._ranges = [(min(pair), max(pair)) for pair in ends]

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self._ranges)


def quoted(text: str) -> bytes:
    """As a quoted string."""
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", text.encode("utf-8", "replace")) + b'"'
