"""One connection: how it is opened, and the border that no driver error crosses."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from storage.codec import HALF_SURROGATE, Row, Value
from storage.errors import Conflict, SchemaError, StorageError, Unavailable

#: The first version without the WAL-reset bug that could damage a database with several connections (sqlite.org/wal.html, read 2026-11).
OLDEST_SQLITE: Final = (3, 51, 3)
#: "SPTO": marks a file as ours.
APPLICATION_ID: Final = 0x5350544F
_BUSY_MS: Final = 5_000
_WAL_KEEP_BYTES: Final = 64 * 1024 * 1024

#: The machine says no, not the statement: nothing of the whole commit is kept.
_OUTAGES: Final = (
    apsw.FullError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.IOError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.InterruptError,
    apsw.ReadOnlyError,
)
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)


class Database(NamedTuple):
    """Which file, and by which of SQLite's file systems ("" is the usual one)."""

    path: Path
    vfs: str = ""


def translate(error: Exception, database: Database) -> StorageError:
    """What a driver error means to the caller."""
    match error:
        case apsw.ConstraintError():
            return Conflict(str(error))
        case apsw.CorruptError() | apsw.NotADBError():
            return SchemaError(f"{database.path} is damaged ({error}): restore a backup, or rescue it with the sqlite3 command's .recover")
        case apsw.FullError():
            return Unavailable(f"the disk of {database.path} is full ({error}): nothing was written; free some space")
        case apsw.BusyError() | apsw.LockedError():
            return Unavailable(f"another program holds {database.path} ({error}): nothing was written")
        case apsw.CantOpenError():
            return Unavailable(f"{database.path} cannot be opened ({error}): check that its folder exists and is ours to write")
        case UnicodeEncodeError():
            return StorageError(HALF_SURROGATE)
        case OverflowError():
            return StorageError("a number is beyond 64 bits and cannot be stored")
        case _ if isinstance(error, _OUTAGES):
            return Unavailable(f"{database.path} cannot be used now ({type(error).__name__}: {error}): nothing was written")
        case _:
            return StorageError(f"{type(error).__name__}: {error}")


class Sql:
    """Statements on one connection, with our errors. Used by one thread at a time."""

    def __init__(self, connection: apsw.Connection, database: Database, *, read_only: bool) -> None:
        self.connection = connection
        self.database = database
        self.read_only = read_only
        #: Set when SQLite may have given up the transaction by itself: no statement may run until it is rolled back.
        self.broken: StorageError | None = None

    def rows(self, sql: str, values: "Sequence[Value]" = ()) -> list[Row]:
        if self.broken is not None:
            raise self.broken
        try:
            return self.connection.execute(sql, values).fetchall()
        except (apsw.Error, UnicodeEncodeError, OverflowError) as error:
            raise self._translated(error) from error

    def row(self, sql: str, values: "Sequence[Value]" = ()) -> Row | None:
        """The first row."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def run(self, sql: str, values: "Sequence[Value]" = ()) -> int:
        """Execute; returns how many rows changed."""
        self.rows(sql, values)
        return self.connection.changes()

    def replace_row(self, table: str, names: Sequence[str], row: Row, key: str) -> bool:
        """Make the row of ``table`` with this ``key`` equal to ``row``; False if there is none.

        Only what differs is set: SQLite writes every index of a column that is named, also when its value stays the same.
        """
        values = dict(zip(names, row, strict=True))
        old = self.row(f"SELECT {', '.join(names)} FROM {table} WHERE {key} = ?", (values[key],))
        if old is None:
            return False
        differing = {name: value for (name, value), before in zip(values.items(), old, strict=True) if value != before}
        if differing:
            self.run(
                f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in differing)} WHERE {key} = ?", (*differing.values(), values[key])
            )
        return True

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is done inside is done wholly or not at all, also when the caller lives on after an error."""
        self.run("SAVEPOINT step")
        try:
            yield
        except BaseException:
            if self.broken is None:
                self.run("ROLLBACK TO step")
                self.run("RELEASE step")
            raise
        self.run("RELEASE step")

    def _translated(self, error: Exception) -> StorageError:
        if self.read_only and isinstance(error, apsw.ReadOnlyError):
            return StorageError("a view only reads: use transact to write")
        meaning = translate(error, self.database)
        if isinstance(error, (*_OUTAGES, *_DAMAGE)):
            self.broken = meaning
        return meaning


def check_sqlite_version(version: str | None = None) -> None:
    """Raises SchemaError if the SQLite library is too old to be safe with several connections."""
    version = apsw.sqlite_lib_version() if version is None else version
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise SchemaError(f"SQLite {version} can damage databases in WAL mode: install apsw with SQLite {wanted} or newer")


def open_writer(database: Database) -> Sql:
    """The only connection that writes; call :func:`make_durable` once it is known that the file is ours."""
    if not database.vfs:
        # Histories are private: SQLite gives its side files the same permissions. A path that cannot be made fails below, with a reason.
        with suppress(OSError):
            database.path.touch(mode=0o600, exist_ok=False)
    return _open(
        database, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, f"PRAGMA busy_timeout = {_BUSY_MS}; PRAGMA trusted_schema = OFF"
    )


def make_durable(writer: Sql) -> None:
    """From now on a commit returns when the disk has it. Checkpoints are the writer's own business: their errors must be seen."""
    writer.run(
        f"""
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA foreign_keys = ON;
        PRAGMA secure_delete = ON;
        PRAGMA wal_autocheckpoint = 0;
        PRAGMA journal_size_limit = {_WAL_KEEP_BYTES};
        PRAGMA cache_size = -16000;
        """
    )


def open_reader(database: Database) -> Sql:
    """A connection that cannot write."""
    setup = f"PRAGMA busy_timeout = {_BUSY_MS}; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8000;"
    return _open(database, apsw.SQLITE_OPEN_READONLY, setup)


def _open(database: Database, flags: int, setup: str) -> Sql:
    try:
        connection = apsw.Connection(str(database.path), flags=flags, vfs=database.vfs or None)
        connection.execute(setup).fetchall()
    except apsw.Error as error:
        raise translate(error, database) from error
    return Sql(connection, database, read_only=not flags & apsw.SQLITE_OPEN_READWRITE)
