"""One reader of the stream for all open feeds: it reads each event once and hands it to every subscriber.

A subscriber's buffer is bounded. Who does not empty it goes on from the store with its own cursor, and is cut off when hopelessly
behind; nobody waits for them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

import structlog

from gateway.whisper import Whispers
from storage.errors import StorageError
from storage.protocol import WHOLE, Store
from storage.record import Recorded

#: Events per read.
BATCH: Final = 500
#: Most events that wait for one subscriber.
BUFFER: Final = 2000
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


class Hub:
    """Run :meth:`run` as one task; :meth:`follow` gives each feed its events without holes or repeats."""

    def __init__(self, store: Store, whispers: Whispers | None = None, *, buffer: int = BUFFER, max_behind: int = 50_000) -> None:
        self._store = store
        self._buffer = buffer
        self._max_behind = max_behind
        self._subscriptions: set[Subscription] = set()
        self._started = asyncio.Event()
        self._pos = 0
        #: What passes between open windows beside the stream.
        self.whispers = whispers or Whispers()

    @property
    def pos(self) -> int:
        """The newest event that was handed out; 0 before the start."""
        return self._pos

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
                    self._pos = await self._store.view(lambda tx: tx.stream.head())
                    self._started.set()
                await self._hand_out()
                if ailing:
                    log.info("stream readable again", pos=self._pos)
                ailing = False
            except StorageError as error:
                if not ailing:
                    log.warning("stream cannot be read", error=str(error))
                ailing = True
                await asyncio.sleep(_PAUSE_AFTER_ERROR)

    async def _hand_out(self) -> None:
        batch = await self._store.read(WHOLE, self._pos, BATCH)
        if not batch:
            await self._store.wait(WHOLE, self._pos, _WAIT_SECONDS)
            return
        for subscription in tuple(self._subscriptions):
            if not subscription.offer(batch):
                self._subscriptions.discard(subscription)
        self._pos = batch[-1].pos
        # A long backlog must not keep other tasks from running.
        await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Events from now on."""
        await self._started.wait()
        subscription = Subscription(self._pos, self._buffer)
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
            # First by own reads up to the head, so that a long way does not overrun the buffer; then the small rest beside the hub.
            while batch := await self._read(last):
                last = batch[-1].pos
                yield batch
                if len(batch) < BATCH:
                    break
            async with self.subscribe() as subscription:
                while last < subscription.start and (batch := await self._read(last)):
                    last = batch[-1].pos
                    yield batch
                while fresh := await subscription.next():
                    fresh = [recorded for recorded in fresh if recorded.pos > last]
                    if fresh:
                        last = fresh[-1].pos
                        yield fresh
            # The buffer was too small for a burst: catch up from the store, unless it is hopeless.
            if self._pos - last > self._max_behind:
                raise Overrun

    async def _begin(self, after: int) -> int:
        head = await self._store.view(lambda tx: tx.stream.head())
        if after > head:
            raise CursorLost("the cursor is ahead of the stream")
        if head - after > self._max_behind:
            raise CursorLost("the cursor is too far behind")
        return after

    async def _read(self, after: int) -> list[Recorded]:
        batch = await self._store.read(WHOLE, after, BATCH)
        if batch and batch[0].pos != after + 1:
            raise CursorLost("the cursor is older than what is kept")
        return batch
