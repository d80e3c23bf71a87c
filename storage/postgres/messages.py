"""Messages: the history, the provider's ids for it, and what came too early."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from connectors.event import Status
from storage.access import Scope
from storage.codec import Row, build, decode_parts, decode_reactions, encode, instant, instant_or_none, marks, micros, micros_or_none
from storage.errors import Conflict, NotFound
from storage.postgres.connection import Sql, Value
from storage.postgres.scope import history_sql
from storage.record import Author, AuthorKind, Message, MessageKind

_NAMES: Final = (
    "pos",
    "id",
    "conversation_id",
    "customer_id",
    "kind",
    "author_kind",
    "author_id",
    "author_name",
    "at",
    "received_at",
    "channel",
    "reply_to",
    "album",
    "forwarded_from",
    "edited_at",
    "deleted",
    "status",
    "problem",
    "possible_duplicate",
    "reactions",
    "parts",
)
_COLUMNS: Final = ", ".join(f"m.{name}" for name in _NAMES)


def _row(message: Message) -> Row:
    return (
        message.pos,
        message.id,
        message.conversation_id,
        message.customer_id,
        message.kind.value,
        message.author.kind.value,
        message.author.id,
        message.author.name,
        micros(message.at),
        micros(message.received_at),
        message.channel,
        message.reply_to,
        message.group,
        message.forwarded_from,
        micros_or_none(message.edited_at),
        message.deleted,
        message.status.value if message.status else "",
        message.problem,
        message.possible_duplicate,
        encode(message.reactions),
        encode(message.parts),
    )


def _message(row: Row) -> Message:
    return Message(
        pos=row[0],
        id=row[1],
        conversation_id=row[2],
        customer_id=row[3],
        kind=MessageKind(row[4]),
        author=Author(kind=AuthorKind(row[5]), id=row[6], name=row[7]),
        at=instant(row[8]),
        received_at=instant(row[9]),
        channel=row[10],
        reply_to=row[11],
        group=row[12],
        forwarded_from=row[13],
        edited_at=instant_or_none(row[14]),
        deleted=bool(row[15]),
        status=Status(row[16]) if row[16] else None,
        problem=row[17],
        possible_duplicate=bool(row[18]),
        reactions=decode_reactions(row[19]),
        parts=decode_parts(row[20]),
    )


class PostgresMessages:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, message_id: str) -> Message | None:
        row = await self._sql.row(f"SELECT {_COLUMNS} FROM message m WHERE m.id = ?", (message_id,))
        return build(_message, row)

    async def insert(self, message: Message) -> None:
        inserted = await self._sql.run(
            f"INSERT INTO message ({', '.join(_NAMES)}) VALUES ({marks(_NAMES)}) ON CONFLICT DO NOTHING", _row(message)
        )
        if not inserted:
            raise Conflict(f"there is already a message {message.id}, or one at {message.pos}")

    async def update(self, message: Message) -> None:
        # Without ``pos``, the first column: where it stands in the stream never changes.
        if not await self._sql.replace_row("message", _NAMES[1:], _row(message)[1:], "id"):
            raise NotFound(f"there is no message {message.id}")

    async def of_conversation(self, conversation_id: str, after: int, before: int, limit: int) -> list[Message]:
        return await self._page(f"SELECT {_COLUMNS} FROM message m WHERE m.conversation_id = ?", [conversation_id], after, before, limit)

    async def of_customer(self, customer_id: str, scope: Scope, after: int, before: int, limit: int) -> list[Message]:
        allowed, values = history_sql(scope)
        select = f"SELECT {_COLUMNS} FROM message m JOIN conversation c ON c.id = m.conversation_id WHERE m.customer_id = ? AND {allowed}"
        return await self._page(select, [customer_id, *values], after, before, limit)

    async def _page(self, select: str, values: Sequence[Value], after: int, before: int, limit: int) -> list[Message]:
        bounds: list[int] = []
        if after:
            select += " AND m.pos > ?"
            bounds.append(after)
        if before:
            select += " AND m.pos < ?"
            bounds.append(before)
        rows = await self._sql.rows(f"{select} ORDER BY m.pos {'ASC' if after else 'DESC'} LIMIT ?", (*values, *bounds, limit))
        return [_message(row) for row in (rows if after else reversed(rows))]

    async def link(self, channel: str, provider_id: str, message_id: str, part: int) -> None:
        linked = await self._sql.run(
            "INSERT INTO provider_message VALUES (?, ?, ?, ?) ON CONFLICT (channel, provider_id) DO UPDATE SET part = excluded.part"
            " WHERE provider_message.message_id = excluded.message_id",
            (channel, provider_id, message_id, part),
        )
        if not linked:
            raise Conflict(f"the id {provider_id} of {channel} belongs to another message than {message_id}")

    async def by_provider_id(self, channel: str, provider_id: str) -> Message | None:
        row = await self._sql.row(
            f"SELECT {_COLUMNS} FROM provider_message p JOIN message m ON m.id = p.message_id WHERE p.channel = ? AND p.provider_id = ?",
            (channel, provider_id),
        )
        return build(_message, row)

    async def provider_ids(self, channel: str, message_id: str) -> list[str]:
        rows = await self._sql.rows(
            "SELECT provider_id FROM provider_message WHERE message_id = ? AND channel = ? ORDER BY part, provider_id",
            (message_id, channel),
        )
        return [row[0] for row in rows]

    async def park(self, channel: str, provider_id: str, data: bytes, at: datetime) -> None:
        await self._sql.run(
            "INSERT INTO parked (channel, provider_id, data, at) VALUES (?, ?, ?, ?)", (channel, provider_id, data, micros(at))
        )

    async def any_parked(self) -> bool:
        return await self._sql.row("SELECT 1 FROM parked LIMIT 1") is not None

    async def unpark(self, channel: str, provider_id: str) -> list[bytes]:
        rows = await self._sql.rows("SELECT data FROM parked WHERE channel = ? AND provider_id = ? ORDER BY id", (channel, provider_id))
        if rows:
            await self._sql.run("DELETE FROM parked WHERE channel = ? AND provider_id = ?", (channel, provider_id))
        return [row[0] for row in rows]

    async def forget_parked(self, before: datetime) -> int:
        return await self._sql.run("DELETE FROM parked WHERE at < ?", (micros(before),))
