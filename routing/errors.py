"""Why a command was refused. Nothing was changed.

Refused
├── Unknown       no such thing, or not the actor's to see: one answer for both
├── Forbidden     seen, but not theirs to change
├── NotNow        the thing's state does not allow it; says what would
│   └── WindowClosed  the time for such a reply is over; says what may still be sent
├── Stale         something newer has happened than the actor had seen
└── Invalid       the command itself makes no sense; names the field
"""

from datetime import datetime


class Refused(Exception):
    """Base of all refusals. ``code`` is stable for programs, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unknown(Refused):
    """No such thing, or not the actor's to see."""


class Forbidden(Refused):
    """Seen, but not theirs to change."""


class NotNow(Refused):
    """The thing's state does not allow it."""


class WindowClosed(NotNow):
    """The channel's time for such a reply is over."""

    def __init__(self, message: str, closed_at: datetime | None, sends: frozenset[str]) -> None:
        super().__init__("window_closed", message)
        #: When it closed; None if it was never open.
        self.closed_at = closed_at
        #: Part types that may still be sent; empty: none.
        self.sends = sends


class Stale(Refused):
    """Something newer has happened than the actor had seen."""


class Invalid(Refused):
    """The command makes no sense; ``field`` names the culprit."""

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(code, message)
        self.field = field
