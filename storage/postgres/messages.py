"""Messages: the history, the provider's ids for it, and what came too early."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from connectors.event import Status
from storage.access import Scope
from storage.codec import Row, micros
from storage.errors import Conflict, NotFound
from storage.piece import Piece
from storage.postgres.connection import Sql, Value
from storage.postgres.memory import ABSENT, Way
from storage.postgres.scope import history_sql
from storage.postgres.tables import MESSAGES, PIECES
from storage.record import Message, MessageKind
from storage.rows.history import MESSAGE, message_of, message_row, piece_of
from storage.rows.sql import listed

_COLUMNS: Final = listed(MESSAGE, "m")
_KIND: Final = MESSAGE.index("kind")
_PIECE: Final = listed(PIECES.columns, "p")
#: What a message is known to be at its provider: the ids of its pieces.
_OF_MESSAGE: Final = "of message"
_PIECES_OF: Final = f"""
    SELECT {_PIECE} FROM unnest(?::text[], ?::text[]) AS asked (channel, message_id) JOIN provider_message p USING (channel, message_id)
"""
_FORESEEN: Final = f"""
    SELECT asked.channel, asked.id, EXISTS (SELECT 1 FROM parked w WHERE w.channel = asked.channel),
           EXISTS (SELECT 1 FROM parked w WHERE w.channel = asked.channel AND w.provider_id = asked.id), {_PIECE}, {_COLUMNS}
    FROM unnest(?::text[], ?::text[]) AS asked (channel, id)
    LEFT JOIN provider_message p ON p.channel = asked.channel AND p.provider_id = asked.id LEFT JOIN message m ON m.id = p.message_id
"""


class PostgresMessages:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, message_id: str) -> Message | None:
        row = await self._sql.current(MESSAGES, (message_id,))
        return message_of(row) if row else None

    async def insert(self, message: Message) -> None:
        await self._sql.write(MESSAGES, message_row(message), Way.INSERT, refusable=True)

    async def update(self, message: Message) -> None:
        if not await self._sql.change_row(MESSAGES, message_row(message)):
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
        return [message_of(row) for row in (rows if after else reversed(rows))]

    async def link(self, channel: str, provider_id: str, message_id: str, part: int) -> None:
        known = await self._sql.current(PIECES, (channel, provider_id))
        if known and known[1] != message_id:
            raise Conflict(f"the id {provider_id} of {channel} belongs to another message than {message_id}")
        if known:
            await self._sql.change_row(PIECES, (*known[:2], part, *known[3:]))
            return
        await self._sql.write(PIECES, (channel, message_id, part, provider_id, "", ""), Way.INSERT)
        self._know_of(channel, message_id, provider_id)

    async def report(self, channel: str, provider_id: str, message_id: str, status: Status, problem: str) -> None:
        known = await self._sql.current(PIECES, (channel, provider_id))
        if known and known[1] == message_id:
            await self._sql.change_row(PIECES, (*known[:4], status.value, problem))

    async def pieces(self, channel: str, message_id: str) -> list[Piece]:
        return [piece_of(row[2:]) for row in await self._pieces(channel, message_id)]

    async def provider_ids(self, channel: str, message_id: str) -> list[str]:
        return [row[3] for row in await self._pieces(channel, message_id)]

    async def _pieces(self, channel: str, message_id: str) -> list[Row]:
        memory = self._sql.memory
        await self.foresee_pieces([(channel, message_id)])
        ids = memory.recall("provider_message", (_OF_MESSAGE, channel, message_id)) or ()
        rows = [memory.recall("provider_message", (channel, id_)) or ABSENT for id_ in ids]
        return sorted(rows, key=lambda row: row[2:4])

    def _know_of(self, channel: str, message_id: str, provider_id: str) -> None:
        key = (_OF_MESSAGE, channel, message_id)
        known = self._sql.memory.recall("provider_message", key)
        if known is not None:
            self._sql.memory.remember("provider_message", key, (*known, provider_id))

    async def foresee_pieces(self, messages: Collection[tuple[str, str]]) -> None:
        """Read what these (channel, message id) are at their providers."""
        memory = self._sql.memory
        wanted = [key for key in dict.fromkeys(messages) if memory.recall("provider_message", (_OF_MESSAGE, *key)) is None]
        if not wanted:
            return
        rows = await self._sql.rows(_PIECES_OF, [list(column) for column in zip(*wanted, strict=True)])
        for key in wanted:
            memory.remember("provider_message", (_OF_MESSAGE, *key), ())
        for row in rows:
            memory.remember("provider_message", PIECES.key_of(row), row)
            self._know_of(row[0], row[1], row[3])

    async def foresee(self, provider_ids: Collection[tuple[str, str]]) -> None:
        """Read the messages that have these (channel, provider's id), and whether anything waits for them."""
        memory = self._sql.memory
        wanted = [key for key in dict.fromkeys(provider_ids) if memory.recall("provider_message", key) is None]
        if not wanted:
            return
        width = len(PIECES.columns)
        for row in await self._sql.rows(_FORESEEN, [list(column) for column in zip(*wanted, strict=True)]):
            channel, provider_id, any_parked, parked = row[:4]
            piece, message = row[4 : 4 + width], row[4 + width :]
            memory.remember("parked", (channel,), (any_parked,))
            if not parked:
                memory.remember("parked", (channel, provider_id), ABSENT)
            memory.remember("provider_message", (channel, provider_id), ABSENT if piece[0] is None else piece)
            if message[0] is not None:
                memory.remember("message", MESSAGES.key_of(message), message)

    def ours(self, provider_ids: AbstractSet[tuple[str, str]]) -> set[str]:
        """Those of these messages that went out, by our ids, as far as they have been read."""
        pieces = (self._sql.memory.recall("provider_message", key) for key in provider_ids)
        rows = (self._sql.memory.recall("message", piece[1:2]) for piece in pieces if piece)
        return {row[1] for row in rows if row and row[_KIND] == MessageKind.OUTBOUND.value}

    async def by_provider_id(self, channel: str, provider_id: str) -> Message | None:
        await self.foresee([(channel, provider_id)])
        piece = self._sql.memory.recall("provider_message", (channel, provider_id))
        return await self.get(piece[1]) if piece else None

    async def park(self, channel: str, provider_id: str, data: bytes, at: datetime) -> None:
        await self._sql.run(
            "INSERT INTO parked (channel, provider_id, data, at) VALUES (?, ?, ?, ?)", (channel, provider_id, data, micros(at))
        )

    async def any_parked(self, channel: str = "") -> bool:
        if not channel:
            return await self._sql.row("SELECT 1 FROM parked LIMIT 1") is not None
        known = self._sql.memory.recall("parked", (channel,))
        if known is None:
            known = (await self._sql.row("SELECT 1 FROM parked WHERE channel = ? LIMIT 1", (channel,)) is not None,)
            self._sql.memory.remember("parked", (channel,), known)
        return bool(known[0])

    async def unpark(self, channel: str, provider_id: str) -> list[bytes]:
        if self._sql.memory.recall("parked", (channel, provider_id)) == ABSENT:
            return []
        rows = await self._sql.rows("SELECT data FROM parked WHERE channel = ? AND provider_id = ? ORDER BY id", (channel, provider_id))
        if rows:
            await self._sql.run("DELETE FROM parked WHERE channel = ? AND provider_id = ?", (channel, provider_id))
        return [row[0] for row in rows]

    async def forget_parked(self, before: datetime) -> int:
        return await self._sql.run("DELETE FROM parked WHERE at < ?", (micros(before),))
