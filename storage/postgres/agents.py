"""Agents and what they sign in with."""

from datetime import datetime
from typing import Final

from storage.access import Credential
from storage.codec import Row, build, instant, instant_or_none, micros, micros_or_none
from storage.errors import NotFound
from storage.postgres.connection import Sql
from storage.record import Agent, Presence, Role

_NAMES: Final = ("id", "name", "email", "role", "created_at", "presence", "capacity", "disabled", "last_assigned_at")
AGENT: Final = ", ".join(f"agent.{name}" for name in _NAMES)
_CREDENTIAL: Final = "id, agent_id, kind, digest, created_at, used_at, expires_at, label"


def agent_of(row: Row) -> Agent:
    """From the columns ``AGENT``."""
    return Agent(
        id=row[0],
        name=row[1],
        email=row[2],
        role=Role(row[3]),
        created_at=instant(row[4]),
        presence=Presence(row[5]),
        capacity=row[6],
        disabled=bool(row[7]),
        last_assigned_at=instant_or_none(row[8]),
    )


def _credential(row: Row) -> Credential:
    return Credential(
        id=row[0],
        agent_id=row[1],
        kind=row[2],
        digest=row[3],
        created_at=instant(row[4]),
        used_at=instant(row[5]),
        expires_at=instant(row[6]),
        label=row[7],
    )


class PostgresAgents:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, agent_id: str) -> Agent | None:
        row = await self._sql.row(f"SELECT {AGENT} FROM agent WHERE id = ?", (agent_id,))
        return build(agent_of, row)

    async def by_email(self, email: str) -> Agent | None:
        row = await self._sql.row(f"SELECT {AGENT} FROM agent WHERE email = ? AND email != ''", (email,))
        return build(agent_of, row)

    async def all(self) -> list[Agent]:
        return [agent_of(row) for row in await self._sql.rows(f"SELECT {AGENT} FROM agent ORDER BY created_at, id")]

    async def put(self, agent: Agent) -> None:
        await self._sql.try_run(
            f"INSERT INTO agent ({', '.join(_NAMES)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _NAMES[1:])}",
            (
                agent.id,
                agent.name,
                agent.email,
                agent.role.value,
                micros(agent.created_at),
                agent.presence.value,
                agent.capacity,
                agent.disabled,
                micros_or_none(agent.last_assigned_at),
            ),
        )

    async def password_hash(self, agent_id: str) -> str:
        row = await self._sql.row("SELECT password_hash FROM agent WHERE id = ?", (agent_id,))
        return "" if row is None else str(row[0])

    async def set_password_hash(self, agent_id: str, value: str) -> None:
        if not await self._sql.run("UPDATE agent SET password_hash = ? WHERE id = ?", (value, agent_id)):
            raise NotFound(f"there is no agent {agent_id}")

    async def open_count(self, agent_id: str) -> int:
        return int((await self._sql.rows("SELECT count(*) FROM conversation WHERE assignee_id = ? AND state = 'open'", (agent_id,)))[0][0])

    async def put_credential(self, credential: Credential) -> None:
        await self._sql.try_run(
            f"INSERT INTO credential ({_CREDENTIAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " agent_id = excluded.agent_id, kind = excluded.kind, digest = excluded.digest, created_at = excluded.created_at,"
            " used_at = excluded.used_at, expires_at = excluded.expires_at, label = excluded.label",
            (
                credential.id,
                credential.agent_id,
                credential.kind,
                credential.digest,
                micros(credential.created_at),
                micros(credential.used_at),
                micros(credential.expires_at),
                credential.label,
            ),
        )

    async def credential(self, digest: str) -> Credential | None:
        row = await self._sql.row(f"SELECT {_CREDENTIAL} FROM credential WHERE digest = ?", (digest,))
        return build(_credential, row)

    async def credentials(self, agent_id: str, kind: str) -> list[Credential]:
        rows = await self._sql.rows(
            f"SELECT {_CREDENTIAL} FROM credential WHERE agent_id = ? AND kind = ? ORDER BY created_at, id", (agent_id, kind)
        )
        return [_credential(row) for row in rows]

    async def touch_credential(self, credential_id: str, used_at: datetime) -> None:
        await self._sql.run("UPDATE credential SET used_at = ? WHERE id = ?", (micros(used_at), credential_id))

    async def remove_credential(self, credential_id: str) -> None:
        await self._sql.run("DELETE FROM credential WHERE id = ?", (credential_id,))

    async def remove_credentials(self, agent_id: str, kind: str) -> None:
        await self._sql.run("DELETE FROM credential WHERE agent_id = ? AND kind = ?", (agent_id, kind))

    async def forget_credentials(self, before: datetime) -> int:
        return await self._sql.run("DELETE FROM credential WHERE expires_at < ?", (micros(before),))
