"""All tables of one snapshot as binary COPY, and a database out of them. Works through a pooler, and needs no program of PostgreSQL's."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import asyncpg

from storage.archive import ArchiveWriter, BackupError, Facts, Manifest, Table, read_archive
from storage.backup import Other
from storage.codec import micros
from storage.errors import SchemaError, StorageError
from storage.held import INCARNATION, SENDING_HELD
from storage.migrate import load_migrations
from storage.postgres.connection import Sql, parse_url, translate
from storage.postgres.link import connect
from storage.postgres.schema import LOG, MIGRATIONS, prepare, unsafe, version_of

#: Bytes per member: what is in memory at a time.
PIECE: Final = 16 * 1024 * 1024
#: The settings that are not the data's but the installation's, and the one that is a secret.
_OWN: Final = (SENDING_HELD, INCARNATION, LOG)
_SECRET: Final = "secret_key"  # noqa: S105 - the name of a setting
_VERSIONS: Final = "schema_version"
#: A backup may take hours, and waits for a slow disk in between.
_PATIENT: Final = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = 0"
_TABLES: Final = """
    SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES: Final = """
    SELECT t.relname::text, r.relname::text
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
    WHERE k.contype = 'f' AND t.relnamespace = current_schema()::regnamespace AND t.oid != r.oid
"""
_IDENTITIES: Final = """
    SELECT table_name::text, column_name::text FROM information_schema.columns
    WHERE is_identity = 'YES' AND table_schema = current_schema()
"""
_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError, OSError, EOFError)


def newest_schema() -> int:
    """The newest version that this program knows."""
    return load_migrations(MIGRATIONS)[-1].version


async def incarnation(url: str) -> str:
    """The system identifier of the server: kept by its standbys, so that a fail-over is none; empty if we may not see it."""
    database = parse_url(url)
    connection = await connect(database)
    try:
        return str(await connection.fetchval("SELECT system_identifier::text FROM pg_control_system()"))
    except asyncpg.InsufficientPrivilegeError:
        return ""
    except _ERRORS as error:
        raise translate(error, database) from error
    finally:
        connection.terminate()


# --- out ---------------------------------------------------------------------------------------------------------------


async def dump(url: str, out: ArchiveWriter, *, with_key: bool) -> Facts:
    """See ``storage.backup.dump``."""
    database = parse_url(url)
    connection = await connect(database)
    try:
        sql = Sql(connection, database, read_only=True)
        await sql.script(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_PATIENT}")
        version, _ = await version_of(sql)
        if not version:
            raise BackupError(f"{database.label} is empty: nothing to back up")
        tables, counts = [], {}
        for name, columns in await _in_order(sql):
            pieces, counts[name] = await _dump_table(sql, out, name, columns, _kept_out(name, with_key=with_key))
            tables.append(Table(name=name, columns=tuple(columns), pieces=pieces))
        pos = int((await sql.rows("SELECT pos FROM head"))[0][0])
        return Facts(schema=version, pos=pos, counts=counts, tables=tuple(tables))
    finally:
        connection.terminate()


async def _in_order(sql: Sql) -> list[tuple[str, list[str]]]:
    """Tables with their columns, those that others refer to first."""
    waiting = {row[0]: row[1] for row in await sql.rows(_TABLES) if row[0] != _VERSIONS}
    needs = [(row[0], row[1]) for row in await sql.rows(_REFERENCES)]
    ordered: list[tuple[str, list[str]]] = []
    while waiting:
        ready = [name for name in waiting if not any(table == name and needed in waiting for table, needed in needs)]
        if not ready:
            raise BackupError(f"the tables {', '.join(waiting)} refer to each other in a circle")
        ordered += [(name, waiting.pop(name)) for name in ready]
    return ordered


def _kept_out(table: str, *, with_key: bool) -> str:
    """A condition."""
    if table != "setting":
        return ""
    names = (*_OWN, *(() if with_key else (_SECRET,)))
    return f" WHERE name NOT IN ({', '.join(repr(name) for name in names)})"


async def _dump_table(sql: Sql, out: ArchiveWriter, name: str, columns: list[str], condition: str) -> tuple[int, int]:
    """Returns how many members and rows."""
    pieces = _Pieces(out, name)
    query = f'SELECT {_listed(columns)} FROM "{name}"{condition}'
    try:
        status: str = await sql.connection.copy_from_query(query, output=pieces.take, format="binary")
    except _ERRORS as error:
        raise translate(error, sql.database) from error
    await pieces.flush()
    return pieces.number, int(status.rpartition(" ")[2])


