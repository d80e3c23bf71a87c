"""FETCH (RFC 3501, 6.4.5): what of a mail is shown. Not its parts: clients that take a mail apart themselves need none."""

import re
from collections.abc import Sequence
from typing import Final

from connectors.email.simulator.command import Bad, tokens, word, words
from connectors.email.simulator.mailbox import Stored

_MACROS: Final = {"ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"), "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE")}
_OLD: Final = {"RFC822": "BODY[]", "RFC822.HEADER": "BODY.PEEK[HEADER]", "RFC822.TEXT": "BODY[TEXT]"}
_BODY: Final = re.compile(r"BODY(?P<peek>\.PEEK)?\[(?P<section>[^\]]*)\](?:<(?P<first>\d{1,10})\.(?P<count>\d{1,10})>)?", re.IGNORECASE)
_PLAIN: Final = frozenset({"FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE"})
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def items_of(asked: Sequence[str]) -> list[str]:
    """The items in the client's words, macros resolved. Raises :class:`Bad` for those that this server has not got."""
    items = [inner for one in asked for inner in _MACROS.get(one.upper(), (one,))]
    for one in items:
        if one.upper() not in _PLAIN and one.upper() not in _OLD and not _BODY.fullmatch(one):
            raise Bad(f"this server does not tell {one[:40]!r}")
    return items


def reads(items: Sequence[str]) -> bool:
    """Does this make a mail a seen one?"""
    return any((found := _BODY.fullmatch(_OLD.get(one.upper(), one))) is not None and not found["peek"] for one in items)


def show(mail: Stored, items: Sequence[str]) -> bytes:
    """What stands between the brackets of ``* n FETCH (…)``."""
    return b" ".join(_item(mail, one) for one in dict.fromkeys(items))


def flags(mail: Stored) -> bytes:
    """``FLAGS (…)``."""
    return b"FLAGS (" + " ".join(sorted(mail.flags)).encode() + b")"


def _item(mail: Stored, item: str) -> bytes:
    match item.upper():
        case "FLAGS":
            return flags(mail)
        case "UID":
            return b"UID %d" % mail.uid
        case "RFC822.SIZE":
            return b"RFC822.SIZE %d" % len(mail.raw)
        case "INTERNALDATE":
            at = mail.at
            return f'INTERNALDATE "{at.day:2d}-{_MONTHS[at.month - 1]}-{at:%Y %H:%M:%S %z}"'.encode()
        case old if old in _OLD:
            return old.encode() + b" " + _literal(_body(mail, _OLD[old])[1])
        case _:
            name, data = _body(mail, item)
            return name + b" " + _literal(data)


def _body(mail: Stored, item: str) -> tuple[bytes, bytes]:
    found = _BODY.fullmatch(item)
    assert found is not None  # items_of has seen it
    data = _section(mail, found["section"])
    name = f"BODY[{found['section'].upper()}]"
    if found["first"] is None:
        return name.encode(), data
    first = int(found["first"])
    return f"{name}<{first}>".encode(), data[first : first + int(found["count"])]


def _section(mail: Stored, section: str) -> bytes:
    head, _, text = mail.raw.partition(b"\r\n\r\n")
    match section.upper().split(" ", 1):
        case [""]:
            return mail.raw
        case ["HEADER"]:
            return head + b"\r\n\r\n"
        case ["TEXT"]:
            return text
        case ["HEADER.FIELDS" | "HEADER.FIELDS.NOT" as which, names]:
            listed = tokens(names.encode())
            wanted = {one.lower() for one in words(listed[0])} if len(listed) == 1 else set()
            among = which == "HEADER.FIELDS"
            return b"".join(field for name, field in mail.fields() if (name in wanted) is among) + b"\r\n"
        case _:
            raise Bad(f"this server does not tell parts like {word(section)[:40]!r}")


def _literal(data: bytes) -> bytes:
    return b"{%d}\r\n" % len(data) + data
