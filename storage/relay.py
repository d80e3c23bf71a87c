"""The relay: copies the log to the mirror, so that readers on many nodes spare the database. A worker calls it, by lease."""

from typing import Final

from storage.bus import Bus
from storage.protocol import WHOLE, Store
from storage.told import MIRRORED, encode_heads, heads_of

#: Events per step.
BATCH: Final = 500
#: Steps per call: whoever does this by lease wants to look at it now and then.
STEPS: Final = 10
#: An empty mirror is filled from so far below the head. Whoever is further behind reads the database.
WINDOW: Final = 100_000


async def relay_once(store: Store, bus: Bus) -> int:
    """Copy what the mirror has not, up to ``BATCH * STEPS`` events, and tell ``MIRRORED`` after each step; returns how many.

    Nothing is copied while the bus is unwell. Two at once do no harm, nor does one that stops in the middle. A mirror that is ahead
    of the log belongs to another log (a backup has been restored) and is dropped.
    """
    if bus.state:
        return 0
    # In this order: the log only grows, so a mirror of it cannot be ahead of what is read later.
    at = await bus.mirrored()
    head = await store.view(lambda tx: tx.stream.head())
    if at > head:
        await bus.reset()
        at = 0
    at = max(at, head - WINDOW)
    copied = 0
    for _ in range(STEPS):
        start = at
        # Of the database itself: ``store.read`` may ask the mirror.
        events = await store.view(lambda tx, start=start: tx.stream.read(WHOLE, start, BATCH))  # type: ignore[misc]
        if not events:
            break
        await bus.mirror(events)
        at = events[-1].pos
        if await bus.mirrored() < at:
            break  # it went away in between; the next call goes on from what it has
        copied += len(events)
        bus.tell(MIRRORED, encode_heads(heads_of(events)))
        if len(events) < BATCH:
            break
    return copied
