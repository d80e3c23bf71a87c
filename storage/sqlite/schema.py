"""Is this database ours, how old is it, and how does it become the newest?"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import apsw

from storage.codec import micros
from storage.errors import SchemaError, StorageError
from storage.ids import derive_id
from storage.migrate import Migration, load_migrations, pending
from storage.sqlite.connection import APPLICATION_ID, Sql, translate

MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Every installation has a queue; this is its first name.
FIRST_QUEUE: Final = "General"
_VERSIONS: Final = (
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
)


def version_of(sql: Sql) -> int:
    """Schema version, 0 for an empty database. Raises SchemaError for a foreign one."""
    tables = {row[0] for row in sql.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    marked = sql.rows("PRAGMA application_id")[0][0]
    if marked == APPLICATION_ID and "schema_version" in tables:
        return int(sql.rows("SELECT max(version) FROM schema_version")[0][0] or 0)
    if tables or marked:
        raise SchemaError(
            f"{sql.database.path} is a database of another program (it has {len(tables)} tables and is not marked as Sportello's): "
            "set another path in storage.url"
        )
    return 0


def missing(sql: Sql) -> list[Migration]:
    """Migrations that this database still needs."""
    return pending(str(sql.database.path), version_of(sql), load_migrations(MIGRATIONS))


def apply_migrations(sql: Sql, clock: Callable[[], datetime]) -> list[str]:
    """Bring the database up to date in one transaction: all of it or nothing. Returns what was applied."""
    steps = missing(sql)
    if not steps:
        return []
    now = clock()
    sql.run("BEGIN IMMEDIATE")
    try:
        sql.run(f"PRAGMA application_id = {APPLICATION_ID}")
        sql.run(_VERSIONS)
        for step in steps:
            sql.run(step.sql)
            sql.run("INSERT INTO schema_version VALUES (?, ?, ?)", (step.version, step.name, micros(now)))
        if sql.row("SELECT 1 FROM queue WHERE is_default = 1") is None:
            sql.run("INSERT INTO queue VALUES (?, ?, ?, 1)", (derive_id("que", now, FIRST_QUEUE), FIRST_QUEUE, micros(now)))
        sql.run("COMMIT")
    except StorageError:
        roll_back(sql)
        raise
    return [step.name for step in steps]


def roll_back(sql: Sql) -> None:
    """End the transaction, if SQLite has not done so itself, and make the connection usable again."""
    sql.broken = None
    try:
        if sql.connection.in_transaction:
            sql.connection.execute("ROLLBACK")
    except apsw.Error as error:
        raise translate(error, sql.database) from error
