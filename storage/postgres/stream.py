"""The one stream: appending, reading, cursors."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.identity import PARTITIONS
from storage.dedup import dedup_hash, next_hash
from storage.errors import Conflict, StorageError, Superseded
from storage.postgres.clock import GOOD_ENOUGH, MOST_QUESTIONS
from storage.postgres.connection import Sql
from storage.protocol import WHOLE, Step
from storage.record import Appended, Duplicate, Entry, Recorded
from storage.rows.sql import listed
from storage.rows.stream import EVENT, QUARANTINED, event_row, recorded_of

_EVENT: Final = listed(EVENT)
_TYPES: Final = ("bigint",) * 4 + ("text",) * 7 + ("bytea",) * 2
_INSERT: Final = f"""
    WITH events AS (INSERT INTO event ({_EVENT}) SELECT * FROM unnest({", ".join(f"?::{type_}[]" for type_ in _TYPES)})),
         keys AS (INSERT INTO dedup (hash, pos) SELECT * FROM unnest(?::bigint[], ?::bigint[])),
         bad AS (INSERT INTO quarantine (pos) SELECT unnest(?::bigint[]))
    UPDATE head SET pos = ?, partitions = ?
"""
_HEADS: Final = """
    SELECT pos, partitions, gathering, server, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM head
"""
_HOLDERS: Final = "SELECT d.hash, e.pos, e.channel, e.key FROM dedup d JOIN event e ON e.pos = d.pos WHERE d.hash = ANY(?::bigint[])"

#: Where a reader has never been it has no cursor yet.
_ADVANCE: Final = """
    WITH step AS (SELECT ?::text AS consumer, * FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS given (partition, old, new)),
         first AS (INSERT INTO cursor SELECT consumer, partition, new FROM step WHERE old = 0
                   ON CONFLICT (consumer, partition) DO UPDATE SET pos = excluded.pos WHERE cursor.pos = 0 RETURNING partition),
         later AS (UPDATE cursor c SET pos = step.new FROM step WHERE step.old != 0 AND c.consumer = step.consumer
                   AND c.partition = step.partition AND c.pos = step.old RETURNING c.partition)
    SELECT partition FROM first UNION ALL SELECT partition FROM later
"""

_READ_EACH: Final = f"""
    SELECT found.* FROM unnest(?::bigint[], ?::bigint[]) AS asked (partition, after) CROSS JOIN LATERAL (
        SELECT {_EVENT} FROM event WHERE event.partition = asked.partition AND event.pos > asked.after ORDER BY event.pos LIMIT ?) AS found
    ORDER BY found.pos LIMIT ?
"""

Outcome = Appended | Duplicate
#: Where an event is, with its channel and key.
Holder = tuple[int, str, str]


@dataclass(slots=True)
class Heads:
    """Newest ``pos`` of the stream and of each partition, as the transaction that has locked them sees them; times in microseconds."""

    last: int
    partitions: list[int]
    #: Which gathering is under way, 0 if none is; see ``storage.postgres.gathering``.
    gathering: int = 0
    #: When the server was started, and whether no append has come to it since.
    server: int = 0
    restarted: bool = False
    #: The server's clock when the lock was had.
    clock: int = 0

    def copy(self) -> "Heads":
        return replace(self, partitions=list(self.partitions))

    def become(self, other: "Heads") -> None:
        self.last, self.partitions = other.last, list(other.partitions)
        self.gathering, self.restarted = other.gathering, other.restarted


async def load_heads(sql: Sql) -> Heads:
    asked = _now()
    row = await sql.row(_HEADS)
    if row is None:
        raise StorageError(f"the row of the table head is missing in {sql.database.label}: restore a backup")
    last, partitions, gathering, known, server, clock = row
    sql.database.clock.learn(asked, clock, _now())
    return Heads(last, list(partitions), gathering, server, known != server, clock)


async def compare_clocks(sql: Sql) -> int:
    """How far the server's clock is ahead of ours, in microseconds."""
    clock = sql.database.clock
    for _ in range(MOST_QUESTIONS):
        if clock.unsure <= GOOD_ENOUGH:
            break
        await load_heads(sql)
    return clock.ahead


