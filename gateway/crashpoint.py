"""Named places where a test can have the process killed, to prove that nothing is lost there."""

import os
import signal
from collections.abc import Callable, Mapping

#: ``<name>:<n>``: die at the n-th pass of the named point, as by ``kill -9``.
VARIABLE = "SPORTELLO_CRASH_AT"


class CrashPoints:
    """Does nothing unless told otherwise at start."""

    def __init__(self, name: str = "", passes: int = 0, die: Callable[[], None] | None = None) -> None:
        self._name = name
        self._left = passes
        self._die = die or _kill_myself

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "CrashPoints":
        """Read ``SPORTELLO_CRASH_AT`` once. Raises ValueError if it is not ``name:number``."""
        text = environment.get(VARIABLE, "")
        if not text:
            return cls()
        name, _, number = text.partition(":")
        if not name or not number.isdecimal() or int(number) < 1:
            raise ValueError(f"{VARIABLE} must be <name>:<number from 1>, not {text!r}")
        return cls(name, int(number))

    def reach(self, name: str) -> None:
        """Pass the point ``name``."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            self._die()


def _kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