class _Pieces:
    """Cuts a stream into members."""

    def __init__(self, out: ArchiveWriter, table: str) -> None:
        self._out = out
        self._table = table
        self._waiting = bytearray()
        self.number = 0

    async def take(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= PIECE:
            await self._write(bytes(self._waiting[:PIECE]))
            del self._waiting[:PIECE]

    async def flush(self) -> None:
        if self._waiting:
            await self._write(bytes(self._waiting))
            self._waiting.clear()

    async def _write(self, data: bytes) -> None:
        await asyncio.to_thread(self._out.add, _member(self._table, self.number), data)
        self.number += 1


def _member(table: str, number: int) -> str:
    return f"tables/{table}/{number:06}"


def _listed(columns: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


# --- in ----------------------------------------------------------------------------------------------------------------


async def load(
    url: str, archive: Path, manifest: Manifest, *, why: str, other: Other, force: bool, clock: Callable[[], datetime]
) -> list[str]:
    """See ``storage.backup.load``."""
    database = parse_url(url)
    connection = await connect(database)
    try:
        sql = Sql(connection, database)
        for problem in await unsafe(sql):
            raise SchemaError(problem)
        await sql.script(f"BEGIN; {_PATIENT}")
        notes = await _clear(sql, force=force)
        await _build(sql, manifest.schema, clock)
        await _fill(sql, archive, manifest, other)
        await _finish(sql, manifest, why)
        if await sql.script("COMMIT") != "COMMIT":
            raise BackupError(f"{database.label} gave the restore up: it is as it was")
    finally:
        connection.terminate()
    await prepare(database, clock, migrate=True)
    return notes


async def _clear(sql: Sql, *, force: bool) -> list[str]:
    """Remove what is there, if it is ours and may go."""
    version, _ = await version_of(sql)
    if not version:
        return []
    # Whoever uses it waits; who writes locks the head.
    await sql.script("LOCK TABLE head IN ACCESS EXCLUSIVE MODE")
    pos = int((await sql.rows("SELECT pos FROM head"))[0][0])
    if pos and not force:
        raise BackupError(
            f"{sql.database.label} holds {pos} events and is not replaced: restore into an empty database by --to, or say --force"
            " (then what it holds is removed for good)"
        )
    now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    nodes = [row[0] for row in await sql.rows(f"SELECT id FROM node WHERE expires_at > {now} ORDER BY id")]
    if nodes:
        raise BackupError(f"these nodes run on {sql.database.label}: {', '.join(nodes)}; stop them first")
    tables = [row[0] for row in await sql.rows(_TABLES)]
    await sql.script(f"DROP TABLE {', '.join(_quoted(table) for table in tables)}")
    return [f"{pos} events that were there are gone."] if pos else []


def _quoted(name: str) -> str:
    return f'"{name}"'


async def _build(sql: Sql, version: int, clock: Callable[[], datetime]) -> None:
    """The schema as it was when the backup was made."""
    await sql.script(
        f"CREATE TABLE {_VERSIONS} (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL,"
        " compatible_with BIGINT NOT NULL)"
    )
    for step in load_migrations(MIGRATIONS)[:version]:
        await sql.script(step.sql)
        values = (step.version, step.name, micros(clock()), step.compatible_with)
        await sql.run(f"INSERT INTO {_VERSIONS} VALUES (?, ?, ?, ?)", values)
    # What a new database begins with is in the backup too.
    tables = [row[0] for row in await sql.rows(_TABLES) if row[0] != _VERSIONS]
    await sql.script(f"TRUNCATE {', '.join(_quoted(table) for table in tables)}")


async def _fill(sql: Sql, archive: Path, manifest: Manifest, other: Other) -> None:
    walk = read_archive(archive, manifest)
    for table in manifest.tables:
        rows = _rows_of(walk, table)
        try:
            status: str = await sql.connection.copy_to_table(table.name, source=rows, columns=table.columns, format="binary")
        except _ERRORS as error:
            raise translate(error, sql.database) from error
        got = int(status.rpartition(" ")[2])
        if got != manifest.counts.get(table.name):
            raise BackupError(f"{archive}: {table.name} has {got} rows, and should have {manifest.counts.get(table.name)}")
    for name, stream in walk:
        await asyncio.to_thread(other, name, stream)


async def _rows_of(walk: Iterator[tuple[str, IO[bytes]]], table: Table) -> AsyncIterator[bytes]:
    """The pieces of one table, each compared with the manifest before the next is asked for."""
    number = 0
    while number < table.pieces:
        name, data = await asyncio.to_thread(_next_piece, walk)
        if name != _member(table.name, number):
            raise BackupError(f"the backup's parts are not in their order: {name} came for {_member(table.name, number)}")
        number += 1
        yield data


def _next_piece(walk: Iterator[tuple[str, IO[bytes]]]) -> tuple[str, bytes]:
    name, stream = next(walk, ("nothing", None))
    return name, stream.read() if stream is not None else b""


async def _finish(sql: Sql, manifest: Manifest, why: str) -> None:
    """Counters go on where they were; nothing is sent; no mirror of what this database was before is read."""
    for table, column in await sql.rows(_IDENTITIES):
        await sql.rows(
            f"SELECT setval(pg_get_serial_sequence(?, ?), coalesce(max({_quoted(column)}), 1), count(*) > 0) FROM {_quoted(table)}",
            (_quoted(table), column),
        )
    head, newest = (await sql.rows("SELECT (SELECT pos FROM head), (SELECT coalesce(max(pos), 0) FROM event)"))[0]
    if not head == newest == manifest.pos:
        raise BackupError(f"the restored stream ends at {newest}, its head says {head}, the manifest {manifest.pos}: take another backup")
    own = {SENDING_HELD: why, LOG: secrets.token_hex(8), INCARNATION: await _identifier(sql)}
    for name, value in own.items():
        if value:
            await sql.run("INSERT INTO setting VALUES (?, ?)", (name, value))


async def _identifier(sql: Sql) -> str:
    try:
        async with sql.savepoint():
            return str((await sql.rows("SELECT system_identifier::text FROM pg_control_system()"))[0][0])
    except StorageError:
        return ""