def _now() -> int:
    return time.time_ns() // 1000


def check_partitions(entries: Sequence[Entry]) -> None:
    """Raises Conflict for one that there is not."""
    for entry in entries:
        if not 0 <= entry.partition < PARTITIONS:
            raise Conflict(f"there is no partition {entry.partition}: they are numbered from 0 to {PARTITIONS - 1}")


async def append(sql: Sql, heads: Heads, entries: Sequence[Entry]) -> list[Outcome]:
    """Append all or nothing, within a transaction that has locked the head; positions have no gaps.

    The lock lets nobody take a key between the look and the insert; the unique key of ``dedup`` would refuse it all the same.
    """
    check_partitions(entries)
    duplicates, keys = await sort_out(sql, heads.last, entries)
    after = heads.copy()
    rows = []
    for index, entry in enumerate(entries):
        if index not in duplicates:
            after.last += 1
            rows.append(event_row(after.last, after.partitions[entry.partition], entry))
            after.partitions[entry.partition] = after.last
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        quarantined = [row[0] for row in rows if row[4] == QUARANTINED]
        await sql.run(_INSERT, (*columns, list(keys), list(keys.values()), quarantined, after.last, after.partitions))
        heads.become(after)
    positions = iter(rows)
    return [Duplicate(duplicates[index]) if index in duplicates else Appended(next(positions)[0]) for index in range(len(entries))]


async def sort_out(sql: Sql, last: int, entries: Sequence[Entry]) -> tuple[dict[int, int], dict[int, int]]:
    """Which entries, by index, are duplicates of which positions; and the positions that the others will have, by the hashes they take."""
    hashes = [dedup_hash(entry.channel, entry.key) if entry.key else None for entry in entries]
    asked = {number for number in hashes if number is not None}
    holders = await _holders(sql, asked)
    duplicates: dict[int, int] = {}
    keys: dict[int, int] = {}
    pos = last
    for index, (entry, own) in enumerate(zip(entries, hashes, strict=True)):
        number = own
        while number is not None and number in holders and holders[number][1:] != (entry.channel, entry.key):
            number = next_hash(number)
            if number not in asked:
                asked.add(number)
                holders |= await _holders(sql, {number})
        if number is not None and number in holders:
            duplicates[index] = holders[number][0]
            continue
        pos += 1
        if number is not None:
            holders[number] = (pos, entry.channel, entry.key)
            keys[number] = pos
    return duplicates, keys


async def _holders(sql: Sql, hashes: set[int]) -> dict[int, Holder]:
    if not hashes:
        return {}
    return {row[0]: (row[1], row[2], row[3]) for row in await sql.rows(_HOLDERS, (sorted(hashes),))}


