"""Messages: the history, the provider's ids for it, and what came too early."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from connectors.event import Status
from storage.access import Scope
from storage.codec import build, micros
from storage.errors import Conflict, NotFound
from storage.piece import Piece
from storage.record import Message
from storage.rows.history import MESSAGE, PIECE, message_of, message_row, piece_of
from storage.rows.sql import insert, listed
from storage.sqlite.connection import Sql
from storage.sqlite.scope import history_sql

_COLUMNS: Final = listed(MESSAGE, "m")


class SqliteMessages:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, message_id: str) -> Message | None:
        row = self._sql.row(f"SELECT {_COLUMNS} FROM message m WHERE m.id = ?", (message_id,))
        return build(message_of, row)

    async def insert(self, message: Message) -> None:
        self._sql.run(insert("message", MESSAGE), message_row(message))

    async def update(self, message: Message) -> None:
        # Without ``pos``, the first column: where it stands in the stream never changes.
        if not self._sql.replace_row("message", MESSAGE[1:], message_row(message)[1:], "id"):
            raise NotFound(f"there is no message {message.id}")

    async def of_conversation(self, conversation_id: str, after: int, before: int, limit: int) -> list[Message]:
        return self._page(f"SELECT {_COLUMNS} FROM message m WHERE m.conversation_id = ?", [conversation_id], after, before, limit)

    async def of_customer(self, customer_id: str, scope: Scope, after: int, before: int, limit: int) -> list[Message]:
        allowed, values = history_sql(scope)
        select = (
            f"SELECT {_COLUMNS} FROM message m CROSS JOIN conversation c ON c.id = m.conversation_id WHERE m.customer_id = ? AND {allowed}"
        )
        return self._page(select, [customer_id, *values], after, before, limit)

    def _page(self, select: str, values: Sequence[str], after: int, before: int, limit: int) -> list[Message]:
        bounds: list[int] = []
        if after:
            select += " AND m.pos > ?"
            bounds.append(after)
        if before:
            select += " AND m.pos < ?"
            bounds.append(before)
        rows = self._sql.rows(f"{select} ORDER BY m.pos {'ASC' if after else 'DESC'} LIMIT ?", (*values, *bounds, limit))
        return [message_of(row) for row in (rows if after else reversed(rows))]

    async def link(self, channel: str, provider_id: str, message_id: str, part: int) -> None:
        linked = self._sql.run(
            "INSERT INTO provider_message (channel, provider_id, message_id, part) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (channel, provider_id) DO UPDATE SET part = excluded.part"
            " WHERE message_id = excluded.message_id",
            (channel, provider_id, message_id, part),
        )
        if not linked:
            raise Conflict(f"the id {provider_id} of {channel} belongs to another message than {message_id}")

    async def report(self, channel: str, provider_id: str, message_id: str, status: Status, problem: str) -> None:
        self._sql.run(
            "UPDATE provider_message SET status = ?, problem = ? WHERE channel = ? AND provider_id = ? AND message_id = ?",
            (status.value, problem, channel, provider_id, message_id),
        )

    async def pieces(self, channel: str, message_id: str) -> list[Piece]:
        rows = self._sql.rows(
            f"SELECT {listed(PIECE)} FROM provider_message WHERE message_id = ? AND channel = ? ORDER BY part, provider_id",
            (message_id, channel),
        )
        return [piece_of(row) for row in rows]

    async def by_provider_id(self, channel: str, provider_id: str) -> Message | None:
        row = self._sql.row(
            f"SELECT {_COLUMNS} FROM provider_message p JOIN message m ON m.id = p.message_id WHERE p.channel = ? AND p.provider_id = ?",
            (channel, provider_id),
        )
        return build(message_of, row)

    async def provider_ids(self, channel: str, message_id: str) -> list[str]:
        rows = self._sql.rows(
            "SELECT provider_id FROM provider_message WHERE message_id = ? AND channel = ? ORDER BY part, provider_id",
            (message_id, channel),
        )
        return [row[0] for row in rows]

    async def park(self, channel: str, provider_id: str, data: bytes, at: datetime) -> None:
        self._sql.run("INSERT INTO parked (channel, provider_id, data, at) VALUES (?, ?, ?, ?)", (channel, provider_id, data, micros(at)))

    async def any_parked(self, channel: str = "") -> bool:
        if not channel:
            return self._sql.row("SELECT 1 FROM parked LIMIT 1") is not None
        return self._sql.row("SELECT 1 FROM parked WHERE channel = ? LIMIT 1", (channel,)) is not None

    async def unpark(self, channel: str, provider_id: str) -> list[bytes]:
        rows = self._sql.rows("SELECT data FROM parked WHERE channel = ? AND provider_id = ? ORDER BY id", (channel, provider_id))
        if rows:
            self._sql.run("DELETE FROM parked WHERE channel = ? AND provider_id = ?", (channel, provider_id))
        return [row[0] for row in rows]

    async def forget_parked(self, before: datetime) -> int:
        return self._sql.run("DELETE FROM parked WHERE at < ?", (micros(before),))
