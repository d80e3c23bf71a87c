"""Queues, their members, and why conversations went where they went."""

from collections.abc import Collection
from typing import Final

from storage.codec import Row, build
from storage.errors import Conflict
from storage.postgres.connection import Sql
from storage.postgres.memory import ABSENT, Way
from storage.postgres.tables import DECISIONS
from storage.record import AgentLoad, Decision, Queue
from storage.rows.people import AGENT, DECISION, QUEUE, agent_of, decision_of, decision_row, queue_of, queue_row
from storage.rows.sql import listed, upsert

_SELECT: Final = f"SELECT {listed(QUEUE)} FROM queue"
_AGENT: Final = listed(AGENT, "agent")
_OPEN: Final = "(SELECT count(*) FROM conversation WHERE assignee_id = agent.id AND state = 'open')"

_AROUND: Final = f"""
    SELECT member.queue_id, {_AGENT}, {_OPEN} FROM member JOIN agent ON agent.id = member.agent_id WHERE member.queue_id IN (
        SELECT other.queue_id FROM member one JOIN member other ON other.agent_id = one.agent_id WHERE one.queue_id = ANY(?))
    ORDER BY member.queue_id, agent.id
"""


class PostgresQueues:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, queue_id: str) -> Queue | None:
        row = await self._sql.row(f"{_SELECT} WHERE id = ?", (queue_id,))
        return build(queue_of, row)

    async def by_name(self, name: str) -> Queue | None:
        row = await self._one("name = ?", (name,))
        return queue_of(row) if row else None

    async def default(self) -> Queue:
        return queue_of(await self._one("is_default"))

    async def _one(self, which: str, values: tuple[str, ...] = ()) -> Row:
        """Every new conversation begins in one of them."""
        row = self._sql.memory.recall("queue", (which, *values))
        if row is None:
            row = await self._sql.row(f"{_SELECT} WHERE {which}", values) or ABSENT
            self._sql.memory.remember("queue", (which, *values), row)
        return row

    async def all(self) -> list[Queue]:
        return [queue_of(row) for row in await self._sql.rows(f"{_SELECT} ORDER BY created_at, id")]

    async def put(self, queue: Queue) -> None:
        async with self._sql.savepoint():
            if queue.is_default:
                await self._sql.run("UPDATE queue SET is_default = FALSE WHERE is_default AND id != ?", (queue.id,))
            elif await self._sql.row("SELECT 1 FROM queue WHERE id = ? AND is_default", (queue.id,)):
                raise Conflict(f"{queue.name} is the default queue: make another one the default instead")
            await self._sql.run(upsert("queue", QUEUE, "id"), queue_row(queue))

    async def members(self, queue_id: str) -> list[AgentLoad]:
        rows = await self._sql.rows(
            f"SELECT {_AGENT}, {_OPEN} FROM member JOIN agent ON agent.id = member.agent_id WHERE member.queue_id = ? ORDER BY agent.id",
            (queue_id,),
        )
        for row in rows:
            self._sql.memory.remember("agent", row[:1], row[:-1])
        return [AgentLoad(agent=agent_of(row[:-1]), open_count=row[-1]) for row in rows]

    async def around(self, queue_ids: Collection[str]) -> dict[str, list[AgentLoad]]:
        found: dict[str, list[AgentLoad]] = {queue_id: [] for queue_id in queue_ids}
        for queue_id, *agent, number in await self._sql.rows(_AROUND, (list(queue_ids),)):
            self._sql.memory.remember("agent", (agent[0],), tuple(agent))
            found.setdefault(queue_id, []).append(AgentLoad(agent=agent_of(tuple(agent)), open_count=number))
        return found

    async def of_agent(self, agent_id: str) -> frozenset[str]:
        return frozenset(row[0] for row in await self._sql.rows("SELECT queue_id FROM member WHERE agent_id = ?", (agent_id,)))

    async def add_member(self, queue_id: str, agent_id: str) -> None:
        await self._sql.try_run("INSERT INTO member VALUES (?, ?) ON CONFLICT DO NOTHING", (queue_id, agent_id))

    async def remove_member(self, queue_id: str, agent_id: str) -> None:
        await self._sql.run("DELETE FROM member WHERE queue_id = ? AND agent_id = ?", (queue_id, agent_id))

    async def add_decision(self, decision: Decision) -> None:
        await self._sql.write(DECISIONS, decision_row(decision), Way.INSERT)

    async def decisions(self, conversation_id: str, limit: int) -> list[Decision]:
        rows = await self._sql.rows(
            f"SELECT {listed(DECISION)} FROM decision WHERE conversation_id = ? ORDER BY id DESC LIMIT ?", (conversation_id, limit)
        )
        return [decision_of(row) for row in rows]
