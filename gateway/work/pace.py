"""How fast a channel may send: token buckets, pauses after a refusal, and how many calls at once. Time comes in as seconds."""

from typing import Final

#: How many buckets (chats) are remembered per channel; the fullest ones are dropped first, as they hold nothing back.
MOST_BUCKETS: Final = 10_000


class Bucket:
    """Calls per second, smoothed; 0 means no limit."""

    __slots__ = ("_blocked_until", "_free_at", "_interval")

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate if rate > 0 else 0.0
        self._free_at = 0.0
        self._blocked_until = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next call may go; 0 if it may go now."""
        return max(0.0, self._free_at - now, self._blocked_until - now)

    def take(self, now: float) -> None:
        """A call goes now."""
        self._free_at = max(self._free_at, now) + self._interval

    def block(self, until: float) -> None:
        """The provider wants no calls before ``until``."""
        self._blocked_until = max(self._blocked_until, until)


class Pace:
    """One channel's speed and health."""

    def __init__(self, *, rate: float, bucket_rate: float, concurrency: int) -> None:
        self._whole = Bucket(rate)
        self._bucket_rate = bucket_rate
        self._buckets: dict[str, Bucket] = {}
        self._concurrency = concurrency
        self._paused_until = 0.0
        self._probing = False
        #: Items under way.
        self.under_way = 0

    def free(self, now: float) -> int:
        """How many more items may be begun now."""
        if now < self._paused_until:
            return 0
        limit = 1 if self._probing else self._concurrency
        return max(0, limit - self.under_way)

    @property
    def ailing(self) -> bool:
        """Paused, or not yet proved to work again."""
        return self._probing

    def pause(self, until: float) -> None:
        """Stop until then; after it one item at a time goes as a probe, until one succeeds."""
        self._paused_until = until
        self._probing = True

    def recover(self) -> None:
        """A call succeeded."""
        self._paused_until = 0.0
        self._probing = False

    def delay(self, bucket: str, now: float) -> float:
        """Seconds until a call for ``bucket`` may go."""
        return max(self._whole.delay(now), self._of(bucket).delay(now) if bucket else 0.0)

    def take(self, bucket: str, now: float) -> None:
        """A call for ``bucket`` goes now."""
        self._whole.take(now)
        if bucket:
            self._of(bucket).take(now)

    def block(self, bucket: str, until: float) -> None:
        """The provider asked to wait: the bucket if there is one, else the whole channel."""
        (self._of(bucket) if bucket else self._whole).block(until)

    def forget_idle(self, now: float) -> None:
        """Drop the buckets that hold nothing back, once there are many."""
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if bucket.delay(now) > 0}

    def _of(self, bucket: str) -> Bucket:
        return self._buckets.setdefault(bucket, Bucket(self._bucket_rate))
