"""The words of the mail by which a chat goes on. Pure."""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from connectors.content import Activity, Media, plain_text
from connectors.text import clusters
from storage.record import Message, MessageKind

#: Lines of one letter, and characters of each.
LINES: Final = 20
LINE_CHARS: Final = 2_000
#: Of a whole transcript.
TRANSCRIPT_CHARS: Final = 50_000
_PAGE_CHARS: Final = 300
_NOT_ME: Final = (
    "You get this because somebody gave your address in our chat. If that was not you, answer with the one word STOP:"
    " no more of these mails will come, and nobody in that chat learns anything about you."
)


class Letter(Struct, frozen=True, kw_only=True):
    """What a letter is made of."""

    #: What the chat is called.
    title: str
    #: Is the address known to be the visitor's?
    proved: bool
    #: The chat's newest lines, and those of them that the visitor has not seen.
    lines: tuple[Message, ...]
    unseen: tuple[Message, ...]
    #: Pages of these may be linked to.
    origins: tuple[str, ...]


class Written(Struct, frozen=True, kw_only=True):
    """A letter."""

    subject: str
    text: str


def compose_letter(letter: Letter) -> Written:
    """To an address that is not proved goes nothing that the visitor could have chosen: no question, no name, no more than a path."""
    names = list(dict.fromkeys(line.author.name for line in letter.unseen if line.author.name))
    who = " and ".join(names) if names else "We"
    shown = _excerpt(letter)
    said = [f"{who} answered in the chat “{letter.title}” after you had left:", *(_block(line) for line in shown)]
    left_out = len(letter.unseen) - sum(line in letter.unseen for line in shown)
    if left_out:
        said.append(f"({left_out} more in the chat)")
    page = _page(letter)
    said.append(f"Answer this mail, or go on in the chat: {page}" if page else "Answer this mail, or go on in the chat.")
    if not letter.proved:
        said.append(_NOT_ME)
    return Written(subject=f"Your chat with us: {letter.title}", text="\n\n".join(said))


def compose_transcript(title: str, lines: tuple[Message, ...], *, proved: bool) -> Written:
    """The newest of ``lines`` for which there is room."""
    blocks: list[str] = []
    room = TRANSCRIPT_CHARS
    for line in reversed(lines):
        block = _block(line)
        room -= len(block)
        if room < 0:
            blocks.append("(What was said before is left out.)")
            break
        blocks.append(block)
    said = [f"What was said in the chat “{title}”, as asked for there:", *reversed(blocks)]
    return Written(subject=f"Your chat with us: {title}", text="\n\n".join([*said, *([] if proved else [_NOT_ME])]))


def _excerpt(letter: Letter) -> tuple[Message, ...]:
    if not letter.proved:
        return letter.unseen[:LINES]
    first = letter.unseen[0].pos
    before = [line for line in letter.lines if line.pos < first and line.kind is MessageKind.INBOUND and not line.deleted]
    room = max(0, LINES - len(letter.unseen))
    return (*before[len(before) - min(room, len(before)) :], *letter.unseen[:LINES])


def _block(line: Message) -> str:
    """A line with who wrote it."""
    files = [f"[a file: {part.name}]" if part.name else "[a file]" for part in line.parts if isinstance(part, Media)]
    text = "\n".join([*([said] if (said := plain_text(tuple(p for p in line.parts if not isinstance(p, Media)))) else []), *files])
    if len(text) > LINE_CHARS:
        text = "".join(clusters(text[: LINE_CHARS + 1])[:-1]) + " […]"
    name = "You" if line.kind is MessageKind.INBOUND else line.author.name or "We"
    return f"{name}:\n{text}"


def _page(letter: Letter) -> str:
    """Where the chat began, if that is a page of the shop's; else the shop. Of a page that a stranger named, nothing behind its ``?``."""
    started = (part for line in letter.lines for part in line.parts if isinstance(part, Activity) and part.code == "started")
    for page in (part.subject for part in started):
        try:
            parts = urlsplit(page)
        except ValueError:
            continue
        origin = f"{parts.scheme}://{parts.netloc}"
        query = f"?{parts.query}" if parts.query and letter.proved else ""
        address = f"{origin}{parts.path}{query}"
        if origin in letter.origins and len(address) <= _PAGE_CHARS and address.isascii() and not any(char.isspace() for char in address):
            return address
    return letter.origins[0] if letter.origins else ""
