"""The one stream: appending, reading, cursors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from storage.codec import Row, marks
from storage.dedup import dedup_hash, next_hash
from storage.errors import StorageError, Superseded
from storage.protocol import WHOLE, Step
from storage.record import Appended, Duplicate, Entry, Recorded
from storage.rows.sql import listed
from storage.rows.stream import EVENT, QUARANTINED, event_row, recorded_of
from storage.sqlite.connection import Sql

_EVENT: Final = listed(EVENT)
_EVENT_MARKS: Final = f"({marks(EVENT)})"
#: Rows per statement. A few fixed sizes, so that the driver's cache of prepared statements always hits.
_CHUNKS: Final = (64, 16, 4, 1)

Outcome = Appended | Duplicate
T = TypeVar("T")


class Heads:
    """Newest ``pos`` of the stream and of each partition, as the writer's transaction sees them."""

    def __init__(self) -> None:
        self.last = 0
        self.partitions: dict[int, int] = {}
        self._known = False

    def load(self, sql: Sql) -> None:
        """Read them from the database, unless they are known."""
        if not self._known:
            self.partitions = dict(sql.rows("SELECT partition, pos FROM head"))
            self.last = max(self.partitions.values(), default=0)
            self._known = True

    def forget(self) -> None:
        """After any rollback: what was counted up is not true."""
        self._known = False


def append(sql: Sql, heads: Heads, entries: Sequence[Entry]) -> list[Outcome]:
    """Append all or nothing, within the writer's open transaction; positions have no gaps.

    What is new is decided by the unique key of ``dedup``.
    """
    heads.load(sql)
    with sql.savepoint():
        hashes = [dedup_hash(entry.channel, entry.key) if entry.key else None for entry in entries]
        pairs = [(number, pos) for pos, number in enumerate(hashes, start=heads.last + 1) if number is not None]
        duplicates: dict[int, int] = {}
        # Usually all are new, which few statements settle. Otherwise take these rows back and look at each entry.
        if _insert_hashes(sql, pairs) < len(pairs):
            for chunk in _chunks(pairs):
                sql.run(f"DELETE FROM dedup WHERE hash IN ({marks(chunk)}) AND pos > ?", (*(number for number, _ in chunk), heads.last))
            duplicates = _insert_singly(sql, heads.last, entries, hashes)
        rows = _rows(heads, entries, duplicates)
        _insert_events(sql, rows)
    for row in rows:
        heads.last, heads.partitions[row[2]] = row[0], row[0]
    positions = iter(rows)
    return [Duplicate(duplicates[index]) if index in duplicates else Appended(next(positions)[0]) for index in range(len(entries))]


def _insert_hashes(sql: Sql, pairs: Sequence[tuple[int, int]]) -> int:
    return sum(
        sql.run(
            f"INSERT INTO dedup (hash, pos) VALUES {','.join(['(?,?)'] * len(chunk))} ON CONFLICT (hash) DO NOTHING",
            [value for pair in chunk for value in pair],
        )
        for chunk in _chunks(pairs)
    )


def _insert_singly(sql: Sql, last: int, entries: Sequence[Entry], hashes: Sequence[int | None]) -> dict[int, int]:
    """Take the hashes one by one; returns, by index, where the originals of the duplicates are."""
    duplicates: dict[int, int] = {}
    new: dict[int, Entry] = {}
    pos = last
    for index, (entry, number) in enumerate(zip(entries, hashes, strict=True)):
        original = None if number is None else _take_hash(sql, entry, number, pos + 1, new)
        if original is None:
            pos += 1
            new[pos] = entry
        else:
            duplicates[index] = original
    return duplicates


def _take_hash(sql: Sql, entry: Entry, number: int, pos: int, new: dict[int, Entry]) -> int | None:
    """Take the entry's hash, or the next free one if another key has it. Returns the position of an equal entry, if there is one."""
    while not sql.run("INSERT INTO dedup (hash, pos) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING", (number, pos)):
        holder: int = sql.rows("SELECT pos FROM dedup WHERE hash = ?", (number,))[0][0]
        if holder in new:
            other: Row = (new[holder].channel, new[holder].key)
        else:
            other = sql.rows("SELECT channel, key FROM event WHERE pos = ?", (holder,))[0]
        if other == (entry.channel, entry.key):
            return holder
        number = next_hash(number)
    return None


def _rows(heads: Heads, entries: Sequence[Entry], duplicates: dict[int, int]) -> list[Row]:
    """Rows of the new entries, numbered on from the heads."""
    rows: list[Row] = []
    before: dict[int, int] = {}
    pos = heads.last
    for index, entry in enumerate(entries):
        if index not in duplicates:
            pos += 1
            rows.append(event_row(pos, before.get(entry.partition) or heads.partitions.get(entry.partition, 0), entry))
            before[entry.partition] = pos
    return rows


def _insert_events(sql: Sql, rows: Sequence[Row]) -> None:
    for chunk in _chunks(rows):
        sql.run(
            f"INSERT INTO event ({_EVENT}) VALUES {','.join([_EVENT_MARKS] * len(chunk))}",
            [value for row in chunk for value in row],
        )
    for pos in [row[0] for row in rows if row[4] == QUARANTINED]:
        sql.run("INSERT INTO quarantine VALUES (?)", (pos,))
    touched = {row[2]: row[0] for row in rows}
    for heads in _chunks(list(touched.items())):
        sql.run(
            f"INSERT INTO head VALUES {','.join(['(?,?)'] * len(heads))} ON CONFLICT (partition) DO UPDATE SET pos = excluded.pos",
            [value for pair in heads for value in pair],
        )


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    start = 0
    for size in _CHUNKS:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size


