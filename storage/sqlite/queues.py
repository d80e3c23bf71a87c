"""Queues, their members, and why conversations went where they went."""

from collections.abc import Collection
from typing import Final

from storage.codec import build, marks
from storage.errors import Conflict
from storage.record import AgentLoad, Decision, Queue
from storage.rows.people import AGENT, DECISION, QUEUE, agent_of, decision_of, decision_row, queue_of, queue_row
from storage.rows.sql import insert, listed, upsert
from storage.sqlite.connection import Sql

_SELECT: Final = f"SELECT {listed(QUEUE)} FROM queue"
_AGENT: Final = listed(AGENT, "agent")
_OPEN: Final = "(SELECT count(*) FROM conversation WHERE assignee_id = agent.id AND state = 'open')"


class SqliteQueues:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, queue_id: str) -> Queue | None:
        row = self._sql.row(f"{_SELECT} WHERE id = ?", (queue_id,))
        return build(queue_of, row)

    async def by_name(self, name: str) -> Queue | None:
        row = self._sql.row(f"{_SELECT} WHERE name = ?", (name,))
        return build(queue_of, row)

    async def default(self) -> Queue:
        return queue_of(self._sql.rows(f"{_SELECT} WHERE is_default = 1")[0])

    async def all(self) -> list[Queue]:
        return [queue_of(row) for row in self._sql.rows(f"{_SELECT} ORDER BY created_at, id")]

    async def put(self, queue: Queue) -> None:
        with self._sql.savepoint():
            if queue.is_default:
                self._sql.run("UPDATE queue SET is_default = 0 WHERE is_default = 1 AND id != ?", (queue.id,))
            elif self._sql.row("SELECT 1 FROM queue WHERE id = ? AND is_default = 1", (queue.id,)):
                raise Conflict(f"{queue.name} is the default queue: make another one the default instead")
            self._sql.run(upsert("queue", QUEUE, "id"), queue_row(queue))

    async def members(self, queue_id: str) -> list[AgentLoad]:
        rows = self._sql.rows(
            f"SELECT {_AGENT}, {_OPEN} FROM member JOIN agent ON agent.id = member.agent_id WHERE member.queue_id = ? ORDER BY agent.id",
            (queue_id,),
        )
        return [AgentLoad(agent=agent_of(row[:-1]), open_count=row[-1]) for row in rows]

    async def around(self, queue_ids: Collection[str]) -> dict[str, list[AgentLoad]]:
        near = self._sql.rows(
            "SELECT DISTINCT other.queue_id FROM member JOIN member other ON other.agent_id = member.agent_id"
            f" WHERE member.queue_id IN ({marks(list(queue_ids))})",
            list(queue_ids),
        )
        return {queue_id: await self.members(queue_id) for queue_id in dict.fromkeys((*queue_ids, *(row[0] for row in near)))}

    async def of_agent(self, agent_id: str) -> frozenset[str]:
        return frozenset(row[0] for row in self._sql.rows("SELECT queue_id FROM member WHERE agent_id = ?", (agent_id,)))

    async def add_member(self, queue_id: str, agent_id: str) -> None:
        self._sql.run("INSERT INTO member VALUES (?, ?) ON CONFLICT DO NOTHING", (queue_id, agent_id))

    async def remove_member(self, queue_id: str, agent_id: str) -> None:
        self._sql.run("DELETE FROM member WHERE queue_id = ? AND agent_id = ?", (queue_id, agent_id))

    async def add_decision(self, decision: Decision) -> None:
        self._sql.run(insert("decision", DECISION), decision_row(decision))

    async def decisions(self, conversation_id: str, limit: int) -> list[Decision]:
        rows = self._sql.rows(
            f"SELECT {listed(DECISION)} FROM decision WHERE conversation_id = ? ORDER BY id DESC LIMIT ?", (conversation_id, limit)
        )
        return [decision_of(row) for row in rows]
