"""What is kept: the stream, the history, the outbox. ``README.md`` here says what a transaction promises."""

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from urllib.parse import unquote, urlsplit

from storage.bus import Bus
from storage.errors import StorageError
from storage.protocol import Store


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


async def open_store(
    url: str,
    *,
    clock: Callable[[], datetime] = utc_now,
    on_fatal: Callable[[BaseException], None] | None = None,
    migrate: bool = True,
    bus: Bus | None = None,
    may_be_away: bool = False,
) -> Store:
    """Open the database at ``url``: ``sqlite:///absolute/path`` or ``postgresql://user:password@host:port/name``.

    Called and used within one event loop. An empty database is set up, an older one brought up to date (with ``migrate=False``:
    refused). ``on_fatal`` is called, in that loop, when the disk of a SQLite database can no longer be trusted: end the process
    then. ``bus`` is how the nodes on a PostgreSQL database wake each other; SQLite has one process and no need of it.

    With ``may_be_away`` a PostgreSQL that cannot be reached now is no error: the store is Unavailable until it can be, and is prepared
    then. Should that find a database that must not be used, ``on_fatal`` is called with the SchemaError.

    Options of a PostgreSQL URL, as ``?name=true``: ``pgbouncer`` for a pooler in transaction mode (nothing is prepared, nothing
    outlives a transaction), ``unsafe`` to accept a server that does not sync, for tests. Others are the driver's, for instance
    ``sslmode=verify-full``.

    Raises SchemaError for a database or server that must not be used, Unavailable if it cannot be reached, if another process has
    the file, or if its folder cannot be used.
    """
    store: Store
    if _is_postgres(url):
        store = await _backend("postgres").open_postgres(
            url, clock=clock, migrate=migrate, bus=bus, if_away=(on_fatal or _nobody) if may_be_away else None
        )
    else:
        store = await _backend("sqlite").open_sqlite(_path(url), clock=clock, on_fatal=on_fatal, migrate=migrate)
    return store


async def migrate_store(url: str, *, clock: Callable[[], datetime] = utc_now) -> list[str]:
    """Bring the schema up to date; returns the names of the migrations applied, empty if there was nothing to do."""
    names: list[str]
    if _is_postgres(url):
        names = await _backend("postgres").migrate_postgres(url, clock=clock)
    else:
        names = await _backend("sqlite").migrate_sqlite(_path(url), clock=clock)
    return names


def _nobody(error: BaseException) -> None:
    del error


def _is_postgres(url: str) -> bool:
    scheme = url.partition(":")[0]
    if scheme not in {"sqlite", "postgresql", "postgres"}:
        raise StorageError(f"a database URL begins with sqlite:/// or postgresql://, not with {scheme if '://' in url else 'nothing'!r}")
    return scheme != "sqlite"


def _backend(name: str) -> ModuleType:
    # By name: importing the vocabulary of this package must not load a database engine.
    return importlib.import_module(f"storage.{name}")


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
        raise StorageError("a SQLite URL is sqlite:/// and an absolute path, for example sqlite:///var/lib/sportello/sportello.db")
    return "/" + unquote(parts.path).lstrip("/")
