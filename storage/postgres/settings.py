"""A few values by name that all nodes must agree on."""

from storage.postgres.connection import Sql


class PostgresSettings:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, name: str) -> str:
        row = await self._sql.row("SELECT value FROM setting WHERE name = ?", (name,))
        return "" if row is None else str(row[0])

    async def put(self, name: str, value: str) -> None:
        if value:
            await self._sql.run("INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))
        else:
            await self._sql.run("DELETE FROM setting WHERE name = ?", (name,))
