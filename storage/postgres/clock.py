"""How far the server's clock is ahead of ours. Pure.

Each question narrows it down: the answer was made after we asked and before we had it. What is known wears out, as clocks drift.
"""

from typing import Final

#: Microseconds of drift in a second that are reckoned with; clocks that are kept right drift less.
_DRIFT: Final = 20e-6
#: An answer as good as this needs no other, and so many are asked for at most.
GOOD_ENOUGH: Final = 2_000
MOST_QUESTIONS: Final = 20


class ServerClock:
    """All in microseconds since 1970."""

    def __init__(self) -> None:
        self._least = 0
        self._most = 0
        self._at = 0

    def learn(self, asked: int, clock: int, answered: int) -> None:
        """The server said ``clock`` between our times ``asked`` and ``answered``."""
        worn = int(abs(answered - self._at) * _DRIFT)
        least, most = max(self._least - worn, clock - answered), min(self._most + worn, clock - asked)
        if least > most:
            # Another server, or a clock that was set.
            least, most = clock - answered, clock - asked
        self._least, self._most, self._at = least, most, answered

    @property
    def ahead(self) -> int:
        """The best guess."""
        return (self._least + self._most) // 2

    @property
    def unsure(self) -> int:
        """Within how much the truth lies."""
        return self._most - self._least
