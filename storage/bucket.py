"""Rates: a token bucket as one number, so that a script in Redis and a dictionary here count alike.

What is kept is when the next token would be due if they came one by one at the bucket's rate. A full bucket has that time in the
past; each token taken moves it on by one interval; it may run ahead of now by ``burst - 1`` intervals. ``storage.redis_bus.scripts``
has the same lines in Lua. Times are whole microseconds of one clock.
"""

from collections.abc import Callable
from time import monotonic
from typing import Final

from msgspec import Struct

MICROSECONDS: Final = 1_000_000


class Bucket(Struct, frozen=True):
    """The default is a full one."""

    #: When the next token would be due.
    due: int = 0
    #: Until when nobody may take any.
    closed: int = 0


def take(bucket: Bucket, now: int, rate: float, burst: float) -> tuple[Bucket, int]:
    """The bucket afterwards, and the microseconds to wait (0: one was taken).

    ``rate`` is per second, 0 or less is no limit; a ``burst`` below 1 counts as 1, else nobody could ever take.
    """
    wait = max(0, bucket.closed - now)
    if rate <= 0:
        return bucket, wait
    interval = MICROSECONDS / rate
    ahead = (max(1.0, burst) - 1) * interval
    # Nobody honest is further ahead than a whole burst: a clock that went back must not close the bucket for long.
    due = min(max(bucket.due, now), now + ahead + interval)
    wait = max(wait, round(due - ahead - now))
    if wait > 0:
        return bucket, wait
    return Bucket(due=round(due + interval), closed=bucket.closed), 0


class Buckets:
    """Buckets of this process, at most ``most``: full ones are forgotten first (a new one is full too), then the oldest."""

    def __init__(self, most: int = 10_000, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._kept: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, name: str, rate: float, burst: float) -> float:
        """0, or the seconds to wait."""
        bucket, wait = take(self._kept.get(name, Bucket()), self._now(), rate, burst)
        if wait == 0 and rate > 0:
            self._keep(name, bucket)
        return wait / MICROSECONDS

    def block(self, name: str, seconds: float) -> None:
        """Close it for so long; what was longer stays."""
        bucket = self._kept.get(name, Bucket())
        self._keep(name, Bucket(due=bucket.due, closed=max(bucket.closed, self._now() + round(seconds * MICROSECONDS))))

    def closed(self, name: str) -> float:
        """Seconds until a block ends; 0 if there is none."""
        bucket = self._kept.get(name)
        return 0.0 if bucket is None else max(0, bucket.closed - self._now()) / MICROSECONDS

    def _now(self) -> int:
        return round(self._clock() * MICROSECONDS)

    def _keep(self, name: str, bucket: Bucket) -> None:
        if name not in self._kept and len(self._kept) >= self._most:
            now = self._now()
            self._kept = {name: kept for name, kept in self._kept.items() if max(kept.due, kept.closed) > now}
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
        self._kept[name] = bucket