class SqliteStream:
    """The stream within one transaction; ``heads`` is None in a view."""

    def __init__(self, sql: Sql, heads: Heads | None) -> None:
        self._sql = sql
        self._heads = heads

    async def append(self, entries: Sequence[Entry]) -> list[Outcome]:
        if self._heads is None:
            raise StorageError("a view only reads: use transact to append")
        return append(self._sql, self._heads, entries)

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        return read(self._sql, partition, after, limit)

    async def read_each(self, after: Mapping[int, int], limit: int) -> list[Recorded]:
        found = [event for partition, pos in after.items() for event in await self.read(partition, pos, limit)]
        return sorted(found, key=lambda event: event.pos)[:limit]

    async def head(self, partition: int = WHOLE) -> int:
        if partition != WHOLE:
            row = self._sql.row("SELECT pos FROM head WHERE partition = ?", (partition,))
            return 0 if row is None else int(row[0])
        return int(self._sql.rows("SELECT coalesce(max(pos), 0) FROM event")[0][0])

    async def heads(self) -> dict[int, int]:
        return dict(self._sql.rows("SELECT partition, pos FROM head"))

    async def cursor(self, consumer: str, partition: int) -> int:
        row = self._sql.row("SELECT pos FROM cursor WHERE consumer = ? AND partition = ?", (consumer, partition))
        return 0 if row is None else int(row[0])

    async def advance(self, consumer: str, partition: int, old: int, new: int, epoch: int) -> None:
        if epoch:
            await self.guard(consumer, {partition: epoch})
        if old == 0:
            changed = self._sql.run(
                "INSERT INTO cursor VALUES (?, ?, ?) ON CONFLICT (consumer, partition) DO UPDATE SET pos = excluded.pos WHERE pos = 0",
                (consumer, partition, new),
            )
        else:
            changed = self._sql.run(
                "UPDATE cursor SET pos = ? WHERE consumer = ? AND partition = ? AND pos = ?", (new, consumer, partition, old)
            )
        if not changed:
            raise Superseded(f"the cursor of {consumer} in partition {partition} is no longer at {old}: another reader moved it")

    async def advance_each(self, consumer: str, steps: Sequence[Step]) -> None:
        for step in steps:
            await self.advance(consumer, *step)

    async def guard(self, consumer: str, epochs: Mapping[int, int]) -> None:
        for partition, epoch in epochs.items():
            lease = self._sql.row("SELECT epoch FROM lease WHERE consumer = ? AND partition = ?", (consumer, partition))
            if lease is None or lease[0] != epoch:
                raise Superseded(f"{consumer} of partition {partition} has lost its lease (epoch {epoch}): another goes on")

    async def count(self, type_: str, channel: str = "") -> int:
        if channel:
            return int(self._sql.rows("SELECT count(*) FROM event WHERE type = ? AND channel = ?", (type_, channel))[0][0])
        return int(self._sql.rows("SELECT count(*) FROM event WHERE type = ?", (type_,))[0][0])

    async def by_key(self, channel: str, key: str) -> Recorded | None:
        number = dedup_hash(channel, key)
        # The hash may be another key's: then ours is at the next free place.
        while (row := self._sql.row("SELECT pos FROM dedup WHERE hash = ?", (number,))) is not None:
            found = recorded_of(self._sql.rows(f"SELECT {_EVENT} FROM event WHERE pos = ?", (row[0],))[0])
            if (found.entry.channel, found.entry.key) == (channel, key):
                return found
            number = next_hash(number)
        return None

    async def quarantined(self, after: int, limit: int) -> list[Recorded]:
        sql = f"SELECT {_EVENT} FROM event WHERE pos IN (SELECT pos FROM quarantine WHERE pos > ? ORDER BY pos LIMIT ?) ORDER BY pos"
        return [recorded_of(row) for row in self._sql.rows(sql, (after, limit))]

    async def quarantine_counts(self) -> dict[str, int]:
        return dict(self._sql.rows("SELECT channel, count(*) FROM quarantine JOIN event USING (pos) GROUP BY channel"))

    async def mark_reprocessed(self, pos: int) -> None:
        self._sql.run("DELETE FROM quarantine WHERE pos = ?", (pos,))


def read(sql: Sql, partition: int, after: int, limit: int) -> list[Recorded]:
    """Up to ``limit`` events after ``after``."""
    if partition == WHOLE:
        rows = sql.rows(f"SELECT {_EVENT} FROM event WHERE pos > ? ORDER BY pos LIMIT ?", (after, limit))
    else:
        # The partition's head ends the walk, so that a quiet partition costs nothing and the log needs no second index.
        rows = sql.rows(
            f"SELECT {_EVENT} FROM event WHERE pos > ? AND pos <= (SELECT pos FROM head WHERE partition = ?) AND partition = ?"
            " ORDER BY pos LIMIT ?",
            (after, partition, partition, limit),
        )
    return [recorded_of(row) for row in rows]
