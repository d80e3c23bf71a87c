"""Conversations: the inbox's rows."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from connectors.identity import Identity
from storage.access import Scope
from storage.codec import Row, micros
from storage.errors import Conflict, NotFound
from storage.postgres.connection import Sql, Value
from storage.postgres.memory import ABSENT, Way
from storage.postgres.scope import scope_sql
from storage.postgres.tables import CONVERSATIONS, COUNTERS
from storage.record import Conversation, State
from storage.rows.history import CONVERSATION, conversation_of, conversation_row
from storage.rows.sql import listed

#: What a pair is known to have: its unresolved conversation, and its newest.
_UNRESOLVED: Final = "unresolved"
_LATEST: Final = "latest"
#: Where a row has its channel and identity, and its state.
_PAIR: Final = slice(CONVERSATION.index("channel"), CONVERSATION.index("value") + 1)
_STATE: Final = CONVERSATION.index("state")
#: An unresolved one may already have these.
_UNIQUE: Final = ("number", "channel", "scheme", "scope", "value", "state")
_SELECT: Final = f"SELECT {listed(CONVERSATION)} FROM conversation c"
_NEWEST: Final = f"{_SELECT} WHERE channel = ? AND scheme = ? AND scope = ? AND value = ? ORDER BY number DESC LIMIT 1"
_WAITING: Final = f"""
    SELECT found.* FROM unnest(?::text[]) AS asked (queue_id) CROSS JOIN LATERAL (
        {_SELECT} WHERE c.queue_id = asked.queue_id AND c.state = 'queued' ORDER BY c.waiting_since, c.number LIMIT ?) AS found
"""
_OF_PAIRS: Final = f"""
    SELECT found.* FROM unnest(?::text[], ?::text[], ?::text[], ?::text[]) AS asked (channel, scheme, scope, value)
    CROSS JOIN LATERAL ({_SELECT} WHERE c.channel = asked.channel AND c.scheme = asked.scheme AND c.scope = asked.scope
        AND c.value = asked.value ORDER BY c.state = 'resolved', c.number DESC LIMIT 1) AS found
