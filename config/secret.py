"""A value that may be used but not shown."""

import hmac
from typing import Final

MASK: Final = "********"


class Secret:
    """A credential. ``reveal()`` is the only way to its value; print, repr, format and JSON give a mask."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one line that hands it to a provider."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Constant-time comparison over bytes: a non-ASCII candidate is wrong, not an exception."""
        return hmac.compare_digest(self._value.encode(), candidate.encode("utf-8", "surrogateescape"))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK
