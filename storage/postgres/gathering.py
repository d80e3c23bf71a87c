"""``storage.gathering`` on PostgreSQL. Whatever decides here has locked the head: so all nodes see a gathering begin and end at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from storage.bus import Bus
from storage.codec import micros
from storage.errors import Unavailable
from storage.gathering import Gather, Kept
from storage.postgres.connection import Sql
from storage.postgres.reader import Pool
from storage.postgres.stream import Heads, append, check_partitions, compare_clocks, sort_out
from storage.postgres.transaction import PostgresTransaction
from storage.protocol import Transaction
from storage.record import Duplicate, Entry, Gathered
from storage.rows.sql import listed
from storage.rows.stream import EVENT, event_row, recorded_of
from storage.told import SPOOLING

#: Microseconds for which a spool is waited for: one that nobody has reported since, and one that is still being handed over.
SILENT_FOR: Final = 10_000_000
SLOW_FOR: Final = 60_000_000
#: The former, after the server was started again: what ended it may have ended nodes, too, and they need a while to start.
STARTING_FOR: Final = 30_000_000
#: Reports with longer pauses between them have a gap; and who has been silent for so long while others were not, has gone.
GAP: Final = 2_000_000
#: A spool that has not been reported for a day is forgotten.
FORGOTTEN_AFTER: Final = 86_400_000_000
#: A spool that has begun to fill is handed over, and a gathering has begun with it, within this time; or its node is cut off by itself.
WARY_SECONDS: Final = 3.0
#: Events, and bytes of them, that are merged in one transaction.
BATCH: Final = 200
_BYTES: Final = 4 * 1024 * 1024

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
#: The columns of the stream, with an id and the time of taking instead of the two positions.
_COLUMNS: Final = ("id", "taken_at", *EVENT[2:])
_TYPES: Final = ("bigint",) * 4 + ("text",) * 7 + ("bytea",) * 2
_KEEP: Final = f"""
    INSERT INTO gathered ({listed(_COLUMNS)}) SELECT * FROM unnest({", ".join(f"?::{type_}[]" for type_ in _TYPES)})
    ON CONFLICT (channel, key) DO NOTHING RETURNING id
"""
#: With a single spool there is nothing to merge.
_BEGIN: Final = f"""
    UPDATE head SET server = ?::bigint, silent_until = ?::bigint, gathering = CASE
        WHEN (SELECT count(*) FROM spool WHERE seen_at > ?::bigint - {FORGOTTEN_AFTER}) > 1 THEN ?::bigint ELSE 0 END
    RETURNING gathering
"""
#: Whatever a spool's node says counts: the first word after a gap begins anew.
_STEADY: Final = f"""
    CASE WHEN spool.steady_since > 0 AND excluded.seen_at < spool.seen_at + {GAP} THEN spool.steady_since ELSE excluded.seen_at END
"""
_REPORT: Final = f"""
    INSERT INTO spool (id, seen_at, done, idle, taken_at, steady_since) VALUES (?, {_NOW}, ?, ?, 0, {_NOW})
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, done = excluded.done, idle = excluded.idle, steady_since = {_STEADY}
"""
#: A node that fell silent while another could reach this server, with an empty spool, and of which nobody has heard since that it spools:
#: it has died, or stands still, and has nothing that anybody could wait for.
_GONE: Final = f"""
    spool.idle AND spool.seen_at BETWEEN head.server AND head.gathering AND spool.warned_at < spool.seen_at AND EXISTS (
        SELECT 1 FROM spool other
        WHERE other.steady_since > 0 AND other.steady_since <= spool.seen_at AND other.seen_at >= spool.seen_at + {GAP})
"""
_WARNED: Final = """
    UPDATE spool SET warned_at = greatest(warned_at, said.at) FROM unnest(?::text[], ?::bigint[]) AS said (id, at) WHERE spool.id = said.id
