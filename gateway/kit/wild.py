"""Bodies that no provider sends, made from those that it does send. The same every time."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

_SEED: Final = 4711
#: What stands in the place of a value.
WRONG: Final[tuple[Any, ...]] = (
    None,
    True,
    5,
    -1,
    1e308,
    2**63,
    2**80,
    "",
    "x",
    "\0",
    "\ud800",
    [],
    {},
    [[]],
    ["x"],
    {"$gt": ""},
    "9" * 400,
)
_TIMES: Final = 40
DEEP: Final = 100_000


def hostile(body: bytes) -> Iterator[bytes]:
    """What breaks parsers, whatever the body."""
    yield from (b"", b" ", b"null", b"[]", b"{}", b'""', b"0", b"true", b"[{}]", b"[null]", b"{'a': 1}", b"a=1&a=2", b"=&&=%", b"%ff=%ff")
    yield from (b"\xff\xfe", b"\xef\xbb\xbf" + body, body + b"x", body + body, b"\0" + body, body.replace(b"e", b"\xff"), b"<html>" + body)
    yield from (b"NaN", b"1e400", b"9" * 5000, b"\xed\xa0\x80", body.decode("utf-8", "replace").encode("utf-16"))
    yield from (b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP)


def broken(body: bytes) -> Iterator[bytes]:
    """Cut off, and with a few bytes changed, lost, doubled."""
    random = Random(_SEED + len(body))  # noqa: S311  it only has to be the same every time
    for index in range(0, len(body), max(1, len(body) // 20)):
        yield body[:index]
    for _ in range(_TIMES if body else 0):
        where = random.randrange(len(body))
        yield body[:where] + bytes([random.choice((0x00, 0x22, 0x2D, 0x39, 0x5C, 0x7B, 0x80, 0xFF))]) + body[where + 1 :]
        size = random.randrange(1, 12)
        yield body[:where] + body[where + size :]
        yield body[: where + size] + body[where:]


def confused(body: bytes) -> Iterator[bytes]:
    """Of another type in one place; or with one place missing."""
    random = Random(_SEED)  # noqa: S311
    document = as_json(body)
    if document is not None:
        for path in list(_places(document)):
            yield _dumped(_with(document, path, _gone))
            yield from (_dumped(_with(document, path, partial(_replaced, wrong))) for wrong in random.sample(WRONG, 5))
    elif (fields := as_form(body)) is not None:
        for index, (name, _) in enumerate(fields):
            yield urlencode(fields[:index] + fields[index + 1 :]).encode()
            for wrong in ("", "\0", "x", "-1", "9" * 40, "{", "é\ufffd"):
                yield urlencode([*fields[:index], (name, wrong), *fields[index + 1 :]]).encode()
    elif (lines := as_headers(body)) is not None:
        for index, line in enumerate(lines[:-1]):
            yield b"".join([*lines[:index], *lines[index + 1 :]])
            for wrong_value in (b"", b"\0", b"\xff", b"<", b"=?utf-8?B?/w?=", b";=;", b"9" * 400):
                yield b"".join([*lines[:index], line.partition(b":")[0] + b": " + wrong_value + b"\r\n", *lines[index + 1 :]])


def huge(body: bytes, size: int) -> Iterator[bytes]:
    """About ``size`` bytes: one text of that length, and a list of as many small things."""
    document = as_json(body)
    if document is not None:
        before = _dumped(document)[:-1] + b', "kit": ' if isinstance(document, dict) and document else b'{"kit": '
        yield before + b'"' + b"x" * size + b'"}'
        yield before + b"[" + b'{"a": 1},' * (size // 9) + b"1]}"
        return
    yield body + b"x" * size
    yield body + b"\nx: y" * (size // 5)


def extended(body: bytes) -> bytes | None:
    """With fields that nobody knows, at every level; None if the body is of no kind that has fields."""
    document = as_json(body)
    if document is not None:
        return _dumped(_extended(document)) if isinstance(document, dict | list) else None
    if (fields := as_form(body)) is not None:
        return urlencode([("KitExtra", "é"), *fields, ("zz_kit", "{}")]).encode()
    head, blank, rest = body.partition(b"\r\n\r\n") if b"\r\n\r\n" in body else body.partition(b"\n\n")
    if blank and b":" in head.partition(b"\n")[0]:
        return head + blank[: len(blank) // 2] + b"X-Kit-Extra: yes" + blank + rest
    return None


def unknown_kinds(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Each thing that says what kind something is, saying ``kit_unknown``; with the name of the field."""
    document = as_json(body)
    if document is not None:
        for path in _places(document):
            if path and isinstance(path[-1], str) and _says_kind(path[-1]) and isinstance(_at(document, path), str):
                yield path[-1], _dumped(_with(document, path, lambda _: "kit_unknown"))
    elif (fields := as_form(body)) is not None:
        for index, (name, _) in enumerate(fields):
            if _says_kind(name):
                yield name, urlencode([*fields[:index], (name, "kit_unknown"), *fields[index + 1 :]]).encode()
    elif (lines := as_headers(body)) is not None:
        for index, line in enumerate(lines[:-1]):
            name = line.partition(b":")[0].decode("latin-1")
            if _says_kind(name):
                yield name, b"".join([*lines[:index], name.encode("latin-1") + b": kit_unknown\r\n", *lines[index + 1 :]])


def as_json(body: bytes) -> Any:
    """The document; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def as_form(body: bytes) -> list[tuple[str, str]] | None:
    """The fields; None if it is no form."""
    text = body.decode("utf-8", "replace")
    if "=" not in text.partition("&")[0] or any(char in text for char in "{\n <"):
        return None
    return parse_qsl(text, keep_blank_values=True) or None


def as_headers(body: bytes) -> list[bytes] | None:
    """A mail's header fields, each with its folded lines, and last all the rest; None if it is no mail."""
    match = re.search(rb"\r?\n(?=\r?\n)", body)
    if match is None or b":" not in body.partition(b"\n")[0]:
        return None
    return [*re.split(rb"(?<=\n)(?![ \t])", body[: match.end()])[:-1], body[match.end() :]]


def _says_kind(name: str) -> bool:
    return name.lower().endswith(("type", "kind", "status", "event"))


Path = tuple[str | int, ...]


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


_GONE: Final = object()


def _replaced(by: Any, _: Any) -> Any:
    return by


def _gone(_: Any) -> Any:
    return _GONE


def _with(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy with one place changed, or without it."""
    if not path:
        return change(value)
    first, rest = path[0], path[1:]
    if isinstance(value, dict):
        made = {name: _with(inner, rest, change) if name == first else inner for name, inner in value.items()}
        return {name: inner for name, inner in made.items() if inner is not _GONE}
    made_list = [_with(inner, rest, change) if index == first else inner for index, inner in enumerate(value)]
    return [inner for inner in made_list if inner is not _GONE]


def _extended(value: Any) -> Any:
    if isinstance(value, list):
        return [_extended(inner) for inner in value]
    if isinstance(value, dict):
        return {"kit_extra": "é", **{name: _extended(inner) for name, inner in value.items()}, "zz_kit": {"a": [1, None, "x"]}}
    return value


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
