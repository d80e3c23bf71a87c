"""Counting attempts, in bounded memory: who fails often waits longer and longer."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_LONGEST: Final = timedelta(minutes=15)
_MOST_DOUBLINGS: Final = 16


@dataclass(slots=True)
class _Record:
    count: int
    last: datetime


class Throttle:
    """Free for ``free`` attempts; after that each one doubles the wait, from 1 second to 15 minutes. Quiet for ``forget``: a new start."""

    def __init__(self, clock: Callable[[], datetime], *, free: int, forget: timedelta = timedelta(minutes=15), most: int = 10_000) -> None:
        self._clock = clock
        self._free = free
        self._forget = forget
        self._most = most
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, keys: Iterable[str]) -> float:
        """Seconds until the next attempt is allowed for all of ``keys``; 0 if now."""
        return max((self._wait(key) for key in keys), default=0.0)

    def count(self, keys: Iterable[str]) -> None:
        """Note one attempt for each of ``keys``."""
        now = self._clock()
        for key in keys:
            record = self._records.pop(key, None)
            if record is None or now - record.last > self._forget:
                record = _Record(0, now)
            record.count += 1
            record.last = now
            self._records[key] = record
        while len(self._records) > self._most:
            self._records.popitem(last=False)

    def clear(self, key: str) -> None:
        """Forget one key, after a success."""
        self._records.pop(key, None)

    def _wait(self, key: str) -> float:
        record = self._records.get(key)
        if record is None or record.count < self._free:
            return 0.0
        pause = min(timedelta(seconds=2 ** min(record.count - self._free, _MOST_DOUBLINGS)), _LONGEST)
        now = self._clock()
        # A clock that was put back must not lock anybody out for as long as it was wrong.
        record.last = min(record.last, now)
        return max(0.0, (record.last + pause - now).total_seconds())


class Rates:
    """A token bucket for each of many, in bounded memory: who has been quiet the longest is forgotten first, with a full bucket."""

    def __init__(self, per_second: float, burst: float, most: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._rates: OrderedDict[str, Rate] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """One more for ``key``? False when there were too many."""
        rate = self._rates.pop(key, None) or Rate(self._per_second, self._burst, now)
        self._rates[key] = rate
        while len(self._rates) > self._most:
            self._rates.popitem(last=False)
        return rate.take(now)


class Rate:
    """A token bucket for one connection: ``burst`` at once, ``per_second`` in the long run. Time is given, in seconds."""

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, now: float) -> bool:
        """One more? False when there were too many."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
