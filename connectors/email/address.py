"""Addresses as people forge them. Strict: what can be read in two ways is read in none.

``From: alice@shop.com <bob@evil.com>`` shows Alice in one program and Bob in another; such a sender is nobody.
"""

import re
from typing import Final

from msgspec import Struct

from connectors.email.words import decode_words, visible

#: RFC 5321 limits an address to 254 octets; names are cut for display.
MAX_ADDRESS: Final = 254
MAX_NAME: Final = 200
#: Addresses of one header that are kept.
MAX_ADDRESSES: Final = 50

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_QUOTED: Final = r'"(?:[^"\\\r\n\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_LABEL: Final = r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9_\u0080-\U0010ffff-]*[A-Za-z0-9\u0080-\U0010ffff])?"
#: Dots where they should not be (``a..b@``, ``a.@``) are in daily use by Japanese providers.
_LOCAL: Final = rf"(?:{_ATOM.replace('[', '[.', 1)}|{_QUOTED})"
_BARE: Final = re.compile(rf"(?P<local>{_LOCAL})@(?P<domain>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f.:IPv]{{3,50}}\])")
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|<[^<>]*>?|[,:;()]|[^",:;<>()]+', re.DOTALL)


class Address(Struct, frozen=True):
    """One mailbox of a header."""

    #: As :func:`normalised` gives it.
    address: str
    #: A claim.
    name: str = ""


def normalised(text: str) -> str:
    """A bare address with its domain and its local part in lower case; empty if it is none.

    By the standard local parts differ by case; no server in use makes two people of them. Dots and plus stay: they do differ.
    """
    match = _BARE.fullmatch(text.strip()) if len(text) <= MAX_ADDRESS else None
    if match is None or any(char.isspace() for char in match["domain"]):
        return ""
    local, domain = match["local"], match["domain"].lower()
    if local.startswith('"'):
        plain = re.sub(r"\\(.)", r"\1", local[1:-1])
        local = plain if re.fullmatch(rf"{_ATOM}(?:\.{_ATOM})*", plain) else local
    if not domain.isascii():
        domain = _ascii(domain)
    return f"{_folded(local)}@{domain}" if domain else ""


def _folded(local: str) -> str:
    """In lower case, but for letters that would become ASCII: the Kelvin sign is no k, and whoever writes it is somebody else."""
    return "".join(char.lower() if char.isascii() or not char.lower().isascii() else char for char in local)


def domain_of(address: str) -> str:
    """The part after the last ``@``."""
    return address.rpartition("@")[2]


def parse_list(value: str) -> list[Address]:
    """The addresses of a header, as far as they can be read without guessing; group names and comments are dropped."""
    found: list[Address] = []
    for item in _items(value):
        if len(found) >= MAX_ADDRESSES:
            break
        if (one := _mailbox(item)) is not None:
            found.append(one)
    return found


def parse_one(value: str) -> Address | None:
    """The single address of ``From``; None if it is empty, a group, several, or ambiguous."""
    items = [item for item in _items(value, groups=False) if item]
    return _mailbox(items[0]) if len(items) == 1 else None


def _items(value: str, *, groups: bool = True) -> list[list[str]]:
    """The header's tokens by address. Comments vanish; with ``groups`` so do group names, else a group spoils its item."""
    items: list[list[str]] = [[]]
    depth = 0
    for match in _TOKENS.finditer(value[:100_000]):
        piece = match.group()
        if piece == "(":
            depth += 1
        elif piece == ")":
            if not depth:
                items[-1].append(piece)
            depth = max(depth - 1, 0)
        elif depth:
            continue
        elif piece in {",", ";"}:
            items.append([])
        elif piece == ":" and groups:
            items[-1] = []
        else:
            items[-1].append(piece)
    return [[token for token in item if token.strip()] for item in items]


def _mailbox(tokens: list[str]) -> Address | None:
    """``name <address>`` or a bare address. A name that is itself an address, unquoted and different, makes it ambiguous."""
    if not tokens:
        return None
    *before, last = tokens
    if not (last.startswith("<") and last.endswith(">")):
        address = normalised("".join(tokens)) if len(tokens) <= 2 else ""
        return Address(address) if address else None
    address = normalised(last[1:-1])
    if not address or any(token.startswith("<") or token in {":", ")"} for token in before):
        return None
    raw = "".join(token for token in before if not token.startswith('"'))
    if "@" in raw and address not in raw.lower():
        return None
    words = [re.sub(r"\\(.)", r"\1", token.strip('"')) if token.startswith('"') else token.strip() for token in before]
    return Address(address, visible(decode_words(" ".join(words)), MAX_NAME))


def _ascii(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
