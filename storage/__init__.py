"""What is kept: the stream, the history, the outbox. ``README.md`` here says what a transaction promises."""

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from urllib.parse import unquote, urlsplit

from storage.errors import StorageError
from storage.protocol import Store


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


async def open_store(
    url: str, *, clock: Callable[[], datetime] = utc_now, on_fatal: Callable[[BaseException], None] | None = None, migrate: bool = True
) -> Store:
    """Open the database at ``url``: ``sqlite:///absolute/path``. Called and used within one event loop.

    An empty database is set up, an older one brought up to date (with ``migrate=False``: refused). ``on_fatal`` is called, in
    that loop, when the disk can no longer be trusted: end the process then. Raises SchemaError, or Unavailable if another
    process has the database or its folder cannot be used.
    """
    opener = _backend(url).open_sqlite
    store: Store = await opener(_path(url), clock=clock, on_fatal=on_fatal, migrate=migrate)
    return store


async def migrate_store(url: str, *, clock: Callable[[], datetime] = utc_now) -> list[str]:
    """Bring the schema up to date; returns the names of the migrations applied, empty if there was nothing to do."""
    names: list[str] = await _backend(url).migrate_sqlite(_path(url), clock=clock)
    return names


def _backend(url: str) -> ModuleType:
    scheme = urlsplit(url).scheme
    if scheme != "sqlite":
        raise StorageError(f"a database URL begins with sqlite:///, not with {scheme or 'nothing'!r}")
    # By name: importing the vocabulary of this package must not load a database engine.
    return importlib.import_module("storage.sqlite")


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
        raise StorageError("a SQLite URL is sqlite:/// and an absolute path, for example sqlite:///var/lib/sportello/sportello.db")
    return "/" + unquote(parts.path).lstrip("/")
