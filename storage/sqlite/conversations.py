"""Conversations: the inbox's rows."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from connectors.identity import Identity
from storage.access import Scope
from storage.codec import marks, micros
from storage.errors import Conflict, NotFound
from storage.record import Conversation, State
from storage.rows.history import CONVERSATION, conversation_of, conversation_row
from storage.rows.sql import insert, listed
from storage.sqlite.connection import Sql
from storage.sqlite.scope import scope_sql

_SELECT: Final = f"SELECT {listed(CONVERSATION)} FROM conversation c"


class SqliteConversations:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def _all(self, rest: str, values: Sequence[str | int]) -> list[Conversation]:
        return [conversation_of(row) for row in self._sql.rows(f"{_SELECT} {rest}", values)]

    def _one(self, rest: str, values: Sequence[str | int]) -> Conversation | None:
        return next(iter(self._all(f"{rest} LIMIT 1", values)), None)

    async def get(self, conversation_id: str, scope: Scope) -> Conversation | None:
        allowed, values = scope_sql(scope)
        return self._one(f"WHERE c.id = ? AND {allowed}", (conversation_id, *values))

    async def unresolved(self, channel: str, identity: Identity) -> Conversation | None:
        return self._one(
            "WHERE channel = ? AND scheme = ? AND scope = ? AND value = ? AND state != 'resolved'",
            (channel, identity.scheme, identity.scope, identity.value),
        )

    async def latest(self, channel: str, identity: Identity) -> Conversation | None:
        return self._one(
            "WHERE scheme = ? AND scope = ? AND value = ? AND channel = ? ORDER BY number DESC",
            (identity.scheme, identity.scope, identity.value, channel),
        )

    async def by_thread(self, channel: str, thread: str) -> list[Conversation]:
        return self._all("WHERE channel = ? AND thread = ? AND state != 'resolved' ORDER BY number", (channel, thread))

    async def next_number(self) -> int:
        return int(self._sql.rows("UPDATE counter SET value = value + 1 WHERE name = 'conversation' RETURNING value")[0][0])

    async def insert(self, conversation: Conversation) -> None:
        with _explained(conversation):
            self._sql.run(insert("conversation", CONVERSATION), conversation_row(conversation))

    async def update(self, conversation: Conversation) -> None:
        with _explained(conversation):
            known = self._sql.replace_row("conversation", CONVERSATION, conversation_row(conversation), "id")
        if not known:
            raise NotFound(f"there is no conversation {conversation.id}")

    async def waiting(self, queue_ids: Collection[str], limit: int) -> list[Conversation]:
        longest = "WHERE queue_id = ? AND state = 'queued' ORDER BY waiting_since, number LIMIT ?"
        return [found for queue_id in queue_ids for found in self._all(longest, (queue_id, limit))]

    async def due(self, now: datetime, limit: int) -> list[Conversation]:
        return self._all("WHERE state = 'snoozed' AND snoozed_until <= ? ORDER BY snoozed_until, number LIMIT ?", (micros(now), limit))

    async def page(
        self, scope: Scope, *, states: Sequence[State], queue_id: str, assignee_id: str, before: int, limit: int
    ) -> list[Conversation]:
        allowed, scope_values = scope_sql(scope)
        conditions, values = [allowed], [*scope_values]
        more: list[str | int] = []
        if states:
            conditions.append(f"c.state IN ({marks(states)})")
            more += [state.value for state in states]
            if State.RESOLVED not in states:
                # Says nothing new, but lets SQLite use the index of live conversations.
                conditions.append("c.state != 'resolved'")
        for column, value in (("c.queue_id = ?", queue_id), ("c.assignee_id = ?", assignee_id), ("c.last_pos < ?", before)):
            if value:
                conditions.append(column)
                more.append(value)
        return self._all(f"WHERE {' AND '.join(conditions)} ORDER BY c.last_pos DESC, c.number DESC LIMIT ?", (*values, *more, limit))

    async def of_customer(self, customer_id: str, scope: Scope) -> list[Conversation]:
        allowed, values = scope_sql(scope)
        return self._all(f"WHERE c.customer_id = ? AND {allowed} ORDER BY c.number DESC", (customer_id, *values))

    async def counts(self, scope: Scope) -> dict[tuple[str, State], int]:
        allowed, values = scope_sql(scope)
        rows = self._sql.rows(
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
        if "conversation.value" in str(error):
            raise Conflict(f"{conversation.identity} already has an unresolved conversation on {conversation.channel}") from error.__cause__
        raise
