"""The embedded store: SQLite through apsw, for one process. ``storage.open_store`` is the way in."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from storage.errors import SchemaError
from storage.sqlite.connection import Database, Sql, check_sqlite_version, make_durable, open_reader, open_writer
from storage.sqlite.lock import FileLock, refuse_network
from storage.sqlite.schema import apply_migrations, missing
from storage.sqlite.store import QUEUE_BOUND, SqliteStore

READERS: Final = 2


async def open_sqlite(
    path: str | Path,
    *,
    clock: Callable[[], datetime],
    on_fatal: Callable[[BaseException], None] | None = None,
    migrate: bool = True,
    vfs: str = "",
    bound: int = QUEUE_BOUND,
) -> SqliteStore:
    """Open or set up the database at ``path``; see ``storage.open_store``.

    ``vfs`` names a file system registered with SQLite; ``bound`` is how many callers may wait before the next is refused.
    """
    database = _database(path, vfs)
    lock = await asyncio.to_thread(_lock, database)
    connections: list[Sql] = []
    try:
        await asyncio.to_thread(_connect, database, connections, clock, migrate=migrate)
    except BaseException:
        for sql in connections:
            sql.connection.close()
        lock.release()
        raise
    return SqliteStore(connections[0], connections[1:], lock, on_fatal, bound)


async def migrate_sqlite(path: str | Path, *, clock: Callable[[], datetime]) -> list[str]:
    """Bring the schema up to date, in one transaction; returns the names of the migrations applied."""
    return await asyncio.to_thread(_migrate, _database(path), clock)


def _database(path: str | Path, vfs: str = "") -> Database:
    return Database(Path(path).absolute(), vfs)


def _lock(database: Database) -> FileLock:
    check_sqlite_version()
    refuse_network(database.path)
    return FileLock(database.path)


def _connect(database: Database, connections: list[Sql], clock: Callable[[], datetime], *, migrate: bool) -> None:
    """Append the writer, then the readers."""
    writer = open_writer(database)
    connections.append(writer)
    steps = missing(writer)  # refuses what is not ours before anything is changed
    if steps and not migrate:
        raise SchemaError(f"{database.path} lacks {len(steps)} migration(s), from {steps[0].name} on: run sportello migrate")
    make_durable(writer)
    apply_migrations(writer, clock)
    connections.extend(open_reader(database) for _ in range(READERS))


def _migrate(database: Database, clock: Callable[[], datetime]) -> list[str]:
    lock = _lock(database)
    try:
        writer = open_writer(database)
        try:
            missing(writer)
            make_durable(writer)
            return apply_migrations(writer, clock)
        finally:
            with suppress(Exception):
                writer.connection.close()
    finally:
        lock.release()
