"""A circuit breaker: a provider that does not answer is left alone for a while, then asked with one call. Pure; times are seconds."""

from collections.abc import Callable
from random import uniform
from typing import Final

#: So many calls in a row that the provider did not take open it.
FAILURES: Final = 5
FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0


def about(seconds: float) -> float:
    """A little more or less, so that many nodes do not come back in step."""
    return uniform(0.8, 1.2) * seconds  # noqa: S311 - no secret


class Breaker:
    """Closed: all may call. Open: nobody. Half open, once its pause is over: one at a time, until a call goes through."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        first: float = FIRST_PAUSE,
        longest: float = LONGEST_PAUSE,
        spread: Callable[[float], float] = about,
    ) -> None:
        self._most = failures
        self._first = first
        self._longest = longest
        self._spread = spread
        self._failures = 0
        self._pause = first
        #: None while it is closed.
        self._until: float | None = None

    @property
    def closed(self) -> bool:
        """All is well, as far as we know."""
        return self._until is None

    def allows(self, now: float, usual: int) -> int:
        """How many calls may be under way: ``usual``, one, or none."""
        if self._until is None:
            return usual
        return 1 if now >= self._until else 0

    def failed(self, now: float) -> bool:
        """A call did not get through. True if that opened a closed breaker."""
        self._failures += 1
        if self._until is None and self._failures < self._most:
            return False
        # What was under way when it opened says nothing new: only the call that was let through makes the next pause longer.
        if self._until is not None and now < self._until:
            return False
        fresh = self._until is None
        self._until = now + self._spread(self._pause)
        self._pause = min(self._pause * 2, self._longest)
        return fresh

    def succeeded(self) -> bool:
        """The provider answered, whatever it said. True if that closed an open breaker."""
        reopened = self._until is not None
        self._failures, self._pause, self._until = 0, self._first, None
        return reopened
