"""One connection: how it is made and made again, and the border that no driver error crosses."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from storage.codec import HALF_SURROGATE, Row
from storage.errors import Conflict, NotFound, SchemaError, StorageError, Unavailable
from storage.postgres.clock import ServerClock
from storage.postgres.memory import ABSENT, Memory, Way, Writing, named
from storage.postgres.tables import Table
from storage.record import Entry

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
        #: May rows that are written wait for each other? See ``Transaction.foresee``.
        self.collecting = False
        self.memory = Memory()
        #: How often something was written, or is going to be.
        self.writes = 0
        #: Appends to the stream what waits for it, after the rows.
        self.append_entries: Callable[[list[Entry]], Awaitable[Any]] | None = None
        self._numbered: dict[str, str] = {}
        self._named: dict[str, frozenset[str]] = {}

    @property
    def demoted(self) -> bool:
        """Has the server said that it only reads?"""
        return self.lost is not None and isinstance(self.lost.__cause__, asyncpg.ReadOnlySQLTransactionError)

    async def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        await self._catch_up(sql, reads=sql.lstrip().startswith("SELECT"))
        return [_in(record) for record in await self._call(self.connection.fetch, sql, values)]

    async def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row."""
        found = await self.rows(sql, values)
        return found[0] if found else None

    async def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Execute; returns how many rows changed."""
        await self._catch_up(sql, reads=False)
        status: str = await self._call(self.connection.execute, sql, values)
        number = status.rpartition(" ")[2]
        return int(number) if number.isdigit() else 0

    async def try_run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Execute what a rule of the database may refuse: the transaction can go on after that."""
        async with self.savepoint():
            return await self.run(sql, values)

    async def script(self, sql: str) -> str:
        """Several statements, without values; returns the status of the last. Nothing that waits to be written is waited for."""
        status: str = await self._call(self.connection.execute, sql, ())
        return status

    async def write(self, table: Table, row: Row, way: Way, *, refusable: bool = False) -> None:
        """Write a row now, or with the others while we collect. Raises Conflict: now, or when those are written.

        ``refusable``: a rule of the database may refuse the row, and the transaction can go on after that if it is written now.
        """
        if way is Way.INSERT and table.key and self.memory.recall(table.name, table.key_of(row)):
            raise Conflict(f"the table {table.name} already has this row")
        self.writes += 1
        if self.collecting:
            self.memory.add(table, row, way)
            return
        async with self.savepoint() if refusable else nullcontext():
            self.memory.add(table, row, way)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits, in one statement. Raises Conflict, or NotFound for a change of what is not there."""
        writing = self.memory.take()
        entries, self.memory.entries = self.memory.entries, []
        if writing is not None:
            await self._write(writing)
        if entries:
            assert self.append_entries is not None
            await self.append_entries(entries)

    async def _write(self, writing: Writing) -> None:
        try:
            (counts,) = await self._call(self.connection.fetch, writing.sql, writing.values)
        except BaseException:
            self.memory.forget_all()
            raise
        missing = writing.missing(tuple(counts))
        if missing:
            # The rest is written: nothing of it may stay.
            self.memory.forget_all()
            self.broken = NotFound(f"a row of {missing} that was to be changed is not there")
            raise NotFound(*self.broken.args)

    async def change_row(self, table: Table, row: Row, refusable: Collection[str] = ()) -> bool:
        """Make the row with this one's key equal to it, but for what never changes; False if there is none.

        A change of the columns ``refusable`` may be refused, see :meth:`write`.
        """
        old = await self.current(table, table.key_of(row))
        if not old:
            return False
        pairs = zip(table.columns, old, row, strict=True)
        differing = {name for name, before, after in pairs if before != after} - table.fixed
        if differing:
            new = tuple(after if name in differing else before for name, before, after in zip(table.columns, old, row, strict=True))
            await self.write(table, new, Way.CHANGE, refusable=not differing.isdisjoint(refusable))
        return True

    async def current(self, table: Table, key: Row) -> Row | None:
        """The row with this key, from memory or from the database; empty or None if there is none."""
        row = self.memory.recall(table.name, key)
        if row is None:
            row = await self.row(table.selecting, key) or ABSENT
            self.memory.remember(table.name, key, row)
        return row

    async def _catch_up(self, sql: str, *, reads: bool) -> None:
        """What is asked for is written before, and what is changed some other way is no longer known."""
        tables = self._named.get(sql)
        if tables is None:
            tables = self._named[sql] = named(sql)
        if not tables.isdisjoint(self.memory.waiting):
            await self.flush()
        if not reads:
            self.writes += 1
            self.memory.forget(tables)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is done inside is done wholly or not at all, also when the caller lives on after an error."""
        await self.flush()
        await self.script("SAVEPOINT step")
        try:
            yield
            await self.flush()
        except BaseException:
            self.memory.forget_all()
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