"""
_AWAITED: Final = f"""
    SELECT count(*) FROM spool, head
    WHERE spool.done < head.gathering AND spool.seen_at > ?::bigint - {FORGOTTEN_AFTER} AND NOT ({_GONE})
    AND (?::bigint < head.silent_until OR spool.seen_at > ?::bigint - {SILENT_FOR} AND ?::bigint < head.gathering + {SLOW_FOR})
"""

Write = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Inbound:
    """What came in just now."""

    entries: Sequence[Entry]
    #: Its node has earlier ones in its spool.
    behind: bool = False
    #: These spools' nodes may have, too; and so many microseconds ago they said so.
    wary: Mapping[str, int] = field(default_factory=dict)

    def joined(self, others: Sequence["Inbound"]) -> "Inbound":
        """All of them as one."""
        several = (self, *others)
        entries = [entry for one in several for entry in one.entries]
        return Inbound(entries, any(one.behind for one in several), {source: ago for one in several for source, ago in one.wary.items()})


async def admit(sql: Sql, heads: Heads, inbound: Inbound) -> list[Kept]:
    """Append it, or keep it behind what is gathered; within a transaction that has locked the head."""
    if heads.restarted or ((inbound.behind or inbound.wary) and not heads.gathering):
        await _begin(sql, heads)
    if inbound.wary:
        await sql.run(_WARNED, (list(inbound.wary), [heads.clock - ago for ago in inbound.wary.values()]))
    if heads.gathering:
        return await _keep(sql, heads, inbound.entries, [heads.clock] * len(inbound.entries))
    if inbound.behind:
        raise Unavailable("nothing is gathered, as there is no other spool: what is behind a spool goes into it")
    return list(await append(sql, heads, inbound.entries))


async def hand_over(sql: Sql, heads: Heads, source: str, entries: Sequence[Entry]) -> list[Kept]:
    """The next ones of a spool; they begin a gathering if there are other spools."""
    if heads.restarted or not heads.gathering:
        await _begin(sql, heads)
    if not heads.gathering:
        return list(await append(sql, heads, entries))
    row = await sql.row("SELECT taken_at FROM spool WHERE id = ?", (source,))
    latest = 0 if row is None else int(row[0])
    ahead = await compare_clocks(sql)
    times = []
    for entry in entries:
        # Never before the one that was put before it, however the clocks have gone.
        latest = max(latest, min(micros(entry.at) + ahead, heads.clock))
        times.append(latest)
    places = await _keep(sql, heads, entries, times)
    await sql.run(
        f"INSERT INTO spool (id, seen_at, done, taken_at, steady_since) VALUES (?, {_NOW}, 0, ?, {_NOW})"
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, done = 0, idle = false, taken_at = excluded.taken_at,"
        f" steady_since = {_STEADY}",
        (source, latest),
    )
    return places


async def merge(sql: Sql, heads: Heads) -> int:
    """The next ones into the stream, unless a spool is still waited for; with the last of them the gathering ends."""
    if not heads.gathering:
        return 0
    if (await sql.rows(_AWAITED, (heads.clock,) * 4))[0][0]:
        return 0
    sizes = await sql.rows(
        f"SELECT id, octet_length(data) + octet_length(raw) FROM gathered ORDER BY taken_at, id LIMIT {BATCH + 1}",
    )
    chosen: list[int] = []
    size = 0
    for id_, length in sizes[:BATCH]:
        size += length
        if chosen and size > _BYTES:
            break
        chosen.append(id_)
    if chosen:
        rows = await sql.rows(f"SELECT {listed(_COLUMNS)} FROM gathered WHERE id = ANY(?::bigint[]) ORDER BY taken_at, id", (chosen,))
        await append(sql, heads, [recorded_of(row).entry for row in rows])
        await sql.run("DELETE FROM gathered WHERE id = ANY(?::bigint[])", (chosen,))
    if len(chosen) == len(sizes):
        await sql.run("UPDATE head SET gathering = 0")
        heads.gathering = 0
    return len(chosen)


async def _begin(sql: Sql, heads: Heads) -> None:
    """From now on events are gathered, if there are several spools; every node has to say anew that it is done."""
    values = (heads.server, heads.clock + (STARTING_FOR if heads.restarted else SILENT_FOR), heads.clock, heads.clock)
    heads.gathering = int((await sql.rows(_BEGIN, values))[0][0])
    heads.restarted = False


async def _keep(sql: Sql, heads: Heads, entries: Sequence[Entry], times: Sequence[int]) -> list[Kept]:
    check_partitions(entries)
    duplicates, _ = await sort_out(sql, heads.last, entries)
    last = int((await sql.rows("SELECT coalesce(max(id), 0) FROM gathered"))[0][0])
    rows = {index: event_row(last + index + 1, times[index], entry) for index, entry in enumerate(entries)}
    # Positions up to here are the stream's; those beyond it would have been given to others of these entries.
    old = {index: pos for index, pos in duplicates.items() if pos <= heads.last}
    fresh = [row for index, row in rows.items() if index not in duplicates]
    taken: set[int] = set()
    if fresh:
        taken = {row[0] for row in await sql.rows(_KEEP, [list(column) for column in zip(*fresh, strict=True)])}
    return [Duplicate(old[index]) if index in old else Gathered(known=rows[index][0] not in taken) for index in range(len(entries))]


class PostgresGathering:
    """``storage.gathering.Gathering``, by a store's own connections."""

    def __init__(self, write: Write, beside: Pool, bus: Bus | None) -> None:
        """``write``: runs a function, or takes an :class:`Inbound`, in a transaction that has locked the head."""
        self._write = write
        self._beside = beside
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        #: Spools of which was said that they begin to fill, and when.
        self._wary: dict[str, float] = {}
        self._deaf = [] if bus is None else [bus.hear(SPOOLING, self._hear)]

    def close(self) -> None:
        """Hear no more."""
        for end in self._deaf:
            end()

    def warn(self, source: str) -> None:
        if self._bus is not None:
            self._bus.tell(SPOOLING, source.encode())

    def _hear(self, data: bytes) -> None:
        self._wary[data.decode(errors="replace")] = self._loop.time()

    async def append(self, entries: Sequence[Entry], *, behind: bool = False) -> Sequence[Kept]:
        kept: list[Kept] = await self._write(Inbound(entries, behind, self._warned()))
        return kept

    def _warned(self) -> dict[str, int]:
        """Of late; a warning counts only for a little while."""
        if not self._wary:
            return {}
        now = self._loop.time()
        self._wary = {source: heard for source, heard in self._wary.items() if now < heard + WARY_SECONDS}
        return {source: round((now - heard) * 1_000_000) for source, heard in self._wary.items()}

    async def hand_over(self, source: str, entries: Sequence[Entry]) -> Sequence[Kept]:
        async def work(tx: Transaction) -> list[Kept]:
            return await hand_over(*_inside(tx), source, entries)

        kept: list[Kept] = await self._write(work)
        return kept

    async def report(self, source: str, done: int, *, idle: bool = False) -> Gather:
        async def action(sql: Sql) -> Gather:
            await sql.run(_REPORT, (source, done, idle))
            since = int((await sql.rows("SELECT gathering FROM head"))[0][0])
            return Gather(since, int((await sql.rows("SELECT count(*) FROM gathered"))[0][0]) if since else 0)

        return await self._beside.small(action)

    async def leave(self, source: str) -> None:
        async def action(sql: Sql) -> None:
            await sql.run("DELETE FROM spool WHERE id = ?", (source,))

        await self._beside.small(action)

    async def merge(self) -> int:
        async def work(tx: Transaction) -> int:
            return await merge(*_inside(tx))

        merged: int = await self._write(work)
        return merged


def _inside(tx: Transaction) -> tuple[Sql, Heads]:
    assert isinstance(tx, PostgresTransaction)
    assert tx.heads is not None
    return tx.sql, tx.heads
