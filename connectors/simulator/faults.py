"""What goes wrong on demand."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

#: kind -> what happens. ``lost``, ``twice`` and ``shuffled`` are about webhooks (``on`` = ``webhook``), the others about calls.
KINDS: Final = {
    "throttled": "the provider's answer to too many calls, with `seconds` where it says when to come back",
    "error": "the provider's own error `code`; nothing was done",
    "500": "the provider's 500 with its error body; nothing was done",
    "hang": "no answer for `seconds`, then the connection is closed; nothing was done",
    "reset_after": "the call is carried out, and the connection is reset without an answer",
    "garbage": "the call is carried out, and the answer is 200 with HTML",
    "later": "the call is taken, and a status with the error `code` follows",
    "lost": "a webhook is not posted at all",
    "twice": "a webhook is posted twice",
    "shuffled": "the next `count` webhooks are posted in reverse order",
}


@dataclass(slots=True, kw_only=True)
class Fault:
    """``count`` calls of ``on`` (empty: of any sending; ``webhook``: of our own calls) go wrong."""

    kind: str
    on: str = ""
    count: int = 1
    seconds: float = 1.0
    #: The provider's error code, for ``error`` and ``later``.
    code: int = 0


class Faults:
    """The faults that are still due, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._due: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Lets it go wrong ``fault.count`` times."""
        self._due.append(fault)

    def clear(self) -> None:
        """All is well again."""
        self._due.clear()

    def take(self, what: str, *, sending: bool = False) -> Fault | None:
        """The fault for ``what`` if one is due; uses it up. ``sending``: also those for any sending."""
        for fault in self._due:
            if fault.on == what or (sending and not fault.on):
                fault.count -= 1
                if fault.count <= 0:
                    self._due.remove(fault)
                return fault
        return None

    def due(self) -> list[Fault]:
        """What is still to come."""
        return list(self._due)


def cut(request: web.Request) -> web.StreamResponse:
    """Resets the connection of a call; return its result from the handler."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
