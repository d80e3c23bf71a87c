"""Agents and what they sign in with."""

from datetime import datetime
from typing import Final

from storage.access import Credential
from storage.codec import build, micros
from storage.errors import NotFound
from storage.postgres.connection import Sql
from storage.postgres.tables import AGENTS
from storage.record import Agent
from storage.rows.people import AGENT, CREDENTIAL, agent_of, agent_row, credential_of, credential_row
from storage.rows.sql import insert, listed, upsert

_AGENT: Final = listed(AGENT)
#: Another agent may have it.
_REFUSABLE: Final = ("email",)
_CREDENTIAL: Final = listed(CREDENTIAL)


class PostgresAgents:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, agent_id: str) -> Agent | None:
        row = await self._sql.current(AGENTS, (agent_id,))
        return agent_of(row) if row else None

    async def by_email(self, email: str) -> Agent | None:
        row = await self._sql.row(f"SELECT {_AGENT} FROM agent WHERE email = ? AND email != ''", (email,))
        return build(agent_of, row)

    async def all(self) -> list[Agent]:
        return [agent_of(row) for row in await self._sql.rows(f"SELECT {_AGENT} FROM agent ORDER BY created_at, id")]

    async def put(self, agent: Agent) -> None:
        row = agent_row(agent)
        if not await self._sql.change_row(AGENTS, row, _REFUSABLE):
            await self._sql.try_run(insert("agent", AGENT), row)

    async def password_hash(self, agent_id: str) -> str:
        row = await self._sql.row("SELECT password_hash FROM agent WHERE id = ?", (agent_id,))
        return "" if row is None else str(row[0])

    async def set_password_hash(self, agent_id: str, value: str) -> None:
        if not await self._sql.run("UPDATE agent SET password_hash = ? WHERE id = ?", (value, agent_id)):
            raise NotFound(f"there is no agent {agent_id}")

    async def open_count(self, agent_id: str) -> int:
        return int((await self._sql.rows("SELECT count(*) FROM conversation WHERE assignee_id = ? AND state = 'open'", (agent_id,)))[0][0])

    async def put_credential(self, credential: Credential) -> None:
        await self._sql.try_run(upsert("credential", CREDENTIAL, "id"), credential_row(credential))

    async def credential(self, digest: str) -> Credential | None:
        row = await self._sql.row(f"SELECT {_CREDENTIAL} FROM credential WHERE digest = ?", (digest,))
        return build(credential_of, row)

    async def credentials(self, agent_id: str, kind: str) -> list[Credential]:
        rows = await self._sql.rows(
            f"SELECT {_CREDENTIAL} FROM credential WHERE agent_id = ? AND kind = ? ORDER BY created_at, id", (agent_id, kind)
        )
        return [credential_of(row) for row in rows]

    async def touch_credential(self, credential_id: str, used_at: datetime) -> None:
        await self._sql.run("UPDATE credential SET used_at = ? WHERE id = ?", (micros(used_at), credential_id))

    async def remove_credential(self, credential_id: str) -> None:
        await self._sql.run("DELETE FROM credential WHERE id = ?", (credential_id,))

    async def remove_credentials(self, agent_id: str, kind: str) -> None:
        await self._sql.run("DELETE FROM credential WHERE agent_id = ? AND kind = ?", (agent_id, kind))

    async def forget_credentials(self, before: datetime) -> int:
        return await self._sql.run("DELETE FROM credential WHERE expires_at < ?", (micros(before),))
