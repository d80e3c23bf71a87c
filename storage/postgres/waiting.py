"""Who waits for events, and how they hear of them: from this process at once, from others by the bus, else by looking."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from storage.bus import Bus
from storage.errors import StorageError
from storage.postgres.reader import Pool
from storage.protocol import WHOLE
from storage.told import HEAD, MIRRORED, decode_heads

#: How often the database is looked at while somebody waits: for all waiters of this process together.
POLL_SECONDS: Final = 0.2


class Waiting:
    """The newest known positions, and the futures of those who wait for newer ones."""

    def __init__(self, readers: Pool, bus: Bus | None) -> None:
        self._readers = readers
        self._heads: dict[int, int] = {}
        self._waiters: dict[asyncio.Future[None], tuple[int, int]] = {}
        self._poller: asyncio.Task[None] | None = None
        #: Where the mirror ends, as far as is known.
        self._mirrored: dict[int, int] = {}
        self._deaf: list[Callable[[], None]] = []
        if bus is not None:
            self._deaf = [bus.hear(HEAD, self._hear_head), bus.hear(MIRRORED, self._hear_mirrored)]

    async def wait(self, partition: int, after: int, seconds: float) -> None:
        if _newest(self._heads, partition) > after:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = (partition, after)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="postgres-poller")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            self._waiters.pop(waiter, None)

    def learn(self, heads: Mapping[int, int]) -> None:
        """There are events up to these positions."""
        for partition, pos in heads.items():
            self._heads[partition] = max(pos, self._heads.get(partition, 0))
        self._wake()

    async def close(self) -> None:
        for end in self._deaf:
            end()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])
        self._wake(everyone=True)

    async def _poll(self) -> None:
        """Look as long as anybody waits."""
        while self._waiters:
            with suppress(StorageError):
                self.learn(await self._readers.view(lambda tx: tx.stream.heads()))
            await asyncio.sleep(POLL_SECONDS)
        self._poller = None

    def mirrored(self, partition: int) -> int:
        """Where the mirror of a partition, or of all, ends for certain."""
        return _newest(self._mirrored, partition)

    def _wake(self, *, everyone: bool = False) -> None:
        for waiter, (partition, after) in self._waiters.items():
            if not waiter.done() and (everyone or _newest(self._heads, partition) > after):
                waiter.set_result(None)

    def _hear_head(self, data: bytes) -> None:
        self.learn(decode_heads(data))

    def _hear_mirrored(self, data: bytes) -> None:
        heads = decode_heads(data)
        # Not the furthest ever heard of: a mirror may be dropped and filled again.
        self._mirrored |= heads
        self.learn(heads)


def _newest(heads: Mapping[int, int], partition: int) -> int:
    return max(heads.values(), default=0) if partition == WHOLE else heads.get(partition, 0)
