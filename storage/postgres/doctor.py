"""What is wrong with a database, in words for its operator."""

from typing import Final

from storage.errors import SchemaError, StorageError
from storage.postgres.connection import Sql
from storage.postgres.schema import missing, unsafe

_LAG_BYTES: Final = 1024 * 1024 * 1024


async def examine(sql: Sql) -> list[str]:
    """Everything that is wrong, one line each."""
    try:
        return [*await unsafe(sql), *await _schema(sql), *await _stream(sql), *await _server(sql)]
    except StorageError as error:
        return [str(error)]


async def _schema(sql: Sql) -> list[str]:
    try:
        problems = [f"migration {step.name} has not been applied: run sportello migrate" for step in await missing(sql)]
    except SchemaError as error:
        return [str(error)]
    rows = await sql.rows("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid OR NOT indisready")
    return problems + [f"the index {row[0]} is not valid: REINDEX INDEX {row[0]}" for row in rows]


async def _stream(sql: Sql) -> list[str]:
    head, newest = (await sql.rows("SELECT (SELECT pos FROM head), (SELECT coalesce(max(pos), 0) FROM event)"))[0]
    if head != newest:
        return [f"{sql.database.label}: the newest event is {newest}, the head says {head}: the database was damaged, restore a backup"]
    return []


async def _server(sql: Sql) -> list[str]:
    label = sql.database.label
    problems = [
        f"{label}: a transaction of {row[0] or 'some program'} (process {row[1]}) has been open for {row[2]} minutes: it keeps the server"
        " from cleaning up"
        for row in await sql.rows(
            "SELECT application_name, pid, (extract(epoch FROM clock_timestamp() - xact_start) / 60)::bigint FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid() AND xact_start < clock_timestamp() - interval '5 minutes'"
        )
    ]
    problems += [
        f"{label}: the replication slot {row[0]} is {row[1] >> 20} MiB behind: its reader is away, and the disk fills"
        for row in await sql.rows(
            "SELECT slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots"
            " WHERE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > ?::bigint",
            (_LAG_BYTES,),
        )
    ]
    used, most = (
        await sql.rows(
            "SELECT count(*), current_setting('max_connections')::bigint FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
    )[0]
    if used > most * 0.9:
        problems.append(f"{label}: {used} of {most} connections are in use: raise max_connections, or put PgBouncer in front")
    return problems
