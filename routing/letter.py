"""The words of the mail by which a chat goes on. Pure."""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from connectors.content import Activity, Media, plain_text
from connectors.text import clusters
from routing.letter_words import Words, words_for
from storage.record import Message, MessageKind

#: Lines of one letter, and characters of each.
LINES: Final = 20
LINE_CHARS: Final = 2_000
#: Of a whole transcript.
TRANSCRIPT_CHARS: Final = 50_000
_PAGE_CHARS: Final = 300


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
    #: The visitor's, as a BCP 47 tag; empty if unknown.
    language: str = ""


class Written(Struct, frozen=True, kw_only=True):
    """A letter."""

    subject: str
    text: str


def compose_letter(letter: Letter) -> Written:
    """To an address that is not proved goes nothing that the visitor could have chosen: no question, no name, no more than a path."""
    words = words_for(letter.language)
    names = list(dict.fromkeys(line.author.name for line in letter.unseen if line.author.name))
    shown = _excerpt(letter)
    said = [words.answered.format(who=words.between.join(names) or words.we, title=letter.title)]
    said += (_block(line, words) for line in shown)
    left_out = len(letter.unseen) - sum(line in letter.unseen for line in shown)
    if left_out:
        said.append(words.more.format(count=left_out))
    page = _page(letter)
    said.append(words.go_on_at.format(page=page) if page else words.go_on)
    if not letter.proved:
        said.append(words.not_me)
    return Written(subject=words.subject.format(title=letter.title), text="\n\n".join(said))


def compose_transcript(title: str, lines: tuple[Message, ...], *, proved: bool, language: str = "") -> Written:
    """The newest of ``lines`` for which there is room. To an address that is not proved what the visitor wrote does not go: it is a
    stranger's, who could have written it for whoever reads that mail."""
    words = words_for(language)
    blocks: list[str] = []
    room = TRANSCRIPT_CHARS
    for line in reversed(lines):
        known = proved or line.kind is not MessageKind.INBOUND
        block = _block(line, words) if known else f"{words.you}:\n{words.withheld}"
        room -= len(block)
        if room < 0:
            blocks.append(words.cut)
            break
        blocks.append(block)
    said = [words.transcript.format(title=title), *reversed(blocks)]
    return Written(subject=words.subject.format(title=title), text="\n\n".join([*said, *([] if proved else [words.not_me])]))


def _excerpt(letter: Letter) -> tuple[Message, ...]:
    if not letter.proved:
        return letter.unseen[:LINES]
    first = letter.unseen[0].pos
    before = [line for line in letter.lines if line.pos < first and line.kind is MessageKind.INBOUND and not line.deleted]
    room = max(0, LINES - len(letter.unseen))
    return (*before[len(before) - min(room, len(before)) :], *letter.unseen[:LINES])


def _block(line: Message, words: Words) -> str:
    """A line with who wrote it."""
    media = [part for part in line.parts if isinstance(part, Media)]
    files = [words.named_file.format(name=part.name) if part.name else words.file for part in media]
    text = "\n".join([*([said] if (said := plain_text(tuple(p for p in line.parts if not isinstance(p, Media)))) else []), *files])
    if len(text) > LINE_CHARS:
        text = "".join(clusters(text[: LINE_CHARS + 1])[:-1]) + " […]"
    name = words.you if line.kind is MessageKind.INBOUND else line.author.name or words.we
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
