"""A copy of the database while it is written to, and a database out of the copy."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import apsw

from storage.archive import ArchiveWriter, BackupError, Facts, Manifest, read_archive, sync_folder
from storage.backup import Other
from storage.errors import SchemaError, StorageError
from storage.held import SENDING_HELD
from storage.migrate import load_migrations
from storage.protocol import Store, Transaction
from storage.sqlite.connection import Database, Sql, check_sqlite_version, open_reader, open_writer, translate
from storage.sqlite.lock import FileLock, refuse_network
from storage.sqlite.schema import MIGRATIONS, apply_migrations, missing, version_of
from storage.sqlite.transaction import SqliteTransaction

#: The only member of the database.
MEMBER: Final = "database.db"
#: Pages per step; a step takes milliseconds.
_STEP: Final = 2_000


def newest_schema() -> int:
    """The newest version that this program knows."""
    return load_migrations(MIGRATIONS)[-1].version


async def dump(path: Path, out: ArchiveWriter, why: str, store: Store | None) -> Facts:
    """See ``storage.backup.dump``. The copy is marked: who takes it out of the archive by hand gets a database that sends nothing."""
    if not await asyncio.to_thread(path.exists):
        raise BackupError(f"there is no database {path}: nothing to back up")
    if store is not None:
        async with _patient(store):
            return await asyncio.to_thread(_dump, open_reader(Database(path)), out, why)
    lock = await asyncio.to_thread(FileLock, path)
    try:
        return await asyncio.to_thread(_dump, open_writer(Database(path)), out, why)
    finally:
        lock.release()


@asynccontextmanager
async def _patient(store: Store) -> AsyncIterator[None]:
    """A long reader keeps the log from being emptied; meanwhile the writer must not stop and wait for it."""

    async def wait_at_most(milliseconds: int) -> int:
        async def work(tx: Transaction) -> int:
            assert isinstance(tx, SqliteTransaction)
            before = int(tx.sql.rows("PRAGMA busy_timeout")[0][0])
            tx.sql.connection.set_busy_timeout(milliseconds)
            return before

        return await store.transact(work)

    before = await wait_at_most(0)
    try:
        yield
    finally:
        with suppress(StorageError):
            await wait_at_most(before)


def _dump(source: Sql, out: ArchiveWriter, why: str) -> Facts:
    copy = out.beside("database")
    try:
        _copy(source, copy)
    finally:
        source.connection.close()
    sql = _open_copy(copy)
    try:
        _refuse_damage(sql, source.database.path)
        facts = _facts(sql)
        _mark(sql, why)
    finally:
        sql.connection.close()
    out.add_file(MEMBER, copy)
    copy.unlink()
    return facts


def _copy(source: Sql, target: Path) -> None:
    """One snapshot: the open reading transaction keeps it, whatever is written beside it."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        source.run("BEGIN")
        source.rows("SELECT count(*) FROM setting" if _has_settings(source) else "SELECT count(*) FROM sqlite_schema")
        copy = apsw.Connection(str(target))
        try:
            # The archive is what has to be durable.
            copy.execute("PRAGMA synchronous = OFF").fetchall()
            with copy.backup("main", source.connection, "main") as work:
                while not work.done:
                    work.step(_STEP)
        finally:
            copy.close()
    except apsw.FullError as error:
        raise BackupError(f"there is no space for the copy {target}: the backup needs the database's size twice") from error
    except apsw.Error as error:
        raise translate(error, source.database) from error


def _has_settings(sql: Sql) -> bool:
    return sql.row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'setting'") is not None


def _open_copy(path: Path) -> Sql:
    """A database that is one file, with nothing beside it."""
    sql = open_writer(Database(path))
    sql.run("PRAGMA journal_mode = DELETE")
    sql.run("PRAGMA synchronous = FULL")
    return sql