"""


class PostgresConversations:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def _all(self, rest: str, values: Sequence[Value]) -> list[Conversation]:
        return self._remembered(await self._sql.rows(f"{_SELECT} {rest}", values))

    def _remembered(self, rows: Sequence[Row]) -> list[Conversation]:
        for row in rows:
            # Mostly it is changed next, and compared with what it was.
            self._sql.memory.remember("conversation", row[:1], row)
        return [conversation_of(row) for row in rows]

    async def get(self, conversation_id: str, scope: Scope) -> Conversation | None:
        allowed, values = scope_sql(scope)
        row = self._sql.memory.recall("conversation", (conversation_id,))
        if row is not None or allowed == "TRUE":
            row = await self._sql.current(CONVERSATIONS, (conversation_id,))
            found = conversation_of(row) if row else None
            return found if found and scope.admits(queues=(found.queue_id,), identity=str(found.identity)) else None
        return next(iter(await self._all(f"WHERE c.id = ? AND {allowed}", (conversation_id, *values))), None)

    async def unresolved(self, channel: str, identity: Identity) -> Conversation | None:
        return await self._of_pair(_UNRESOLVED, channel, identity)

    async def latest(self, channel: str, identity: Identity) -> Conversation | None:
        return await self._of_pair(_LATEST, channel, identity)

    async def _of_pair(self, which: str, channel: str, identity: Identity) -> Conversation | None:
        key = (which, channel, identity.scheme, identity.scope, identity.value)
        found = self._sql.memory.recall("conversation", key)
        if found is None:
            await self.foresee([(channel, identity)])
            found = self._sql.memory.recall("conversation", key)
        if found is None:
            # There is an unresolved one, and whether it is the newest was not asked.
            rows = await self._sql.rows(_NEWEST, key[1:])
            return conversation_of(rows[0]) if rows else None
        row = await self._sql.current(CONVERSATIONS, found) if found else None
        return conversation_of(row) if row else None

    async def foresee(self, pairs: Collection[tuple[str, Identity]]) -> None:
        """Read the unresolved conversation of each pair, or else its newest."""
        memory = self._sql.memory
        keys = {(channel, one.scheme, one.scope, one.value) for channel, one in pairs}
        wanted = [key for key in keys if memory.recall("conversation", (_UNRESOLVED, *key)) is None]
        if not wanted:
            return
        rows = await self._sql.rows(_OF_PAIRS, [list(column) for column in zip(*wanted, strict=True)])
        for key in wanted:
            memory.remember("conversation", (_UNRESOLVED, *key), ABSENT)
            memory.remember("conversation", (_LATEST, *key), ABSENT)
        for row in rows:
            memory.remember("conversation", row[:1], row)
            self._note(row)

    def _note(self, row: Row) -> None:
        """Which one the pair's is now."""
        memory, pair = self._sql.memory, row[_PAIR]
        if row[_STATE] != State.RESOLVED.value:
            memory.remember("conversation", (_UNRESOLVED, *pair), row[:1])
            memory.forget_key("conversation", (_LATEST, *pair))
            return
        if memory.recall("conversation", (_UNRESOLVED, *pair)) == row[:1]:
            memory.remember("conversation", (_UNRESOLVED, *pair), ABSENT)
        if memory.recall("conversation", (_LATEST, *pair)) == ABSENT:
            memory.remember("conversation", (_LATEST, *pair), row[:1])

    async def by_thread(self, channel: str, thread: str) -> list[Conversation]:
        return await self._all("WHERE channel = ? AND thread = ? AND state != 'resolved' ORDER BY number", (channel, thread))

    async def next_number(self) -> int:
        key = ("conversation",)
        (_, value) = await self._sql.current(COUNTERS, key) or (*key, 0)
        await self._sql.write(COUNTERS, (*key, value + 1), Way.CHANGE)
        return int(value) + 1

    async def insert(self, conversation: Conversation) -> None:
        row = conversation_row(conversation)
        with _explained(conversation):
            await self._make_room(row)
            await self._sql.write(CONVERSATIONS, row, Way.INSERT, refusable=True)
        self._sql.memory.forget_key("conversation", (_LATEST, *row[_PAIR]))
        self._note(row)

    async def update(self, conversation: Conversation) -> None:
        row = conversation_row(conversation)
        old = await self._sql.current(CONVERSATIONS, row[:1])
        if not old:
            raise NotFound(f"there is no conversation {conversation.id}")
        with _explained(conversation):
            if old[_STATE] != row[_STATE]:
                await self._make_room(row)
            await self._sql.change_row(CONVERSATIONS, row, _UNIQUE)
        self._note(row)

    async def _make_room(self, row: Row) -> None:
        """What waits to be written of the same pair goes first: within one statement nobody knows the order."""
        others = self._sql.memory.pending(CONVERSATIONS)
        if any(other[_PAIR] == row[_PAIR] and other[0] != row[0] for other in others):
            await self._sql.flush()

    async def waiting(self, queue_ids: Collection[str], limit: int) -> list[Conversation]:
        return self._remembered(await self._sql.rows(_WAITING, (list(queue_ids), limit)))

    async def due(self, now: datetime, limit: int) -> list[Conversation]:
        return await self._all(
            "WHERE state = 'snoozed' AND snoozed_until <= ? ORDER BY snoozed_until, number LIMIT ?", (micros(now), limit)
        )

    async def page(
        self, scope: Scope, *, states: Sequence[State], queue_id: str, assignee_id: str, before: int, limit: int
    ) -> list[Conversation]:
        allowed, scope_values = scope_sql(scope)
        conditions, values = [allowed], [*scope_values]
        more: list[Value] = []
        if states:
            conditions.append("c.state = ANY(?)")
            more.append([state.value for state in states])
            if State.RESOLVED not in states:
                # Says nothing new, but lets PostgreSQL use the index of live conversations.
                conditions.append("c.state != 'resolved'")
        for column, value in (("c.queue_id = ?", queue_id), ("c.assignee_id = ?", assignee_id), ("c.last_pos < ?", before)):
            if value:
                conditions.append(column)
                more.append(value)
        return await self._all(f"WHERE {' AND '.join(conditions)} ORDER BY c.last_pos DESC, c.number DESC LIMIT ?", (*values, *more, limit))

    async def of_customer(self, customer_id: str, scope: Scope) -> list[Conversation]:
        allowed, values = scope_sql(scope)
        return await self._all(f"WHERE c.customer_id = ? AND {allowed} ORDER BY c.number DESC", (customer_id, *values))

    async def counts(self, scope: Scope) -> dict[tuple[str, State], int]:
        allowed, values = scope_sql(scope)
        rows = await self._sql.rows(
            f"SELECT queue_id, state, count(*) FROM conversation c WHERE c.state != 'resolved' AND {allowed} GROUP BY queue_id, state",
            values,
        )
        return {(queue_id, State(state)): number for queue_id, state, number in rows}


@contextmanager
def _explained(conversation: Conversation) -> Iterator[None]:
    """Say in our words which rule of the database was broken."""
    try:
        yield
    except Conflict as error:
        if "conversation_unresolved" in str(error):
            raise Conflict(f"{conversation.identity} already has an unresolved conversation on {conversation.channel}") from error.__cause__
        raise
