"""Replies taken to be sent, whatever their channel."""

from collections.abc import Collection
from datetime import datetime

from storage.protocol import EVERY_PARTITION, Slots, Transaction
from storage.record import OutboxItem, Priority


async def claim(
    tx: Transaction,
    now: datetime,
    limit: int = 10,
    paused: Collection[str] = (),
    partitions: Collection[int] = EVERY_PARTITION,
    lowest: Priority = Priority.BULK,
) -> list[OutboxItem]:
    """So many of each channel that is not paused."""
    waiting = frozenset(await tx.outbox.waiting_count())
    slots = {channel: Slots(limit, limit if lowest is Priority.BULK else 0) for channel in waiting.difference(paused)}
    return await tx.outbox.claim(now, slots, waiting.union(paused), partitions)
