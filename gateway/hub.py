"""One reader of the stream for all open feeds: it reads each event once and hands it to every subscriber.

A subscriber's buffer is bounded. Who does not empty it goes on from the store with its own cursor, and is cut off when hopelessly
behind; nobody waits for them.

The newest events stay in memory, so that thousands who come back after a restart, each with a cursor a little behind, cost the
database one read together, and not one each.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

import structlog

from gateway.together import Together
from gateway.whisper import Whispers
from storage.errors import StorageError
from storage.protocol import WHOLE, Store
from storage.record import Recorded

#: Events per read.
BATCH: Final = 500
#: Most events that wait for one subscriber.
BUFFER: Final = 2000
#: What is kept of the newest events for those who come back: so many, and so many bytes of their data.
KEPT: Final = 1000
_KEPT_BYTES: Final = 8 * 1024 * 1024
_WAIT_SECONDS: Final = 5.0
_PAUSE_AFTER_ERROR: Final = 0.25


class CursorLost(Exception):
    """The cursor lies in the future, or so far back that catching up makes no sense: load everything anew."""


class Overrun(Exception):
    """The subscriber is too slow for what comes in."""


class Subscription:
    """The events after ``start``, as they come. Made by :meth:`Hub.subscribe`."""

    def __init__(self, start: int, size: int) -> None:
        #: ``pos`` of the newest event that was *not* handed to this subscription.
        self.start = start
        self._size = size
        self._waiting: deque[Recorded] = deque()
        self._wake = asyncio.Event()
        self._overrun = False

    def offer(self, batch: Sequence[Recorded]) -> bool:
        """Take a batch; False if there is no room for it: then the subscription is over."""
        if len(self._waiting) + len(batch) > self._size:
            self._overrun = True
            self._waiting.clear()
        else:
            self._waiting.extend(batch)
        self._wake.set()
        return not self._overrun

    async def next(self) -> list[Recorded]:
        """Wait for events and take all that are there; empty when the subscription is over."""
        while not self._waiting and not self._overrun:
            self._wake.clear()
            await self._wake.wait()
        batch = list(self._waiting)
        self._waiting.clear()
        return batch


class Newest:
    """The newest events without a hole: those after ``start``, up to ``pos``."""

    def __init__(self) -> None:
        self.start = self.pos = 0
        self._events: deque[Recorded] = deque()
        self._bytes = 0

    def begin(self, pos: int) -> None:
        """Nothing is known but where the stream stands."""
        self.start = self.pos = pos
        self._events.clear()
        self._bytes = 0

    def add(self, batch: Sequence[Recorded]) -> None:
        """What comes next."""
        for recorded in batch:
            self._events.append(recorded)
            self._bytes += len(recorded.entry.data)
        self.pos = batch[-1].pos
        while len(self._events) > KEPT or self._bytes > _KEPT_BYTES:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.entry.data)
            self.start = dropped.pos

    def put_before(self, batch: Sequence[Recorded]) -> None:
        """What came before, newest last; as much of it as there is room for."""
        for recorded in reversed(batch):
            size = len(recorded.entry.data)
            if recorded.pos != self.start or len(self._events) >= KEPT or self._bytes + size > _KEPT_BYTES:
                return
            self._events.appendleft(recorded)
            self._bytes += size
            self.start = recorded.pos - 1

    def after(self, pos: int) -> list[Recorded]:
        """All after ``pos``, which is not before ``start``."""
        found: list[Recorded] = []
        for recorded in reversed(self._events):
            if recorded.pos <= pos:
                break
            found.append(recorded)
        found.reverse()
        return found


class Hub:
    """Run :meth:`run` as one task; :meth:`follow` gives each feed its events without holes or repeats."""

    def __init__(self, store: Store, whispers: Whispers | None = None, *, buffer: int = BUFFER, max_behind: int = 50_000) -> None:
        self._store = store
        self._buffer = buffer
        self._max_behind = max_behind
        self._subscriptions: set[Subscription] = set()
        self._started = asyncio.Event()
        self._newest = Newest()
        #: One reads back for all who come at the same time.
        self._reading_back = asyncio.Lock()
        self._look = Together(store.view)
        #: What passes between open windows beside the stream.
        self.whispers = whispers or Whispers()

    @property
    def pos(self) -> int:
        """The newest event that was handed out; 0 before the start."""
        return self._newest.pos

    @property
    def subscribers(self) -> int:
        """How many feeds are open."""
        return len(self._subscriptions)

    async def run(self) -> None:
        """Read and hand out until cancelled. A database that is away only delays."""
        log = structlog.get_logger("hub")
        ailing = False
        while True:
            try:
                if not self._started.is_set():
                    self._newest.begin(await self._store.view(lambda tx: tx.stream.head()))
                    self._started.set()
                await self._hand_out()
                if ailing:
                    log.info("stream readable again", pos=self.pos)
                ailing = False
            except StorageError as error:
                if not ailing:
                    log.warning("stream cannot be read", error=str(error))
                ailing = True
                await asyncio.sleep(_PAUSE_AFTER_ERROR)

    async def _hand_out(self) -> None:
        batch = await self._store.read(WHOLE, self.pos, BATCH)
        if not batch:
            await self._store.wait(WHOLE, self.pos, _WAIT_SECONDS)
            return
        for subscription in tuple(self._subscriptions):
            if not subscription.offer(batch):
                self._subscriptions.discard(subscription)
        self._newest.add(batch)
        # A long backlog must not keep other tasks from running.
        await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Events from now on."""
        await self._started.wait()
        subscription = Subscription(self.pos, self._buffer)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def follow(self, after: int) -> AsyncGenerator[list[Recorded], None]:
        """All events after ``after``, in order, each once, for ever. Raises CursorLost, Overrun, StorageError.

        Close the iterator when done (``contextlib.aclosing``).
        """
        last = await self._begin(after)
        while True:
            # First by own reads to where memory begins, so that a long way does not overrun the buffer; then the rest beside the hub.
            while last < self._newest.start:
                batch = await self._read(last)
                last = batch[-1].pos
                yield batch
            async with self.subscribe() as subscription:
                if last < self._newest.start:
                    continue
                if known := self._newest.after(last):
                    last = known[-1].pos
                    yield known
                while fresh := await subscription.next():
                    fresh = [recorded for recorded in fresh if recorded.pos > last]
                    if fresh:
                        last = fresh[-1].pos
                        yield fresh
            # The buffer was too small for a burst: catch up from the store, unless it is hopeless.
            if self.pos - last > self._max_behind:
                raise Overrun

    async def head(self) -> int:
        """The newest position there is, perhaps ahead of what was handed out. Many who ask at once cost one look. Raises StorageError."""
        return await self._look(lambda tx: tx.stream.head())

    async def _begin(self, after: int) -> int:
        await self._started.wait()
        if after > self.pos and after > await self.head():
            raise CursorLost("the cursor is ahead of the stream")
        if self.pos - after > self._max_behind:
            raise CursorLost("the cursor is too far behind")
        if after < self._newest.start:
            await self._read_back(after)
        return after

    async def _read_back(self, after: int) -> None:
        """Let memory begin at ``after`` or before, if that is near."""
        async with self._reading_back:
            while after < (start := self._newest.start) and self.pos - after <= KEPT:
                first = max(0, start - BATCH)
                self._newest.put_before([one for one in await self._store.read(WHOLE, first, start - first) if one.pos <= start])
                if self._newest.start == start:
                    # No room, or it is no longer kept: everybody reads by themselves.
                    return

    async def _read(self, after: int) -> list[Recorded]:
        """What comes after ``after``, where something does."""
        batch = await self._store.read(WHOLE, after, BATCH)
        if not batch or batch[0].pos != after + 1:
            raise CursorLost("the cursor is older than what is kept")
        return batch
