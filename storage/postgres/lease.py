"""Leases: who alone does what, and which nodes run. The time is the database's, the epoch tells one holder from the next.

Nothing here waits for a row that another holds: neither for the head, nor, as two nodes that ask for many duties at once would,
for each other. Who works under a lease holds a key share of it until the commit (``guard``): it can be prolonged meanwhile, which
changes no key, but not taken, for which the row must be locked wholly.
"""

from collections.abc import Collection, Mapping
from typing import Final

from storage.codec import decode_names, encode, instant, micros
from storage.postgres.connection import Sql
from storage.protocol import Duty
from storage.record import Node

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_TAKE: Final = f"""
    WITH wanted AS (
           SELECT * FROM unnest(?::text[], ?::bigint[]) AS w (consumer, partition)),
         own AS (
           SELECT l.consumer, l.partition FROM lease l JOIN wanted USING (consumer, partition)
           WHERE l.owner = ? AND l.expires_at > {_NOW} ORDER BY 1, 2 FOR NO KEY UPDATE OF l SKIP LOCKED),
         free AS (
           SELECT l.consumer, l.partition FROM lease l JOIN wanted USING (consumer, partition)
           WHERE l.expires_at <= {_NOW} ORDER BY 1, 2 FOR UPDATE OF l SKIP LOCKED),
         prolonged AS (
           UPDATE lease l SET expires_at = {_NOW} + ?::bigint FROM own
           WHERE l.consumer = own.consumer AND l.partition = own.partition RETURNING l.consumer, l.partition, l.epoch),
         taken AS (
           UPDATE lease l SET expires_at = {_NOW} + ?::bigint, owner = ?, epoch = l.epoch + 1 FROM free
           WHERE l.consumer = free.consumer AND l.partition = free.partition RETURNING l.consumer, l.partition, l.epoch),
         made AS (
           INSERT INTO lease (consumer, partition, owner, epoch, expires_at)
           SELECT consumer, partition, ?, 1, {_NOW} + ?::bigint FROM wanted
           WHERE NOT EXISTS (SELECT 1 FROM lease l WHERE l.consumer = wanted.consumer AND l.partition = wanted.partition)
           ORDER BY 1, 2 ON CONFLICT DO NOTHING RETURNING consumer, partition, epoch)
    SELECT * FROM prolonged UNION ALL SELECT * FROM taken UNION ALL SELECT * FROM made
"""


async def take(sql: Sql, owner: str, duties: Collection[Duty], ttl: float) -> dict[Duty, int]:
    """Those that are had now, with their epochs: one more than that of the last holder, unless it is still one's own."""
    wanted = sorted(set(duties))
    if not wanted:
        return {}
    life = _micros(ttl)
    rows = await sql.rows(
        _TAKE, ([consumer for consumer, _ in wanted], [partition for _, partition in wanted], owner, life, life, owner, owner, life)
    )
    return {(consumer, partition): epoch for consumer, partition, epoch in rows}


async def release(sql: Sql, owner: str, held: Mapping[Duty, int]) -> None:
    """Let the next one in at once. The epoch stays, so that the next one's is higher."""
    for (consumer, partition), epoch in sorted(held.items()):
        await sql.run(
            "UPDATE lease SET owner = '', expires_at = 0 WHERE consumer = ? AND partition = ? AND owner = ? AND epoch = ?",
            (consumer, partition, owner, epoch),
        )


async def beat(sql: Sql, node: Node, ttl: float) -> list[Node]:
    """Note that ``node`` runs; returns all that do, and forgets those that have not for an hour."""
    await sql.run(
        f"INSERT INTO node VALUES (?, ?, ?, ?, {_NOW} + ?::bigint) ON CONFLICT (id) DO UPDATE SET roles = excluded.roles,"
        " since = excluded.since, version = excluded.version, expires_at = excluded.expires_at",
        (node.id, encode(node.roles).decode(), micros(node.since), node.version, _micros(ttl)),
    )
    await sql.run(
        f"DELETE FROM node WHERE id IN (SELECT id FROM node WHERE expires_at <= {_NOW} - 3600000000 ORDER BY id FOR UPDATE SKIP LOCKED)"
    )
    rows = await sql.rows(f"SELECT id, roles, since, version FROM node WHERE expires_at > {_NOW} ORDER BY id")
    return [Node(id=row[0], roles=decode_names(row[1]), since=instant(row[2]), version=row[3]) for row in rows]


def _micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
