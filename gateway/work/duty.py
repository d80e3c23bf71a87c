"""Who does what when several nodes share the work: each duty has one owner at a time, by a lease in the database.

A duty is (consumer, partition). Every node says once a second that it runs; from the list of those who do, each computes alone,
by rendezvous hashing, which duties are its own, so that they spread evenly and few move when a node comes or goes. A duty is
taken only when nobody else has its lease. What a former owner may still try is refused by the lease's epoch, inside the
transaction; before a call that no transaction can take back, :meth:`Duties.epoch` tells whether the lease still counts here.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from storage.errors import StorageError
from storage.protocol import Duty, Store
from storage.record import Node

#: Seconds: a lease ends so long after its last renewal, by the database's clock; a node that died is replaced after it.
TTL: Final = 3.0
RENEW: Final = 1.0
#: Here a lease counts for less, so that a late call never meets the next owner's.
MARGIN: Final = 0.5


def wanted(node: Node, nodes: Sequence[Node], duties: Mapping[Duty, str]) -> frozenset[Duty]:
    """Those of ``duties`` (each with the role it needs) that fall to ``node`` among ``nodes``."""
    mine: set[Duty] = set()
    for duty, role in duties.items():
        able = [other.id for other in nodes if role in other.roles]
        if able and max(able, key=lambda name: _score(name, duty)) == node.id:
            mine.add(duty)
    return frozenset(mine)


def _score(name: str, duty: Duty) -> bytes:
    return hashlib.blake2b(f"{duty[0]}\0{duty[1]}\0{name}".encode(), digest_size=8).digest()


class Duties:
    """The duties of this node. ``keep`` runs for as long as the gateway does, also while its workers come to an end."""

    def __init__(self, store: Store, node: Node, duties: Mapping[Duty, str], *, ttl: float = TTL, renew: float = RENEW) -> None:
        self.node = node
        self._store = store
        self._duties = duties
        self._ttl = ttl
        self._renew = renew
        self._epochs: dict[Duty, int] = {}
        self._wanted: frozenset[Duty] = frozenset()
        self._valid_until = 0.0
        self._kept = False
        self._busy: Counter[Duty] = Counter()
        self._changed = asyncio.Event()
        self._log = structlog.get_logger("duty").bind(node=node.id)
        #: All nodes that run, as of the last look.
        self.nodes: list[Node] = [node]
        if not store.shared:
            self._epochs = {duty: 0 for duty, role in duties.items() if role in node.roles}
            self._wanted = frozenset(self._epochs)

    # --- what workers ask

    def epoch(self, duty: Duty) -> int | None:
        """By which epoch this node has the duty now; None if it has not, or can no longer be sure of it."""
        if self._store.shared and asyncio.get_running_loop().time() >= self._valid_until:
            return None
        return self._epochs.get(duty)

    def held(self, consumer: str) -> dict[int, int]:
        """Partitions (with epochs) for which new work may be begun."""
        mine = {duty: self.epoch(duty) for duty in self._wanted if duty[0] == consumer}
        return {partition: epoch for (_, partition), epoch in sorted(mine.items()) if epoch is not None}

    @contextlib.contextmanager
    def at_work(self, duty: Duty) -> Iterator[None]:
        """While inside, the duty is not handed on to another node that should have it; a node that dies hands on everything."""
        self._busy[duty] += 1
        try:
            yield
        finally:
            self._busy[duty] -= 1

    def counts(self) -> dict[str, int]:
        """How many duties of each kind this node has."""
        return dict(sorted(Counter(duty[0] for duty in self._epochs if self.epoch(duty) is not None).items()))

    async def present(self) -> list[Node]:
        """All nodes that run; without this one unless it keeps its duties. Raises StorageError."""
        if self._kept:
            return self.nodes
        return await self._store.beat(self.node, 0) if self._store.shared else []

    async def changed(self) -> None:
        """Wait until something was taken or lost."""
        await self._changed.wait()

    def only(self, duty: Duty, run: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """``run`` as a worker that runs while this node has the duty, is cancelled when it has not, and begins again."""

        async def guarded() -> None:
            while True:
                epoch = self.epoch(duty) if duty in self._wanted else None
                if epoch is None:
                    await self._look()
                    continue
                with self.at_work(duty):
                    await self._while_held(duty, epoch, run)

        return guarded

    async def _while_held(self, duty: Duty, epoch: int, run: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(run())
        watch = asyncio.ensure_future(self._until_lost(duty, epoch))
        try:
            await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            watch.cancel()
            await asyncio.wait({task, watch})
        if not task.cancelled():
            task.result()

    async def _until_lost(self, duty: Duty, epoch: int) -> None:
        while duty in self._wanted and self.epoch(duty) == epoch:
            await self._look()

    async def _look(self) -> None:
        """Until the next change, or until what we have may have run out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._renew if self._store.shared else None):
                await self._changed.wait()

    # --- keeping them

    async def keep(self) -> None:
        """Take, prolong and hand on, until cancelled. While the database is away, what is had runs out by itself."""
        self._kept = True
        if not self._store.shared:
            await asyncio.Event().wait()
        ailing = False
        while True:
            try:
                await self.refresh()
                ailing = False
            except StorageError as error:
                if not ailing:
                    self._log.warning("leases cannot be prolonged", error=str(error))
                ailing = True
            await asyncio.sleep(self._renew)

    async def refresh(self) -> None:
        """One round. Raises StorageError."""
        loop = asyncio.get_running_loop()
        self.nodes = await self._store.beat(self.node, self._ttl)
        self._wanted = wanted(self.node, self.nodes, self._duties)
        await self._hand_on([duty for duty in self._epochs if duty not in self._wanted and not self._busy[duty]])
        began = loop.time()
        kept = self._wanted | {duty for duty in self._epochs if self._busy[duty]}
        held = await self._store.lease(self.node.id, sorted(kept), self._ttl)
        # Counted from before the question: the database began to count later than that.
        self._valid_until = began + self._ttl - MARGIN * self._ttl / TTL
        self._note(held)

    async def give_up(self) -> None:
        """In good order: everything is handed on at once, and this node is known to be gone. Call it after all workers have ended."""
        self._wanted = frozenset()
        if self._store.shared:
            with contextlib.suppress(StorageError):
                await self._hand_on(list(self._epochs))
                await self._store.beat(self.node, 0)

    async def _hand_on(self, duties: Iterable[Duty]) -> None:
        leaving = {duty: self._epochs.pop(duty) for duty in duties}
        if leaving:
            await self._store.release(self.node.id, leaving)
            self._log.info("handed on", duties=_words(leaving))
            self._tell()

    def _note(self, held: dict[Duty, int]) -> None:
        lost = [duty for duty, epoch in self._epochs.items() if held.get(duty) != epoch]
        fresh = [duty for duty, epoch in held.items() if self._epochs.get(duty) != epoch]
        self._epochs = held
        if lost:
            self._log.warning("lost to another node, or for a while to nobody", duties=_words(lost))
        if fresh:
            self._log.info("taken", duties=_words(fresh))
        if lost or fresh:
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _words(duties: Collection[Duty]) -> dict[str, int]:
    """How many of each kind: sixteen partitions are no news by themselves."""
    return dict(Counter(consumer for consumer, _ in duties))
