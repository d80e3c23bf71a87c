"""Is this server safe, is this database ours, how old is it, and how does it become the newest?"""

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from storage.codec import micros
from storage.errors import SchemaError, StorageError
from storage.ids import derive_id
from storage.migrate import Migration, load_migrations, pending
from storage.postgres.connection import Database, Sql
from storage.postgres.link import connect

MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Every installation has a queue; this is its first name.
FIRST_QUEUE: Final = "General"
#: The setting with the name of this log, see ``Bus.follow``.
LOG: Final = "log"
OLDEST_SERVER: Final = 140_000
#: "SPTO": nodes that start together bring the schema up to date one after the other.
_LOCK: Final = 0x5350544F
_VERSIONS: Final = (
    "CREATE TABLE IF NOT EXISTS schema_version"
    " (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL, compatible_with BIGINT NOT NULL)"
)
_TABLES: Final = """
    SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
_SETTINGS: Final = (
    "server_version_num",
    "server_encoding",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "default_transaction_read_only",
)


class Standby(SchemaError):
    """A server that only repeats what another one does."""


async def prepare(database: Database, clock: Callable[[], datetime], *, migrate: bool) -> list[str]:
    """Refuse what is unsafe, foreign or newer, and bring the schema up to date; returns the migrations applied."""
    connection = await connect(database)
    try:
        sql = Sql(connection, database)
        problems = await unsafe(sql)
        if problems:
            raise (Standby if "is a standby" in problems[0] else SchemaError)(problems[0])
        steps = await missing(sql)  # refuses what is not ours before anything is changed
        if steps and not migrate:
            raise SchemaError(f"{database.label} lacks {len(steps)} migration(s), from {steps[0].name} on: run sportello migrate")
        return await _apply(sql, clock) if steps else []
    finally:
        connection.terminate()


async def unsafe(sql: Sql) -> list[str]:
    """Why what is written there might be lost, or cannot be written at all; one line each."""
    label = sql.database.label
    if await sql.rows("SELECT 1 WHERE pg_is_in_recovery()"):
        return [f"{label} is a standby, which only reads: point storage.url at the primary"]
    found: dict[str, Any] = {name: (await sql.rows("SELECT current_setting(?)", (name,)))[0][0] for name in _SETTINGS}
    problems = []
    if int(found["server_version_num"]) < OLDEST_SERVER:
        problems.append(f"{label} is PostgreSQL {int(found['server_version_num']) // 10_000}: 14 is the oldest that serves")
    if found["server_encoding"] != "UTF8":
        problems.append(f"{label} keeps text as {found['server_encoding']}: create the database with ENCODING 'UTF8' TEMPLATE template0")
    if found["default_transaction_read_only"] != "off":
        problems.append(f"{label} only reads (default_transaction_read_only = on): set it to off for this database and user")
    if found["synchronous_commit"] in {"off", "local"}:
        problems.append(
            f"{label} has synchronous_commit = {found['synchronous_commit']}, so that what was acknowledged could be lost:"
            " set it to on for this database and user (ALTER DATABASE … SET synchronous_commit = on)"
        )
    if not sql.database.unsafe:
        problems += [
            f"{label} has {name} = off, so that a power failure would damage it: set it to on in postgresql.conf and restart the server"
            for name in ("fsync", "full_page_writes")
            if found[name] != "on"
        ]
    return problems


async def missing(sql: Sql) -> list[Migration]:
    """Migrations that this database still needs. Raises SchemaError if it is foreign or newer."""
    version, compatible_with = await version_of(sql)
    return pending(sql.database.label, version, load_migrations(MIGRATIONS), compatible_with)


async def version_of(sql: Sql) -> tuple[int, int | None]:
    """Schema version, 0 for an empty database, and the oldest program that can work on it. Raises SchemaError for a foreign one."""
    tables = {row[0] for row in await sql.rows(_TABLES)}
    if "schema_version" in tables and "head" in tables:
        row = await sql.row("SELECT version, compatible_with FROM schema_version ORDER BY version DESC LIMIT 1")
        return (0, None) if row is None else (int(row[0]), int(row[1]))
    if tables:
        raise SchemaError(
            f"{sql.database.label} is a database of another program (it has {len(tables)} tables, and not Sportello's): "
            "create one of its own and set storage.url"
        )
    return 0, None


async def _apply(sql: Sql, clock: Callable[[], datetime]) -> list[str]:
    """Bring the database up to date in one transaction: all of it or nothing."""
    await sql.script(f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK})")
    try:
        # Another node may have done it while this one waited.
        steps = await missing(sql)
        now = clock()
        await sql.script(_VERSIONS)
        for step in steps:
            await sql.script(step.sql)
            await sql.run("INSERT INTO schema_version VALUES (?, ?, ?, ?)", (step.version, step.name, micros(now), step.compatible_with))
        if await sql.row("SELECT 1 FROM queue WHERE is_default") is None:
            await sql.run("INSERT INTO queue VALUES (?, ?, ?, TRUE)", (derive_id("que", now, FIRST_QUEUE), FIRST_QUEUE, micros(now)))
        # Tells this log from others in a mirror.
        await sql.run("INSERT INTO setting VALUES (?, ?) ON CONFLICT DO NOTHING", (LOG, secrets.token_hex(8)))
        await sql.script("COMMIT")
    except StorageError as error:
        raise SchemaError(f"{sql.database.label} could not be brought up to date: {error}") from error
    return [step.name for step in steps]
