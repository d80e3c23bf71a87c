"""Secrets that are recognised wherever they turn up: how those of the tests are marked, how they are found, where finds are noted.

The standard library alone: the interpreters of a test's child processes load this file too, by its path.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

#: In every secret that a test configures: ``canary-<its name>-<something long>``.
CONFIGURED: Final = "canary-"
#: At the start of every random secret that the product hands out while it is tested: ``minted-<by which function>-<random>``.
MINTED: Final = "minted-"
#: The mark of what was drawn and is hex: the key that a node makes for itself, and then has to keep.
OWN_KEY: Final = "a node's own key"
#: The file, named by the environment, to which every process of a run appends what it found: one JSON object per line.
NOTES: Final = "SPORTELLO_TEST_SECRETS"

#: What we make of other secrets has a shape of its own: its name, how it begins, all of it.
API_TOKEN: Final = "an API token"
VISITOR_TOKEN: Final = "a visitor's token"
_SHAPES: Final = (
    (API_TOKEN, b"gw_", re.compile(rb"gw_[0-9A-Za-z]{16,}_[\w-]{32,}")),
    (VISITOR_TOKEN, b"eyJ2aXNpdG9yIjoi", re.compile(rb"eyJ2aXNpdG9yIjoi[\w-]*\.[\w-]{43}")),
    ("a signed JSON Web Token", b"eyJhbGci", re.compile(rb"eyJhbGci[\w-]+\.[\w-]{20,}\.[\w-]{43}")),
)
_NAME: Final = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z]+)*")
_CODED: Final = re.compile(rb"[\w+/-]+")
_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_WINDOW: Final = 120


class Find(NamedTuple):
    """A secret where none may be. ``name`` says which, never its value."""

    offset: int
    #: The marker, ``OWN_KEY``, or the name of the shape.
    mark: str
    name: str
    form: str


class _Needle(NamedTuple):
    data: bytes
    mark: str
    form: str
    #: Of a base64: how many characters before these a group of four begins.
    before: int = 0


@cache
def _needles() -> tuple[_Needle, ...]:
    found = []
    for mark in (CONFIGURED, MINTED):
        data = mark.encode()
        found.append(_Needle(data, mark, "plain"))
        kind = OWN_KEY if mark == MINTED else mark
        found += [_Needle(binascii.hexlify(data), kind, "hex"), _Needle(binascii.hexlify(data).upper(), kind, "hex")]
        # Those characters of a base64 that depend on the marker alone, behind 0, 1 or 2 other bytes; neither alphabet's own are among them.
        for before, (first, end) in enumerate(((0, 9), (2, 10), (3, 12))):
            coded = base64.b64encode(b"\0" * before + data + b"\0\0")
            found.append(_Needle(coded[first:end], mark, "base64", first))
    return tuple(found)


def find(data: bytes) -> Iterator[Find]:
    """All secrets in some bytes. A few plain searches for short texts: about a second for a gigabyte each."""
    for needle in _needles():
        at = data.find(needle.data)
        while at >= 0:
            yield Find(at, needle.mark, _name(data, at, needle), needle.form)
            at = data.find(needle.data, at + 1)
    for name, start, shape in _SHAPES:
        if start in data:
            for match in shape.finditer(data):
                yield Find(match.start(), name, name, "plain")


def _name(data: bytes, at: int, needle: _Needle) -> str:
    """What stands between the marker and the secret part."""
    text = data[at : at + _WINDOW]
    if needle.form == "hex":
        match = _HEX.match(text)
        text = bytes.fromhex(match[0].decode()) if match else b""
    elif needle.form == "base64":
        match = _CODED.match(data, max(at - needle.before, 0), at + _WINDOW)
        whole = match[0].translate(bytes.maketrans(b"-_", b"+/")) if match else b""
        text = base64.b64decode(whole[: len(whole) // 4 * 4])
    mark = CONFIGURED if needle.mark == CONFIGURED else MINTED
    _, marked, rest = text.decode("latin-1").partition(mark)
    words = _NAME.match(rest) if marked else None
    return f"{mark}{words[0][:40] if words else ''}…"


def is_marked(value: str) -> bool:
    """Would it be found wherever it is written?"""
    return any(one.mark in {CONFIGURED, MINTED, OWN_KEY} for one in find(value.encode("utf-8", "surrogatepass")))


def digest(value: str) -> str:
    """For lists of values that are not to be repeated."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def note(kind: str, place: str, **facts: Any) -> None:
    """Write something down for the end of the run, whichever process we are; nothing outside such a run."""
    path = os.environ.get(NOTES)
    if path:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        line = json.dumps({"kind": kind, "place": place, "test": test, **facts}) + "\n"
        # One write in append mode: many processes share the file, and any of them may be killed.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def note_finds(place: str, data: bytes, but: frozenset[str] = frozenset()) -> None:
    """Search ``data`` and write down what is in it; those with the marks ``but`` may be there."""
    for one in find(data):
        if one.mark not in but:
            note("find", place, offset=one.offset, mark=one.mark, name=one.name, form=one.form)


def read_notes(path: Path) -> Iterator[dict[str, Any]]:
    """What was written down; a process may have been killed in the middle of a line."""
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.endswith("}"):
                yield json.loads(line)
