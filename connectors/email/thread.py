"""A conversation's thread as an address that anybody can read: ``mailto:ada@example.org?subject=…&in-reply-to=…&references=…`` (RFC 6068).

It holds all that an answer needs. A bare address is a thread too: of a conversation that we begin.
"""

from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from connectors.email.address import normalised
from connectors.errors import Inexpressible

#: A thread is kept as a key in databases.
MAX_THREAD: Final = 4096
#: Ids in ``References``: the first, which names the thread, and the newest.
MAX_REFERENCES: Final = 20
MAX_SUBJECT: Final = 300
_MAX_ID: Final = 250
_SCHEME: Final = "mailto:"


class Thread(Struct, frozen=True, kw_only=True):
    """Where an answer goes."""

    address: str
    subject: str = ""
    #: Message-IDs without brackets.
    in_reply_to: str = ""
    references: tuple[str, ...] = ()


def write_thread(thread: Thread) -> str:
    """As a URL of at most ``MAX_THREAD`` characters; references in the middle give way first, then the subject."""
    references = thinned(thread.references)
    subject = thread.subject[:MAX_SUBJECT]
    while True:
        fields = {"subject": subject, "in-reply-to": _bracketed((thread.in_reply_to,)), "references": _bracketed(references)}
        said = "&".join(f"{name}={quote(value, safe='@')}" for name, value in fields.items() if value)
        text = f"{_SCHEME}{quote(thread.address, safe='@+')}" + (f"?{said}" if said else "")
        if len(text) <= MAX_THREAD:
            return text
        if len(references) > 2:
            references = (references[0], *references[2:])
        elif subject:
            subject = subject[: len(subject) // 2]
        else:
            return text[:MAX_THREAD]


def read_thread(text: str) -> Thread:
    """The inverse; also of a bare address. Raises :class:`Inexpressible`."""
    where, _, query = text.removeprefix(_SCHEME).partition("?")
    address = normalised(unquote(where) if text.startswith(_SCHEME) else where)
    if not address:
        raise Inexpressible(f"{text[:64]!r} is no address that mail can go to")
    found = {name: unquote(value) for name, _, value in (one.partition("=") for one in query.split("&"))}
    ids = mail_ids(found.get("in-reply-to", ""))
    return Thread(
        address=address,
        subject=found.get("subject", ""),
        in_reply_to=ids[0] if ids else "",
        references=tuple(mail_ids(found.get("references", ""))),
    )


def mail_ids(text: str) -> list[str]:
    """Message-IDs of a header without their brackets, in their order, each once. Bare ones count too, if they stand alone."""
    found: dict[str, None] = {}
    for piece in text.replace(">", "> ").replace(",", " ").split():
        inner = piece.partition("<")[2].removesuffix(">") if "<" in piece else piece
        if 3 <= len(inner) <= _MAX_ID and inner.isprintable() and ("@" in inner or "<" in piece) and not set(inner) & set('<>"'):
            found[inner] = None
    return list(found)


def thinned(references: tuple[str, ...]) -> tuple[str, ...]:
    """At most ``MAX_REFERENCES``: the first one and the newest."""
    if len(references) <= MAX_REFERENCES:
        return references
    return (references[0], *references[-(MAX_REFERENCES - 1) :])


def _bracketed(ids: tuple[str, ...]) -> str:
    return " ".join(f"<{one}>" for one in ids if one)
