"""How often something was done by one party within an hour."""

from datetime import datetime

from storage.nouns import hour_of
from storage.postgres.connection import Sql


class PostgresTallies:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, name: str, at: datetime) -> None:
        await self._sql.run(
            "INSERT INTO tally VALUES (?, ?, 1) ON CONFLICT (name, hour) DO UPDATE SET count = tally.count + 1", (name, hour_of(at))
        )

    async def total(self, name: str, at: datetime, hours: int) -> int:
        last = hour_of(at)
        row = await self._sql.row("SELECT sum(count) FROM tally WHERE name = ? AND hour > ? AND hour <= ?", (name, last - hours, last))
        return 0 if row is None else int(row[0] or 0)

    async def forget(self, before: datetime) -> int:
        return await self._sql.run("DELETE FROM tally WHERE hour < ?", (hour_of(before),))
