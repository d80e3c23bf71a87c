"""The bus over Redis or Valkey."""

from collections.abc import Callable, Sequence

from storage.bucket import MICROSECONDS, Buckets
from storage.bus import Hear
from storage.record import Recorded
from storage.redis_bus.address import Address
from storage.redis_bus.line import Line
from storage.redis_bus.mirror import Mirror
from storage.redis_bus.scripts import ARRIVE, BLOCK, LEAVE, PRESENT, TAKE
from storage.redis_bus.talk import Talk


class RedisBus:
    """See ``storage.bus``. Each call takes one time-out at most, once; while the servers are away it takes no time."""

    def __init__(self, address: Address) -> None:
        self._prefix = address.prefix
        self._line = Line(address)
        self._mirror = Mirror(self._line, address)
        self._talk = Talk(self._line, address)
        # While Redis is away; and blocks are kept here too, so that they outlive it.
        self._buckets = Buckets()

    async def start(self) -> None:
        """Connect; returns after two time-outs at most, also if nobody is there."""
        await self._line.start()
        await self._talk.start()

    @property
    def state(self) -> str:
        if self._line.trouble:
            return f"Redis is away ({self._line.trouble}): events come from the database, rates are kept per node"
        return self._talk.trouble and f"Redis is half away ({self._talk.trouble})"

    def follow(self, log: str) -> None:
        self._mirror.log = log

    def tell(self, topic: str, data: bytes) -> None:
        self._talk.tell(topic, data)

    def hear(self, topic: str, hear: Hear) -> Callable[[], None]:
        return self._talk.hear(topic, hear)

    async def mirror(self, events: Sequence[Recorded]) -> None:
        await self._mirror.copy(events)

    async def mirrored(self) -> int:
        return await self._mirror.end()

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        return await self._mirror.read(partition, after, limit)

    async def reset(self) -> None:
        await self._mirror.drop()

    async def take(self, bucket: str, rate: float, burst: float = 1.0) -> float:
        closed = self._buckets.closed(bucket)
        if closed > 0:
            return closed
        reply = await self._line.ask(lambda servers: servers.call(TAKE, self._bucket(bucket), rate, burst), otherwise=None)
        if not isinstance(reply, bytes):
            return self._buckets.take(bucket, rate, burst)
        return int(reply) / MICROSECONDS

    async def block(self, bucket: str, seconds: float) -> None:
        self._buckets.block(bucket, seconds)
        micros = round(seconds * MICROSECONDS)
        await self._line.ask(lambda servers: servers.call(BLOCK, self._bucket(bucket), micros), otherwise=None)

    async def arrive(self, group: str, member: str, ttl: float) -> None:
        micros = round(ttl * MICROSECONDS)
        await self._line.ask(lambda servers: servers.call(ARRIVE, self._group(group), member, micros), otherwise=None)

    async def leave(self, group: str, member: str) -> None:
        await self._line.ask(lambda servers: servers.call(LEAVE, self._group(group), member), otherwise=None)

    async def present(self, group: str) -> frozenset[str] | None:
        reply = await self._line.ask(lambda servers: servers.call(PRESENT, self._group(group)), otherwise=None)
        return frozenset(member.decode() for member in reply) if isinstance(reply, list) else None

    async def close(self) -> None:
        await self._talk.close()
        await self._line.close()

    def _bucket(self, name: str) -> str:
        return f"{self._prefix}:rate:{name}"

    def _group(self, name: str) -> str:
        return f"{self._prefix}:here:{name}"
