"""Replies accepted and not finished, and every try of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from connectors.event import Status
from connectors.identity import PARTITIONS
from storage.codec import instant, marks, micros
from storage.errors import Conflict, NotFound
from storage.protocol import EVERY_PARTITION, Slots
from storage.record import Attempt, OutboxItem, Priority
from storage.rows.sending import ATTEMPT, ITEM, attempt_of, attempt_row, item_of, item_row
from storage.rows.sql import insert, listed
from storage.sqlite.connection import Sql

_COLUMNS: Final = listed(ITEM, "o")
#: The first in turn of the unfinished items of its conversation, and nothing of the conversation is on its way.
_NEXT_OF_CONVERSATION: Final = """
    o.finished = 0 AND o.status != 'sending' AND NOT EXISTS (
        SELECT 1 FROM outbox p
        WHERE p.conversation_id = o.conversation_id AND p.finished = 0
          AND (p.status = 'sending' OR p.priority < o.priority OR (p.priority = o.priority AND p.seq < o.seq)))
"""
#: The channels that something waits in: a look at the index for each, however much waits.
_WAITING: Final = """
    WITH RECURSIVE waiting(channel) AS (
        SELECT min(channel) FROM outbox WHERE finished = 0
        UNION ALL
        SELECT (SELECT min(channel) FROM outbox WHERE finished = 0 AND channel > waiting.channel) FROM waiting WHERE channel IS NOT NULL)
"""


def _among(partitions: Collection[int]) -> str:
    """A condition for SQLite: none at all if all are meant, which is so wherever one process sends everything."""
    return "TRUE" if len(partitions) == PARTITIONS else f"o.partition IN ({marks(_values(partitions))})"


def _values(partitions: Collection[int]) -> tuple[int, ...]:
    return () if len(partitions) == PARTITIONS else tuple(sorted(partitions))


class SqliteOutbox:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def _all(self, rest: str, values: Sequence[str | int]) -> list[OutboxItem]:
        return [item_of(row) for row in self._sql.rows(f"SELECT {_COLUMNS} FROM outbox o {rest}", values)]

    async def put(self, item: OutboxItem) -> None:
        self._sql.run(insert("outbox", ITEM), item_row(item))

    async def get(self, message_id: str) -> OutboxItem | None:
        return next(iter(self._all("WHERE o.message_id = ?", (message_id,))), None)

    async def claim(
        self, now: datetime, slots: Mapping[str, Slots], known: Collection[str], partitions: Collection[int] = EVERY_PARTITION
    ) -> list[OutboxItem]:
        strangers = self._sql.rows(f"{_WAITING} SELECT channel FROM waiting WHERE channel NOT IN ({marks(list(known))})", tuple(known))
        due: list[OutboxItem] = []
        for channel, (whole, bulk) in {**slots, **{channel: Slots(1, 1) for (channel,) in strangers}}.items():
            agents = self._due(now, channel, Priority.AGENT, partitions, whole)
            rest = min(whole - len(agents), bulk)
            due += agents + (self._due(now, channel, Priority.BULK, partitions, rest) if rest else [])
        return self._begin(due, now)

    def _due(self, now: datetime, channel: str, priority: Priority, partitions: Collection[int], limit: int) -> list[OutboxItem]:
        time = micros(now)
        # The plus signs keep SQLite from choosing an index that would walk through more than what is due.
        return self._all(
            f"WHERE o.channel = ? AND o.priority = ? AND +o.next_at <= ? AND +o.expires_at > ? AND {_among(partitions)}"
            f" AND {_NEXT_OF_CONVERSATION} ORDER BY o.seq LIMIT ?",
            (channel, priority, time, time, *_values(partitions), limit),
        )

    def _begin(self, due: Sequence[OutboxItem], now: datetime) -> list[OutboxItem]:
        """They are under way from now on, with an attempt each."""
        claimed = [replace(item, status=Status.SENDING, attempts=item.attempts + 1) for item in due]
        with self._sql.savepoint():
            for item in claimed:
                self._sql.run("UPDATE outbox SET status = 'sending', attempts = ? WHERE message_id = ?", (item.attempts, item.message_id))
                self._sql.run("INSERT INTO attempt VALUES (?, ?, ?, NULL, '', '', '')", (item.message_id, item.attempts, micros(now)))
        return claimed

    async def update(self, item: OutboxItem) -> None:
        row = item_row(item)
        try:
            changed = self._sql.run(
                f"UPDATE outbox SET {', '.join(f'{name} = ?' for name in ITEM[1:])} WHERE message_id = ?", (*row[1:], row[0])
            )
        except Conflict as error:
            raise Conflict(f"another reply of conversation {item.conversation_id} is already on its way") from error.__cause__
        if not changed:
            raise NotFound(f"the outbox has no reply {item.message_id}")

    async def under_way(self, partitions: Collection[int] = EVERY_PARTITION) -> list[OutboxItem]:
        return self._all(f"WHERE o.status = 'sending' AND o.finished = 0 AND {_among(partitions)} ORDER BY +o.seq", _values(partitions))

    async def next_due(
        self, paused: frozenset[str], partitions: Collection[int] = EVERY_PARTITION, lowest: Priority = Priority.BULK
    ) -> datetime | None:
        (row,) = self._sql.rows(
            f"""{_WAITING}
            SELECT min((
                SELECT o.next_at FROM outbox o
                WHERE o.channel = waiting.channel AND o.priority = urgency.column1 AND {_among(partitions)} AND {_NEXT_OF_CONVERSATION}
                ORDER BY o.next_at LIMIT 1))
            FROM waiting, (VALUES ({Priority.AGENT:d}), ({Priority.BULK:d})) AS urgency
            WHERE urgency.column1 <= ? AND waiting.channel NOT IN ({marks(list(paused))})""",
            (*_values(partitions), lowest, *paused),
        )
        return None if row[0] is None else instant(row[0])

    async def expired(self, now: datetime, limit: int) -> list[OutboxItem]:
        return self._all(
            "WHERE o.finished = 0 AND o.status != 'sending' AND o.expires_at <= ? ORDER BY o.seq LIMIT ?", (micros(now), limit)
        )

    async def waiting_count(self) -> dict[str, int]:
        return dict(self._sql.rows("SELECT channel, count(*) FROM outbox WHERE finished = 0 GROUP BY channel"))

    async def redirect(self, channel: str, old_thread: str, new_thread: str) -> None:
        self._sql.run("UPDATE outbox SET thread = ? WHERE channel = ? AND thread = ? AND finished = 0", (new_thread, channel, old_thread))

    async def finish_attempt(self, attempt: Attempt) -> None:
        changed = self._sql.run(
            "UPDATE attempt SET started_at = ?, finished_at = ?, outcome = ?, code = ?, detail = ? WHERE message_id = ? AND number = ?",
            attempt_row(attempt),
        )
        if not changed:
            raise NotFound(f"attempt {attempt.number} of reply {attempt.message_id} was never begun")

    async def attempts(self, message_id: str) -> list[Attempt]:
        rows = self._sql.rows(f"SELECT {listed(ATTEMPT)} FROM attempt WHERE message_id = ? ORDER BY number", (message_id,))
        return [attempt_of(row) for row in rows]
