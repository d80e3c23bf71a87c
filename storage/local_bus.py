"""The bus of an installation with one process: everything is within reach already."""

from collections.abc import Callable, Sequence
from time import monotonic

from storage.bucket import Buckets
from storage.bus import Hear
from storage.record import Recorded
from storage.told import Ears


class LocalBus:
    """See ``storage.bus``. Nothing is mirrored, as the database is near. Buckets and presence are kept in memory, and bounded."""

    def __init__(self, *, buckets: int = 10_000, members: int = 100_000, clock: Callable[[], float] = monotonic) -> None:
        self._ears = Ears()
        self._buckets = Buckets(buckets, clock)
        self._most = members
        self._clock = clock
        #: (group, member) -> until when.
        self._there: dict[tuple[str, str], float] = {}

    @property
    def state(self) -> str:
        return ""

    def follow(self, log: str) -> None:
        """Nothing to tell apart: there is no mirror."""

    def tell(self, topic: str, data: bytes) -> None:
        self._ears.tell(topic, data)

    def hear(self, topic: str, hear: Hear) -> Callable[[], None]:
        return self._ears.hear(topic, hear)

    async def mirror(self, events: Sequence[Recorded]) -> None:
        """Nothing to do."""

    async def mirrored(self) -> int:
        return 0

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:  # noqa: ARG002  # as the protocol has it
        return []

    async def reset(self) -> None:
        """Nothing to do."""

    async def take(self, bucket: str, rate: float, burst: float = 1.0) -> float:
        return self._buckets.take(bucket, rate, burst)

    async def block(self, bucket: str, seconds: float) -> None:
        self._buckets.block(bucket, seconds)

    async def arrive(self, group: str, member: str, ttl: float) -> None:
        self._there.pop((group, member), None)
        if len(self._there) >= self._most:
            self._forget()
        self._there[group, member] = self._clock() + ttl

    async def leave(self, group: str, member: str) -> None:
        self._there.pop((group, member), None)

    async def present(self, group: str) -> frozenset[str] | None:
        now = self._clock()
        return frozenset(member for (of, member), until in self._there.items() if of == group and until > now)

    async def close(self) -> None:
        """Nothing to do."""

    def _forget(self) -> None:
        """Those whose time is over; if that is not enough, those who came first."""
        now = self._clock()
        self._there = {key: until for key, until in self._there.items() if until > now}
        while len(self._there) >= self._most:
            del self._there[next(iter(self._there))]
