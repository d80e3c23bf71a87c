"""One connection: how it is made and made again, and the border that no driver error crosses."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from storage.codec import HALF_SURROGATE, Row
from storage.errors import Conflict, SchemaError, StorageError, Unavailable
from storage.postgres.clock import ServerClock

#: What a statement can be given.
Value = None | int | float | bytes | str | Sequence[int | None] | Sequence[str] | Sequence[bytes]


#: For what has no limit of its own, as a migration.
_PATIENCE: Final = 3_600.0

#: The server or the way to it says no, not the statement: nothing of the whole commit is kept.
_OUTAGES: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.exceptions.ProtocolError,
    asyncpg.exceptions.InternalClientError,
    OSError,
    EOFError,
)
_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, asyncpg.InsufficientPrivilegeError)
_DAMAGE: Final = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)

_MARK: Final = re.compile(r"\?")


class Database:
    """Which database, and how to talk to it. Never shows its password."""

    def __init__(self, dsn: str, label: str, *, pgbouncer: bool = False, unsafe: bool = False) -> None:
        self.dsn = dsn
        #: Host, port and name, for messages.
        self.label = label
        #: A pooler may give each transaction another session: then nothing may outlive a transaction.
        self.pgbouncer = pgbouncer
        #: A server that does not sync is accepted: for tests.
        self.unsafe = unsafe
        self.clock = ServerClock()

    def __repr__(self) -> str:
        return f"Database({self.label})"


def parse_url(url: str) -> Database:
    """``postgresql://user:password@host:port/name``; options of ours (``pgbouncer``, ``unsafe``) and of the driver (``sslmode``, …) follow
    as a query. Raises StorageError, which never shows the URL."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        place = f"{options.get('host') or parts.hostname or 'localhost'}:{options.get('port') or parts.port or 5432}"
    except ValueError:
        parts, options, place = None, {}, ""
    if parts is None or parts.scheme not in {"postgresql", "postgres"} or parts.fragment:
        raise StorageError(
            "the database URL cannot be read: it looks like postgresql://user:password@host:5432/name, with : / ? # @ % in the user name"
            " or password written as %3A %2F %3F %23 %40 %25"
        )
    ours = {name: options.pop(name, "false").lower() for name in ("pgbouncer", "unsafe")}
    for name, value in ours.items():
        if value not in {"true", "false"}:
            raise StorageError(f"{name} in the database URL is true or false")
    dsn = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(options), ""))
    label = f"PostgreSQL {place}/{parts.path.lstrip('/') or options.get('dbname', '')}"
    return Database(dsn, label, pgbouncer=ours["pgbouncer"] == "true", unsafe=ours["unsafe"] == "true")


def translate(error: BaseException, database: Database) -> StorageError:
    """What a driver error means to the caller. Details are left out: they show what people wrote."""
    text = str(error.args[0]) if isinstance(error, asyncpg.PostgresError) and error.args else f"{type(error).__name__}: {error}"
    match error, error.__cause__:
        case (_, UnicodeEncodeError()) | (UnicodeEncodeError(), _):
            return StorageError(HALF_SURROGATE)
        case (_, OverflowError()) | (OverflowError(), _):
            return StorageError("a number is beyond 64 bits and cannot be stored")
        case asyncpg.IntegrityConstraintViolationError(), _:
            return Conflict(text)
        case asyncpg.ProgramLimitExceededError(), _:
            return StorageError(f"a value is too long for the database ({text})")
    if isinstance(error, asyncpg.DiskFullError):
        return Unavailable(f"the disk of {database.label} is full: nothing was written; free some space")
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Unavailable(f"{database.label} only reads now (a standby, or set so): nothing was written")
    if isinstance(error, _REFUSED):
        return Unavailable(f"{database.label} refuses us ({text}): check user, password, name and rights")
    if isinstance(error, _DAMAGE):
        return SchemaError(f"{database.label} is damaged ({text}): restore a backup")
    if is_outage(error):
        return Unavailable(f"{database.label} cannot be used now ({text})")
    return StorageError(text)


def is_refusal(error: Unavailable) -> bool:
    """Is the server there, and does not want us?"""
    return isinstance(error.__cause__, _REFUSED)


def is_outage(error: BaseException) -> bool:
    """Does it concern everybody, and not only who asked?"""
    closed = isinstance(error, asyncpg.InterfaceError) and "clos" in str(error)
    return isinstance(error, (*_OUTAGES, *_DAMAGE, *_REFUSED)) or closed


def _escape(text: str) -> str:
    """Text without NUL, which PostgreSQL cannot hold. It is one to one, and of a joined text the joined texts."""
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\x011").replace("\0", "\x010")
    return text


def _unescape(text: str) -> str:
    return text.replace("\x010", "\0").replace("\x011", "\1") if "\1" in text else text


def _out(value: Value) -> Any:
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, (list, tuple)):
        return [_out(each) for each in value]
    return value


