"""Counts by hour, which limits are kept by."""

from datetime import UTC, datetime, timedelta

from storage.protocol import Store, Transaction

NOON = datetime(2026, 10, 5, 12, 30, tzinfo=UTC)


async def test_counts_add_up_by_hour_and_are_forgotten(store: Store) -> None:
    async def count(tx: Transaction) -> None:
        for hours in (0, 0, 1, 23, 24):
            await tx.tallies.add("ada", NOON - timedelta(hours=hours))
        await tx.tallies.add("ben", NOON)

    async def totals(tx: Transaction) -> tuple[int, ...]:
        return tuple([await tx.tallies.total("ada", NOON, hours) for hours in (1, 2, 24, 25)])

    await store.transact(count)
    assert await store.view(totals) == (2, 3, 4, 5)
    assert await store.view(lambda tx: tx.tallies.total("ada", NOON + timedelta(hours=1), 1)) == 0
    assert await store.view(lambda tx: tx.tallies.total("nobody", NOON, 24)) == 0
    assert await store.transact(lambda tx: tx.tallies.forget(NOON - timedelta(hours=20))) == 2
    assert await store.view(totals) == (2, 3, 3, 3)
    assert await store.view(lambda tx: tx.tallies.total("ben", NOON, 24)) == 1
