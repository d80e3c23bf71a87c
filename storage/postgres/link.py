"""A connection that is made when it is needed, and made again when it was lost; and how transactions on it begin."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import asyncpg

from storage.errors import StorageError, Unavailable
from storage.postgres.connection import Database, Sql, translate

CONNECT_SECONDS: Final = 2.0
#: Wait between attempts to connect: first, and at most.
_BACK_OFF: Final = (0.05, 1.0)
#: Someone who stops in the middle of a transaction (a frozen machine) gives way to the others after this.
_IDLE_MS: Final = 3_000
#: The savepoint that a writing transaction begins with.
JOB: Final = "job"


class Link:
    """A connection that is made when it is needed, and made again when it was lost."""

    def __init__(self, database: Database, *, read_only: bool = False) -> None:
        self.database = database
        self._read_only = read_only
        self._connection: Any = None
        self._sql: Sql | None = None
        self._failures = 0
        self._refusal: Unavailable | None = None
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def begin(self, script: str, patience: float, seconds: float) -> Sql:
        """Begin a transaction by ``script``. Raises Unavailable.

        The connection is cut when a statement is not answered after ``patience``, and when the whole takes longer than ``seconds``.
        """
        old = self.connected
        try:
            return await self._begin(script, patience, seconds)
        except Unavailable:
            # A connection may have died while nobody looked, and nothing has been asked of the new one yet.
            if not old or self.connected:
                raise
            return await self._begin(script, patience, seconds)

    async def _begin(self, script: str, patience: float, seconds: float) -> Sql:
        await self._connect()
        assert self._sql is not None
        sql = self._sql
        sql.broken = sql.lost = None
        sql.memory.forget_all()
        sql.patience = patience
        self._timer = asyncio.get_running_loop().call_later(seconds, self.cut)
        try:
            await sql.script(script)
        except BaseException:
            # A server that only reads has become a standby: its address may lead to another one now.
            if sql.demoted:
                self.cut()
            await self.roll_back()
            raise
        return sql

    async def commit(self) -> None:
        """Raises Unavailable if the commit failed; if its answer was lost it may have happened."""
        assert self._sql is not None
        try:
            status = await self._sql.script("COMMIT")
        except StorageError as error:
            await self.roll_back()
            raise Unavailable(f"{error}: the commit has happened or not") from error.__cause__
        self._disarm()
        if status != "COMMIT":
            raise Unavailable(f"{self.database.label} gave the transaction up: nothing was written")

    async def roll_back(self) -> None:
        """End the transaction; a connection that cannot even do that is cut."""
        sql = self._sql
        if sql is not None and self.connected:
            sql.broken = sql.lost = None
            sql.memory.forget_all()
            try:
                await sql.script("ROLLBACK")
            except StorageError:
                self.cut()
        self._disarm()

    def cut(self) -> None:
        """End the connection at once; whoever waits for an answer gets an error. The server, which may be frozen, is not asked."""
        if self._connection is not None:
            self._connection.terminate()

    async def close(self) -> None:
        if self.connected:
            with suppress(Exception):
                await self._connection.close(timeout=1)
        self.cut()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _connect(self) -> None:
        if self.connected:
            return
        now = asyncio.get_running_loop().time()
        if self._refusal is not None and now < self._not_before:
            raise Unavailable(*self._refusal.args)
        try:
            self._connection = await connect(self.database)
        except Unavailable as error:
            self._not_before = asyncio.get_running_loop().time() + min(_BACK_OFF[0] * 2**self._failures, _BACK_OFF[1])
            self._failures += 1
            self._refusal = error
            raise
        self._failures, self._refusal = 0, None
        self._sql = Sql(self._connection, self.database, read_only=self._read_only)


async def connect(database: Database) -> Any:
    """A new connection. Raises Unavailable."""
    more: dict[str, Any] = {"statement_cache_size": 0} if database.pgbouncer else {"server_settings": {"application_name": "sportello"}}
    try:
        return await asyncpg.connect(database.dsn, timeout=CONNECT_SECONDS, **more)
    except TimeoutError as error:
        raise Unavailable(f"{database.label} does not answer") from error
    except (asyncpg.exceptions.ClientConfigurationError, ValueError):
        # What the driver says of an URL may show its password.
        raise StorageError(f"the URL of {database.label} has options that the driver does not understand") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError, OSError) as error:
        raise translate(error, database) from error


def begin_write(seconds: float) -> str:
    """Begin a transaction that may wait ``seconds`` for anything. It locks the head first: see migration 0001.

    The planner is told to use indexes: it knows nothing yet of tables that grow from nothing.
    """
    milliseconds = int(seconds * 1_000)
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED;"
        f" SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds};"
        f" SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS};"
        " SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
        f" SELECT 1 FROM head FOR UPDATE; SAVEPOINT {JOB}"
    )


def begin_small(seconds: float) -> str:
    """Begin a transaction beside the stream: it must not wait for the head."""
    milliseconds = int(seconds * 1_000)
    return (
        f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {milliseconds};"
        f" SET LOCAL lock_timeout = {milliseconds}; SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS}"
    )


def begin_view(seconds: float) -> str:
    """Begin one snapshot, read only."""
    return f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {int(seconds * 1_000)}"
