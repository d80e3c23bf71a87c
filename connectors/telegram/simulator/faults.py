"""What goes wrong on demand."""

from dataclasses import dataclass
from typing import Any, Final

#: kind -> what happens. The first three are before the call has an effect, the next two after.
KINDS: Final = {
    "retry_after": "429 with retry_after = seconds",
    "500": "500 with Telegram's error body",
    "hang": "no answer for `seconds`, then the connection is closed; nothing was done",
    "reset_after": "the call is carried out, and the connection is reset without an answer",
    "garbage": "the call is carried out, and the answer is 200 with HTML",
    "file_refused": "the file is refused as no picture; of an album the second one, and the others arrive",
}


@dataclass(slots=True)
class Fault:
    """``count`` calls of ``method`` (empty: of any sending) go wrong."""

    kind: str
    method: str
    count: int
    seconds: float


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

    def take(self, method: str) -> Fault | None:
        """The fault for this call, if one is due; uses it up."""
        for fault in self._due:
            if fault.method == method or (not fault.method and method.startswith("send")):
                fault.count -= 1
                if fault.count <= 0:
                    self._due.remove(fault)
                return fault
        return None

    def view(self) -> list[dict[str, Any]]:
        """What is still due."""
        return [{"kind": item.kind, "method": item.method, "count": item.count, "seconds": item.seconds} for item in self._due]