def _in(record: Any) -> Row:
    row = tuple(record)
    if any("\1" in value for value in row if isinstance(value, str)):
        return tuple(_unescape(value) if isinstance(value, str) else value for value in row)
    return row


class Sql:
    """Statements on one connection, with our errors; ``?`` marks a value. Used by one task at a time."""

    def __init__(self, connection: Any, database: Database, *, read_only: bool = False) -> None:
        self.connection = connection
        self.database = database
        self.read_only = read_only
        #: Is a statement on its way? If not, and the function on this connection waits all the same, it waits for something foreign.
        self.busy = False
        #: Set when the server has given up the transaction, to its last savepoint: no statement may run until that is rolled back.
        self.broken: StorageError | None = None
        #: Set when nothing of the whole transaction can be kept.
        self.lost: StorageError | None = None
        #: Seconds after which a server that does not answer is given up: it may be frozen, and nothing else ends that.
        self.patience = _PATIENCE
        self._numbered: dict[str, str] = {}
        #: Rows that were read since the last write, by table and key: who writes has the head, so nobody else changes them meanwhile.
        self._read: dict[tuple[str, str], Row] = {}

    @property
    def demoted(self) -> bool:
        """Has the server said that it only reads?"""
        return self.lost is not None and isinstance(self.lost.__cause__, asyncpg.ReadOnlySQLTransactionError)

    async def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        if not sql.lstrip().startswith("SELECT"):
            self._read.clear()
        return [_in(record) for record in await self._call(self.connection.fetch, sql, values)]

    async def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row."""
        found = await self.rows(sql, values)
        return found[0] if found else None

    async def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Execute; returns how many rows changed."""
        self._read.clear()
        status: str = await self._call(self.connection.execute, sql, values)
        number = status.rpartition(" ")[2]
        return int(number) if number.isdigit() else 0

    async def try_run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Execute what a rule of the database may refuse: the transaction can go on after that."""
        async with self.savepoint():
            return await self.run(sql, values)

    async def script(self, sql: str) -> str:
        """Several statements, without values; returns the status of the last."""
        self._read.clear()
        status: str = await self._call(self.connection.execute, sql, ())
        return status

    def remember(self, table: str, key: str, row: Row) -> None:
        """This row was read just now; :meth:`recall` gives it until anything is written, or the transaction ends."""
        self._read[table, key] = row

    def recall(self, table: str, key: str) -> Row | None:
        """The row as it was read since the last write; None: ask the database."""
        return self._read.get((table, key))

    async def replace_row(self, table: str, names: Sequence[str], row: Row, key: str, unique: Collection[str] = ()) -> bool:
        """Make the row of ``table`` with this ``key`` equal to ``row``; False if there is none.

        Only what differs is set: an update that touches no index is much cheaper. A change of the columns ``unique`` may be
        refused, and has a savepoint.
        """
        values = dict(zip(names, row, strict=True))
        old = self.recall(table, values[key]) or await self.row(f"SELECT {', '.join(names)} FROM {table} WHERE {key} = ?", (values[key],))
        if old is None:
            return False
        differing = {name: value for (name, value), before in zip(values.items(), old, strict=True) if value != before}
        if differing:
            changes = ", ".join(f"{name} = ?" for name in differing)
            async with nullcontext() if differing.keys().isdisjoint(unique) else self.savepoint():
                await self.run(f"UPDATE {table} SET {changes} WHERE {key} = ?", (*differing.values(), values[key]))
        return True

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is done inside is done wholly or not at all, also when the caller lives on after an error."""
        await self.script("SAVEPOINT step")
        try:
            yield
        except BaseException:
            if self.lost is None:
                self.broken = None
                await self.script("ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")
            raise
        await self.script("RELEASE SAVEPOINT step")

    async def _call(self, method: Any, sql: str, values: Sequence[Value]) -> Any:
        refusal = self.lost or self.broken
        if refusal is not None:
            raise type(refusal)(*refusal.args)
        self.busy = True
        watch = asyncio.get_running_loop().call_later(self.patience, self.connection.terminate)
        try:
            return await method(self._number(sql) if values else sql, *map(_out, values))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError, OSError, EOFError) as error:
            raise self._translated(error) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise translate(error, self.database) from error
        finally:
            watch.cancel()
            self.busy = False

    def _number(self, sql: str) -> str:
        known = self._numbered.get(sql)
        if known is None:
            count = iter(range(1, 1_000))
            known = self._numbered[sql] = _MARK.sub(lambda _: f"${next(count)}", sql)
        return known

    def _translated(self, error: BaseException) -> StorageError:
        if self.read_only and isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            meaning = self.broken = StorageError("a view only reads: use transact to write")
            return meaning
        meaning = translate(error, self.database)
        if is_outage(error):
            self.lost = meaning
            meaning.__cause__ = error
        elif getattr(error, "sqlstate", None) and error.__cause__ is None:
            self.broken = meaning
        return meaning
