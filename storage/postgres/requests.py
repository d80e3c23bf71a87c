"""Idempotency keys of the API: who asked what, and what the answer was."""

from datetime import datetime

from storage.access import SavedReply
from storage.codec import instant, micros
from storage.errors import NotFound
from storage.postgres.connection import Sql


class PostgresRequests:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def begin(self, principal: str, key: str, fingerprint: str, at: datetime) -> SavedReply | None:
        if await self._sql.run(
            "INSERT INTO request VALUES (?, ?, ?, 0, ?, '') ON CONFLICT (principal, key) DO NOTHING",
            (principal, key, fingerprint, micros(at)),
        ):
            return None
        row = (await self._sql.rows("SELECT fingerprint, status, body, at FROM request WHERE principal = ? AND key = ?", (principal, key)))[
            0
        ]
        return SavedReply(fingerprint=row[0], status=row[1], body=row[2], at=instant(row[3]))

    async def finish(self, principal: str, key: str, status: int, body: bytes) -> None:
        if not await self._sql.run(
            "UPDATE request SET status = ?, body = ? WHERE principal = ? AND key = ?", (status, body, principal, key)
        ):
            raise NotFound("this Idempotency-Key was never begun")

    async def release(self, principal: str, key: str) -> None:
        await self._sql.run("DELETE FROM request WHERE principal = ? AND key = ? AND status = 0", (principal, key))

    async def forget(self, before: datetime) -> int:
        return await self._sql.run("DELETE FROM request WHERE at < ?", (micros(before),))
