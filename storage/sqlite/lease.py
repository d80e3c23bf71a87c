"""Leases: who alone does what, and which nodes run. The time is the database's, the epoch tells one holder from the next."""

from collections.abc import Collection, Mapping
from typing import Final

from storage.codec import decode_names, encode, instant, micros
from storage.protocol import Duty
from storage.record import Node
from storage.sqlite.connection import Sql

_NOW: Final = "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)"


def take(sql: Sql, owner: str, duties: Collection[Duty], ttl: float) -> dict[Duty, int]:
    """Those that are had now, with their epochs: one more than that of the last holder, unless it is still one's own."""
    held: dict[Duty, int] = {}
    for consumer, partition in duties:
        row = sql.row(
            "INSERT INTO lease (consumer, partition, owner, epoch, expires_at)"
            f" VALUES (?1, ?2, ?3, 1, {_NOW} + ?4) ON CONFLICT (consumer, partition) DO UPDATE"
            f" SET epoch = epoch + (owner != excluded.owner OR expires_at <= {_NOW}),"
            " owner = excluded.owner, expires_at = excluded.expires_at"
            f" WHERE owner = excluded.owner OR expires_at <= {_NOW} RETURNING epoch",
            (consumer, partition, owner, _micros(ttl)),
        )
        if row is not None:
            held[consumer, partition] = int(row[0])
    return held


def release(sql: Sql, owner: str, held: Mapping[Duty, int]) -> None:
    """Let the next one in at once. The epoch stays, so that the next one's is higher."""
    for (consumer, partition), epoch in held.items():
        sql.run(
            "UPDATE lease SET owner = '', expires_at = 0 WHERE consumer = ? AND partition = ? AND owner = ? AND epoch = ?",
            (consumer, partition, owner, epoch),
        )


def beat(sql: Sql, node: Node, ttl: float) -> list[Node]:
    """Note that ``node`` runs; returns all that do, and forgets those that have not for an hour."""
    sql.run(
        f"INSERT INTO node VALUES (?, ?, ?, ?, {_NOW} + ?) ON CONFLICT (id) DO UPDATE SET roles = excluded.roles, since = excluded.since,"
        " version = excluded.version, expires_at = excluded.expires_at",
        (node.id, encode(node.roles).decode(), micros(node.since), node.version, _micros(ttl)),
    )
    sql.run(f"DELETE FROM node WHERE expires_at <= {_NOW} - 3600000000")
    rows = sql.rows(f"SELECT id, roles, since, version FROM node WHERE expires_at > {_NOW} ORDER BY id")
    return [Node(id=row[0], roles=decode_names(row[1]), since=instant(row[2]), version=row[3]) for row in rows]


def _micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
