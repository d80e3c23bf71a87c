"""An installation on either engine that is backed up and brought back: its places, and all of its rows."""

import dataclasses
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from gateway.backup import Restored, Wish, back_up, restore
from storage.archive import Manifest
from storage.backup import engine_of, sqlite_path
from storage.protocol import Store
from tests.support.postgres import driver_url

#: Settings that are not the data's own.
OWN = ("sending_held", "incarnation", "log", "secret_key")

Rows = dict[str, list[tuple[Any, ...]]]


@dataclasses.dataclass(frozen=True)
class Shop:
    """Where an installation lives."""

    data_dir: Path
    url: str

    async def back_up(self, target: Path, *, store: Store | None = None, with_key: bool = False) -> Manifest:
        wish = Wish(url=self.url, data_dir=self.data_dir, target=target, with_key=with_key)
        return await back_up(wish, store=store)

    async def restore(self, archive: Path, *, force: bool = False) -> Restored:
        return await restore(archive, self.url, self.data_dir, force=force)

    async def rows(self) -> Rows:
        """Every row of every table but the settings that are not the data's own, sorted."""
        found = _sqlite_rows(sqlite_path(self.url)) if engine_of(self.url) == "sqlite" else await _postgres_rows(driver_url(self.url))
        found["setting"] = [row for row in found["setting"] if row[0] not in OWN]
        found.pop("schema_version")
        return {table: sorted(rows, key=repr) for table, rows in found.items()}


def _sqlite_rows(path: Path) -> Rows:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    found = {name: list(connection.execute(f'SELECT * FROM "{name}"')) for name in names}  # noqa: S608 - our own tables
    connection.close()
    return found


async def _postgres_rows(url: str) -> Rows:
    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
        rows = {name: await connection.fetch(f'SELECT * FROM "{name}"') for (name,) in names}  # noqa: S608 - our own tables
        return {name: [tuple(row) for row in some] for name, some in rows.items()}
    finally:
        await connection.close()
