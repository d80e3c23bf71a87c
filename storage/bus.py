"""What the nodes of one installation tell each other. It makes things quick, never right: all of it may be lost at any time.

Two kinds: :class:`LocalBus`, within one process; ``storage.redis_bus``, over Redis or Valkey. No method raises because a server
is away: then readers read the database, waiters look at it now and then, and rates are kept per node.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from storage.record import Recorded

#: Called in the event loop with what was told.
Hear = Callable[[bytes], None]


class Bus(Protocol):
    """See the module. Topics and names are short ASCII words."""

    @property
    def state(self) -> str:
        """Empty when all is well (or there is nothing that could be unwell), else what is wrong, for people."""

    def follow(self, log: str) -> None:
        """Which log is mirrored and read from now on: a name that a restored database does not share with what it was before.

        What was mirrored of a log with another name is never read; the next :meth:`mirror` removes it.
        """

    def tell(self, topic: str, data: bytes) -> None:
        """Tell all nodes, this one included, soon and at most once."""

    def hear(self, topic: str, hear: Hear) -> Callable[[], None]:
        """Call ``hear`` with all that is told from now on; the result ends it."""

    async def mirror(self, events: Sequence[Recorded]) -> None:
        """Copy events, in the order of ``pos`` and without holes between them, to where :meth:`read` finds them. Twice is no harm."""

    async def mirrored(self) -> int:
        """Where the mirror ends: the newest ``pos`` that was copied; 0 if it is empty or out of reach."""

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        """What follows ``after`` without a hole (checked by ``prev_pos``; for ``WHOLE`` by ``pos``); empty: ask the database."""

    async def reset(self) -> None:
        """Drop the mirror: it is filled again from the database."""

    async def take(self, bucket: str, rate: float, burst: float = 1.0) -> float:
        """Take one from a bucket that gains ``rate`` per second up to ``burst``: 0, or the seconds to wait (then nothing was taken)."""

    async def block(self, bucket: str, seconds: float) -> None:
        """Nobody may take from the bucket for so long: the provider said so."""

    async def arrive(self, group: str, member: str, ttl: float) -> None:
        """``member`` is there for ``ttl`` seconds from now."""

    async def leave(self, group: str, member: str) -> None:
        """Not any more."""

    async def present(self, group: str) -> frozenset[str] | None:
        """Who is there, on whatever node; None if that cannot be known now."""

    async def close(self) -> None: ...
