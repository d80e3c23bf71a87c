"""Replies accepted and not finished, and every try of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from connectors.event import Status
from connectors.identity import PARTITIONS
from storage.codec import instant, micros
from storage.errors import Conflict, NotFound
from storage.postgres.connection import Sql, Value
from storage.postgres.memory import Way
from storage.postgres.tables import ATTEMPTS, ITEMS
from storage.protocol import EVERY_PARTITION, Slots
from storage.record import Attempt, OutboxItem, Priority
from storage.rows.sending import ATTEMPT, ITEM, attempt_of, attempt_row, item_of, item_row
from storage.rows.sql import listed

#: One of a conversation may have the status sending.
_ONE_IN_FLIGHT: Final = ("status", "conversation_id")
_COLUMNS: Final = listed(ITEM, "o")
#: The first in turn of the unfinished items of its conversation, and nothing of the conversation is on its way.
_NEXT_OF_CONVERSATION: Final = """
    NOT o.finished AND o.status != 'sending' AND NOT EXISTS (
        SELECT 1 FROM outbox p
        WHERE p.conversation_id = o.conversation_id AND NOT p.finished
          AND (p.status = 'sending' OR p.priority < o.priority OR (p.priority = o.priority AND p.seq < o.seq)))
"""

#: The channels that something waits in: a look at the index for each, however much waits.
_WAITING: Final = """
    WITH RECURSIVE waiting(channel) AS (
        SELECT min(channel) FROM outbox WHERE NOT finished
        UNION ALL
        SELECT (SELECT min(channel) FROM outbox WHERE NOT finished AND channel > waiting.channel) FROM waiting WHERE channel IS NOT NULL)
"""
_DUE: Final = f"""
    SELECT o.priority AS first, o.seq AS second, {_COLUMNS} FROM outbox o
    WHERE o.channel = open.channel AND o.next_at <= ? AND o.expires_at > ? AND {{among}} AND {_NEXT_OF_CONVERSATION}
"""
#: Of each channel: people's replies before all others.
_CLAIM: Final = f"""{_WAITING},
    open AS (
        SELECT * FROM unnest(?::text[], ?::bigint[], ?::bigint[]) AS slots (channel, whole, bulk)
        UNION ALL SELECT channel, 1, 1 FROM waiting WHERE channel != ALL(?))
    SELECT found.* FROM open CROSS JOIN LATERAL (
        (({_DUE} AND o.priority = {Priority.AGENT:d} ORDER BY o.seq LIMIT open.whole)
         UNION ALL ({_DUE} AND o.priority = {Priority.BULK:d} ORDER BY o.seq LIMIT open.bulk))
        ORDER BY first, second LIMIT open.whole) AS found
    ORDER BY found.first, found.second
"""
_NEXT_DUE: Final = f"""{_WAITING}
    SELECT min(first.next_at) FROM waiting
    CROSS JOIN (VALUES ({Priority.AGENT:d}), ({Priority.BULK:d})) AS urgency (priority)
    CROSS JOIN LATERAL (
        SELECT o.next_at FROM outbox o
        WHERE o.channel = waiting.channel AND o.priority = urgency.priority AND {{among}} AND {_NEXT_OF_CONVERSATION}
        ORDER BY o.next_at LIMIT 1) AS first
    WHERE urgency.priority <= ? AND waiting.channel != ALL(?)
"""
#: Under way from now on, with an attempt each; of all at once, because everybody else waits for the head meanwhile.
_MARK: Final = """
    WITH marked AS (
      UPDATE outbox SET status = 'sending', attempts = attempts + 1 WHERE message_id = ANY(?) RETURNING message_id, attempts)
    INSERT INTO attempt SELECT message_id, attempts, ?, NULL, '', '', '' FROM marked
