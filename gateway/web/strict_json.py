"""JSON from people we do not know: one document, no double keys, no depth bombs, no NaN, no half characters.

Errors name the place as a JSON path: ``$.parts[0].text``. NUL becomes U+FFFD, because not every database can keep it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

#: Deepest nesting of lists and objects.
MAX_DEPTH: Final = 32
#: Integers beyond this lose digits in JavaScript.
MAX_INT: Final = 2**53
_INT_CHARS: Final = 17
_REPLACEMENT: Final = "\ufffd"
_FIRST_SURROGATE: Final = "\ud800"
_LAST_SURROGATE: Final = "\udfff"


class BadJson(ValueError):
    """The document cannot be accepted. ``path`` says where, the message says why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as written, doubles included."""


class _Refused:
    """A value that must not be converted; replaced by an error with its path later."""

    def __init__(self, why: str) -> None:
        self.why = why


def decode(data: bytes, type_: type[T]) -> T:
    """Decode one document into ``type_``. Raises BadJson."""
    return convert(load(data), type_)


def convert(value: Any, type_: type[T], *, strict: bool = True) -> T:
    """Plain values into ``type_``. Raises BadJson with the path that msgspec names."""
    try:
        return msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at `")
        raise BadJson(path.rstrip("`") or "$", why) from None


def load(data: bytes) -> Any:
    """Decode one document into plain values. Raises BadJson."""
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise BadJson("$", f"not UTF-8 at byte {error.start}") from None
    _check_depth(text)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=lambda name: _Refused(f"{name} is not JSON"),
        )
    except json.JSONDecodeError as error:
        raise BadJson("$", f"not JSON: {error.msg} at character {error.pos}") from None
    return _plain(document, "$")


def _check_depth(text: str) -> None:
    """Refuse deep nesting before any recursive parser sees it."""
    depth = 0
    for char in _structure(text):
        if char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadJson("$", f"nested deeper than {MAX_DEPTH} levels")
        else:
            depth -= 1


def _structure(text: str) -> Iterator[str]:
    """The brackets and braces outside strings."""
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[]{}":
            yield char


def _integer(digits: str) -> int | _Refused:
    if len(digits) > _INT_CHARS or abs(int(digits)) > MAX_INT:
        return _Refused("the number is beyond ±2^53")
    return int(digits)


def _number(digits: str) -> float | _Refused:
    value = float(digits)
    return value if abs(value) < 1e300 else _Refused("the number is too large")


def _plain(value: Any, path: str) -> Any:
    match value:
        case _Refused():
            raise BadJson(path, value.why)
        case str():
            return clean(value, path)
        case _Pairs():
            return _object(value, path)
        case list():
            return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case _:
            return value


def _object(pairs: _Pairs, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for raw_key, value in pairs:
        key = clean(raw_key, path)
        if key in found:
            raise BadJson(f"{path}.{key[:64]}", "the key occurs twice")
        found[key] = _plain(value, f"{path}.{key[:64]}")
    return found


def clean(text: str, path: str) -> str:
    """``text`` without NUL. Raises BadJson for half characters."""
    if any(_FIRST_SURROGATE <= char <= _LAST_SURROGATE for char in text):
        raise BadJson(path, "half of a character pair (a lone surrogate)")
    return text.replace("\x00", _REPLACEMENT)