def _refuse_damage(sql: Sql, path: Path) -> None:
    try:
        problems = [str(row[0]) for row in sql.rows("PRAGMA quick_check(3)")]
    except SchemaError as error:
        problems = [str(error.__cause__)]
    if problems != ["ok"]:
        raise BackupError(f"{path} is damaged ({'; '.join(problems)}): a copy of it would be no backup")


def _facts(sql: Sql) -> Facts:
    version = version_of(sql)
    if not version:
        raise BackupError("the database is empty: nothing to back up")
    names = [row[0] for row in sql.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")]
    pos = int(sql.rows("SELECT coalesce(max(pos), 0) FROM event")[0][0])
    counts = {name: pos if name == "event" else int(sql.rows(f'SELECT count(*) FROM "{name}"')[0][0]) for name in names}
    files = tuple(row[0] for row in sql.rows("SELECT DISTINCT sha256 FROM file ORDER BY sha256"))
    return Facts(schema=version, pos=pos, counts=counts, files=files)


def _mark(sql: Sql, why: str) -> None:
    # A database from before there were settings gets the mark when it is restored.
    if _has_settings(sql):
        sql.run("INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (SENDING_HELD, why))


async def load(
    target: Path, archive: Path, manifest: Manifest, *, why: str, other: Other, force: bool, clock: Callable[[], datetime]
) -> list[str]:
    """See ``storage.backup.load``."""
    return await asyncio.to_thread(_load, target, archive, manifest, why=why, other=other, force=force, clock=clock)


def _load(target: Path, archive: Path, manifest: Manifest, **more: Any) -> list[str]:
    check_sqlite_version()
    refuse_network(target)
    lock = FileLock(target)
    staged = target.with_name(target.name + ".restoring")
    try:
        old = _examine_target(target, force=more["force"])
        for name, stream in read_archive(archive, manifest):
            if name == MEMBER:
                _stage(staged, stream)
            else:
                more["other"](name, stream)
        _bring_up(staged, more["why"], more["clock"])
        return _publish(staged, target, more["clock"]()) if old else _publish(staged, target, None)
    except OSError as error:
        raise BackupError(f"{target} cannot be restored ({error.strerror or error}): it is as it was") from error
    finally:
        staged.unlink(missing_ok=True)
        lock.release()


def _examine_target(target: Path, *, force: bool) -> bool:
    """Is there something worth keeping a copy of? Afterwards nothing but the file itself is left of what is there."""
    if not target.exists() or not target.stat().st_size:
        if any(target.with_name(target.name + end).exists() for end in ("-wal", "-journal")):
            raise BackupError(f"beside {target} lies a log without its database: move it away first")
        return False
    sql = open_writer(Database(target))
    try:
        pos = int(sql.rows("SELECT coalesce(max(pos), 0) FROM event")[0][0]) if version_of(sql) else 0
        if pos and not force:
            raise BackupError(
                f"{target} holds {pos} events and is not replaced: restore to another place by --to, or say --force"
                " (then it is kept under another name)"
            )
        sql.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        sql.run("PRAGMA journal_mode = DELETE")
    finally:
        sql.connection.close()
    if target.with_name(target.name + "-wal").exists():
        raise BackupError(f"another program has {target} open: end it first")
    return pos > 0


def _stage(staged: Path, stream: IO[bytes]) -> None:
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(stream, file, 1024 * 1024)


def _bring_up(staged: Path, why: str, clock: Callable[[], datetime]) -> None:
    sql = _open_copy(staged)
    try:
        missing(sql)  # refuses what is not ours before anything is changed
        _refuse_damage(sql, staged)
        apply_migrations(sql, clock)
        _mark(sql, why)
    finally:
        sql.connection.close()
    descriptor = os.open(staged, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(staged: Path, target: Path, now: datetime | None) -> list[str]:
    """The old database keeps a name; the new one takes its place in one step."""
    notes = []
    if now is not None:
        kept = target.with_name(f"{target.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
        os.link(target, kept)
        notes.append(f"What was there is kept as {kept}.")
    staged.replace(target)
    sync_folder(target.parent)
    return notes