"""


def _among(partitions: Collection[int]) -> str:
    """A condition: none at all if all are meant, which is so wherever one process sends everything."""
    return "TRUE" if len(partitions) == PARTITIONS else "o.partition = ANY(?)"


def _values(partitions: Collection[int]) -> tuple[Value, ...]:
    return () if len(partitions) == PARTITIONS else (sorted(partitions),)


class PostgresOutbox:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def _all(self, rest: str, values: Sequence[Value]) -> list[OutboxItem]:
        rows = await self._sql.rows(f"SELECT {_COLUMNS} FROM outbox o {rest}", values)
        for row in rows:
            self._sql.memory.remember("outbox", row[:1], row)
        return [item_of(row) for row in rows]

    async def put(self, item: OutboxItem) -> None:
        try:
            await self._sql.write(ITEMS, item_row(item), Way.INSERT, refusable=True)
        except Conflict as error:
            message = f"the outbox already has the reply {item.message_id}, or one of its conversation is on its way"
            raise Conflict(message) from error.__cause__

    async def get(self, message_id: str) -> OutboxItem | None:
        row = await self._sql.current(ITEMS, (message_id,))
        return item_of(row) if row else None

    async def claim(
        self, now: datetime, slots: Mapping[str, Slots], known: Collection[str], partitions: Collection[int] = EVERY_PARTITION
    ) -> list[OutboxItem]:
        time = micros(now)
        which = (time, time, *_values(partitions))
        columns = (list(slots), [one.whole for one in slots.values()], [one.bulk for one in slots.values()])
        rows = await self._sql.rows(_CLAIM.replace("{among}", _among(partitions)), (*columns, sorted(known), *which, *which))
        return await self._begin([item_of(row[2:]) for row in rows], time)

    async def _begin(self, due: Sequence[OutboxItem], time: int) -> list[OutboxItem]:
        """They are under way from now on."""
        claimed = [replace(item, status=Status.SENDING, attempts=item.attempts + 1) for item in due]
        if claimed:
            await self._sql.try_run(_MARK, ([item.message_id for item in claimed], time))
        return claimed

    async def update(self, item: OutboxItem) -> None:
        try:
            known = await self._sql.change_row(ITEMS, item_row(item), _ONE_IN_FLIGHT if item.status is Status.SENDING else ())
        except Conflict as error:
            raise Conflict(f"another reply of conversation {item.conversation_id} is already on its way") from error.__cause__
        if not known:
            raise NotFound(f"the outbox has no reply {item.message_id}")

    async def under_way(self, partitions: Collection[int] = EVERY_PARTITION) -> list[OutboxItem]:
        return await self._all(
            f"WHERE o.status = 'sending' AND NOT o.finished AND {_among(partitions)} ORDER BY o.seq", _values(partitions)
        )

    async def next_due(
        self, paused: frozenset[str], partitions: Collection[int] = EVERY_PARTITION, lowest: Priority = Priority.BULK
    ) -> datetime | None:
        (row,) = await self._sql.rows(_NEXT_DUE.replace("{among}", _among(partitions)), (*_values(partitions), lowest, sorted(paused)))
        return None if row[0] is None else instant(row[0])

    async def expired(self, now: datetime, limit: int) -> list[OutboxItem]:
        return await self._all(
            "WHERE NOT o.finished AND o.status != 'sending' AND o.expires_at <= ? ORDER BY o.seq LIMIT ?", (micros(now), limit)
        )

    async def waiting_count(self) -> dict[str, int]:
        return dict(await self._sql.rows("SELECT channel, count(*) FROM outbox WHERE NOT finished GROUP BY channel"))

    async def redirect(self, channel: str, old_thread: str, new_thread: str) -> None:
        await self._sql.run(
            "UPDATE outbox SET thread = ? WHERE channel = ? AND thread = ? AND NOT finished", (new_thread, channel, old_thread)
        )

    async def finish_attempt(self, attempt: Attempt) -> None:
        try:
            await self._sql.write(ATTEMPTS, attempt_row(attempt), Way.CHANGE)
        except NotFound as error:
            raise NotFound(f"attempt {attempt.number} of reply {attempt.message_id} was never begun") from error

    async def attempts(self, message_id: str) -> list[Attempt]:
        rows = await self._sql.rows(f"SELECT {listed(ATTEMPT)} FROM attempt WHERE message_id = ? ORDER BY number", (message_id,))
        return [attempt_of(row) for row in rows]
