"""Between Python values and columns: times as microseconds, nested values as JSON."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from connectors.content import AnyPart
from storage.errors import StorageError
from storage.record import Candidate

#: A row as the driver gives it; the tables are STRICT, so each column has the type that the schema says.
Row = tuple[Any, ...]
#: What a statement can be given.
Value = None | int | float | bytes | str
T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

#: What to say of a Python string that is not quite text.
HALF_SURROGATE: Final = "a text contains half a surrogate pair, which no UTF-8 can carry; replace it with U+FFFD before it is stored"

_encoder: Final = msgspec.json.Encoder()
decode_parts: Final = msgspec.json.Decoder(tuple[AnyPart, ...]).decode
decode_reactions: Final = msgspec.json.Decoder(dict[str, tuple[str, ...]]).decode
decode_candidates: Final = msgspec.json.Decoder(tuple[Candidate, ...]).decode
decode_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode


def encode(value: object) -> bytes:
    """JSON. Raises StorageError for text that no UTF-8 can carry."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise StorageError(HALF_SURROGATE) from error


def micros(at: datetime) -> int:
    """Microseconds since 1970. Raises StorageError for a time without a zone: nobody could say when it was."""
    if at.tzinfo is None:
        raise StorageError(f"the time {at.isoformat()} has no time zone; times are kept in UTC")
    return (at - _EPOCH) // _MICROSECOND


def micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def instant(value: int) -> datetime:
    """The inverse of :func:`micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def instant_or_none(value: int | None) -> datetime | None:
    return None if value is None else instant(value)


def build(make: Callable[[Row], T], row: Row | None) -> T | None:
    """Make a value of a row, if there is one."""
    return None if row is None else make(row)


def marks(values: Sequence[object]) -> str:
    """As many question marks as there are values, for an IN list."""
    return ",".join("?" * len(values))