class PostgresStream:
    """The stream within one transaction; ``heads`` is None where the head is not locked."""

    def __init__(self, sql: Sql, heads: Heads | None) -> None:
        self._sql = sql
        self._heads = heads
        if heads is not None:
            sql.append_entries = lambda entries: append(sql, heads, entries)

    async def append(self, entries: Sequence[Entry]) -> list[Outcome]:
        if self._heads is None:
            raise StorageError("a view only reads: use transact to append")
        if self._sql.collecting and not any(entry.key for entry in entries):
            first = await self.head() + 1
            self._sql.writes += 1
            self._sql.memory.announce(entries)
            return [Appended(first + index) for index in range(len(entries))]
        await self._sql.flush()
        return await append(self._sql, self._heads, entries)

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        return await read(self._sql, partition, after, limit)

    async def read_each(self, after: Mapping[int, int], limit: int) -> list[Recorded]:
        rows = await self._sql.rows(_READ_EACH, (list(after), list(after.values()), limit, limit))
        return [recorded_of(row) for row in rows]

    async def head(self, partition: int = WHOLE) -> int:
        heads = self._heads or await load_heads(self._sql)
        waiting = self._sql.memory.entries
        if partition == WHOLE:
            return heads.last + len(waiting)
        later = (heads.last + number for number in range(len(waiting), 0, -1) if waiting[number - 1].partition == partition)
        return next(later, heads.partitions[partition])

    async def heads(self) -> dict[int, int]:
        heads = await load_heads(self._sql)
        return {partition: pos for partition, pos in enumerate(heads.partitions) if pos}

    async def cursor(self, consumer: str, partition: int) -> int:
        row = await self._sql.row("SELECT pos FROM cursor WHERE consumer = ? AND partition = ?", (consumer, partition))
        return 0 if row is None else int(row[0])

    async def advance(self, consumer: str, partition: int, old: int, new: int, epoch: int) -> None:
        await self.advance_each(consumer, [Step(partition, old, new, epoch)])

    async def advance_each(self, consumer: str, steps: Sequence[Step]) -> None:
        epochs = {step.partition: step.epoch for step in steps if step.epoch}
        if epochs:
            await self.guard(consumer, epochs)
        columns = [list(column) for column in zip(*(step[:3] for step in steps), strict=True)]
        moved = {row[0] for row in await self._sql.rows(_ADVANCE, (consumer, *columns))}
        for step in steps:
            if step.partition not in moved:
                where = f"the cursor of {consumer} in partition {step.partition}"
                raise Superseded(f"{where} is no longer at {step.old}: another reader moved it")

    async def guard(self, consumer: str, epochs: Mapping[int, int]) -> None:
        # A key share: the holder can prolong the lease meanwhile, and nobody can take it (storage/postgres/lease.py).
        rows = await self._sql.rows(
            "SELECT partition, epoch FROM lease WHERE consumer = ? AND partition = ANY(?) ORDER BY partition FOR KEY SHARE",
            (consumer, sorted(epochs)),
        )
        held: dict[int, int] = dict(rows)
        for partition, epoch in epochs.items():
            if held.get(partition) != epoch:
                raise Superseded(f"{consumer} of partition {partition} has lost its lease (epoch {epoch}): another goes on")

    async def count(self, type_: str, channel: str = "") -> int:
        if channel:
            return int((await self._sql.rows("SELECT count(*) FROM event WHERE type = ? AND channel = ?", (type_, channel)))[0][0])
        return int((await self._sql.rows("SELECT count(*) FROM event WHERE type = ?", (type_,)))[0][0])

    async def by_key(self, channel: str, key: str) -> Recorded | None:
        number = dedup_hash(channel, key)
        # The hash may be another key's: then ours is at the next free place.
        while (row := await self._sql.row("SELECT pos FROM dedup WHERE hash = ?", (number,))) is not None:
            found = recorded_of((await self._sql.rows(f"SELECT {_EVENT} FROM event WHERE pos = ?", (row[0],)))[0])
            if (found.entry.channel, found.entry.key) == (channel, key):
                return found
            number = next_hash(number)
        return None

    async def quarantined(self, after: int, limit: int) -> list[Recorded]:
        sql = f"SELECT {_EVENT} FROM event WHERE pos IN (SELECT pos FROM quarantine WHERE pos > ? ORDER BY pos LIMIT ?) ORDER BY pos"
        return [recorded_of(row) for row in await self._sql.rows(sql, (after, limit))]

    async def quarantine_counts(self) -> dict[str, int]:
        return dict(await self._sql.rows("SELECT channel, count(*) FROM quarantine JOIN event USING (pos) GROUP BY channel"))

    async def mark_reprocessed(self, pos: int) -> None:
        await self._sql.run("DELETE FROM quarantine WHERE pos = ?", (pos,))


async def read(sql: Sql, partition: int, after: int, limit: int) -> list[Recorded]:
    """Up to ``limit`` events after ``after``."""
    if partition == WHOLE:
        rows = await sql.rows(f"SELECT {_EVENT} FROM event WHERE pos > ? ORDER BY pos LIMIT ?", (after, limit))
    else:
        rows = await sql.rows(f"SELECT {_EVENT} FROM event WHERE partition = ? AND pos > ? ORDER BY pos LIMIT ?", (partition, after, limit))
    return [recorded_of(row) for row in rows]
