"""Leases: who alone reads a partition. The time is the database's, the epoch tells one holder from the next."""

from typing import Final

from storage.sqlite.connection import Sql

_NOW: Final = "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)"

#: consumer, partition, owner, epoch
Held = tuple[str, int, str, int]


def take(sql: Sql, consumer: str, partition: int, owner: str, ttl: float) -> int | None:
    """The epoch, one more than that of the last holder; None while somebody else has it. Taking one's own again prolongs it."""
    row = sql.row(
        "INSERT INTO lease (consumer, partition, owner, epoch, expires_at)"
        f" VALUES (?1, ?2, ?3, 1, {_NOW} + ?4) ON CONFLICT (consumer, partition) DO UPDATE"
        f" SET epoch = epoch + (owner != excluded.owner OR expires_at <= {_NOW}), owner = excluded.owner, expires_at = excluded.expires_at"
        f" WHERE owner = excluded.owner OR expires_at <= {_NOW} RETURNING epoch",
        (consumer, partition, owner, _micros(ttl)),
    )
    return None if row is None else int(row[0])


def renew(sql: Sql, held: Held, ttl: float) -> bool:
    """Prolong it. False if another has it, or had it."""
    where = "WHERE consumer = ? AND partition = ? AND owner = ? AND epoch = ?"
    return bool(sql.run(f"UPDATE lease SET expires_at = {_NOW} + ? {where}", (_micros(ttl), *held)))


def release(sql: Sql, held: Held) -> None:
    """Let the next one in at once. The epoch stays, so that the next one's is higher."""
    sql.run("UPDATE lease SET owner = '', expires_at = 0 WHERE consumer = ? AND partition = ? AND owner = ? AND epoch = ?", held)


def _micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
