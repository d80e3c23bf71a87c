"""Queues, their members, and why conversations went where they went."""

from typing import Final

from storage.codec import Row, build, decode_candidates, encode, instant, micros
from storage.errors import Conflict
from storage.postgres.agents import AGENT, agent_of
from storage.postgres.connection import Sql
from storage.record import AgentLoad, Decision, Queue

_SELECT: Final = "SELECT id, name, created_at, is_default FROM queue"
_OPEN: Final = "(SELECT count(*) FROM conversation WHERE assignee_id = agent.id AND state = 'open')"


def _queue(row: Row) -> Queue:
    return Queue(id=row[0], name=row[1], created_at=instant(row[2]), is_default=bool(row[3]))


class PostgresQueues:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, queue_id: str) -> Queue | None:
        row = await self._sql.row(f"{_SELECT} WHERE id = ?", (queue_id,))
        return build(_queue, row)

    async def by_name(self, name: str) -> Queue | None:
        row = await self._sql.row(f"{_SELECT} WHERE name = ?", (name,))
        return build(_queue, row)

    async def default(self) -> Queue:
        return _queue((await self._sql.rows(f"{_SELECT} WHERE is_default"))[0])

    async def all(self) -> list[Queue]:
        return [_queue(row) for row in await self._sql.rows(f"{_SELECT} ORDER BY created_at, id")]

    async def put(self, queue: Queue) -> None:
        async with self._sql.savepoint():
            if queue.is_default:
                await self._sql.run("UPDATE queue SET is_default = FALSE WHERE is_default AND id != ?", (queue.id,))
            elif await self._sql.row("SELECT 1 FROM queue WHERE id = ? AND is_default", (queue.id,)):
                raise Conflict(f"{queue.name} is the default queue: make another one the default instead")
            await self._sql.run(
                "INSERT INTO queue VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET name = excluded.name, created_at = excluded.created_at, is_default = excluded.is_default",
                (queue.id, queue.name, micros(queue.created_at), queue.is_default),
            )

    async def members(self, queue_id: str) -> list[AgentLoad]:
        rows = await self._sql.rows(
            f"SELECT {AGENT}, {_OPEN} FROM member JOIN agent ON agent.id = member.agent_id WHERE member.queue_id = ? ORDER BY agent.id",
            (queue_id,),
        )
        return [AgentLoad(agent=agent_of(row[:-1]), open_count=row[-1]) for row in rows]

    async def of_agent(self, agent_id: str) -> frozenset[str]:
        return frozenset(row[0] for row in await self._sql.rows("SELECT queue_id FROM member WHERE agent_id = ?", (agent_id,)))

    async def add_member(self, queue_id: str, agent_id: str) -> None:
        await self._sql.try_run("INSERT INTO member VALUES (?, ?) ON CONFLICT DO NOTHING", (queue_id, agent_id))

    async def remove_member(self, queue_id: str, agent_id: str) -> None:
        await self._sql.run("DELETE FROM member WHERE queue_id = ? AND agent_id = ?", (queue_id, agent_id))

    async def add_decision(self, decision: Decision) -> None:
        await self._sql.run(
            "INSERT INTO decision (conversation_id, queue_id, at, outcome, agent_id, reason, candidates) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                decision.conversation_id,
                decision.queue_id,
                micros(decision.at),
                decision.outcome,
                decision.agent_id,
                decision.reason,
                encode(decision.candidates),
            ),
        )

    async def decisions(self, conversation_id: str, limit: int) -> list[Decision]:
        rows = await self._sql.rows(
            "SELECT conversation_id, queue_id, at, outcome, agent_id, reason, candidates FROM decision"
            " WHERE conversation_id = ? ORDER BY id DESC LIMIT ?",
            (conversation_id, limit),
        )
        return [
            Decision(
                conversation_id=row[0],
                queue_id=row[1],
                at=instant(row[2]),
                outcome=row[3],
                agent_id=row[4],
                reason=row[5],
                candidates=decode_candidates(row[6]),
            )
            for row in rows
        ]
