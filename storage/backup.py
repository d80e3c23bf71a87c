"""Backup and restore, for both engines: one file out of a database that is in use, and an empty database out of the file.

Not for a loss of seconds: what came after the backup is gone with the disk. Where that is too much, use PostgreSQL with a standby
and its own continuous archiving.
"""

import importlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import IO
from urllib.parse import unquote, urlsplit

from storage import utc_now
from storage.archive import ArchiveWriter, BackupError, Facts, Manifest
from storage.errors import StorageError
from storage.protocol import Store

#: Called with a member that is none of the database's: its name and what can be read.
Other = Callable[[str, IO[bytes]], None]


def engine_of(url: str) -> str:
    """``sqlite`` or ``postgres``. Raises StorageError for another address."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return "sqlite"
    if scheme in {"postgresql", "postgres"}:
        return "postgres"
    raise StorageError("a database URL begins with sqlite:/// or postgresql://")


def held_because(created_at: datetime) -> str:
    """Why a database that was restored sends nothing."""
    return f"restored from the backup of {created_at:%Y-%m-%d %H:%M} UTC"


async def dump(url: str, out: ArchiveWriter, *, created_at: datetime, with_key: bool, store: Store | None = None) -> Facts:
    """Write one consistent state of the database at ``url`` into ``out``, beside whoever writes.

    SQLite has one process: ``store`` is the open one, if it is ours; without it the file is locked meanwhile. Raises BackupError,
    storage errors.
    """
    facts: Facts
    if engine_of(url) == "sqlite":
        facts = await _backend("sqlite").dump(sqlite_path(url), out, held_because(created_at), store)
    else:
        facts = await _backend("postgres").dump(url, out, with_key=with_key)
    return facts


async def load(
    url: str, archive: Path, manifest: Manifest, *, other: Other, force: bool = False, clock: Callable[[], datetime] = utc_now
) -> list[str]:
    """Make the database at ``url`` what it was, bring its schema up to date, and hold its sending. All or nothing.

    ``manifest`` is what ``check_archive`` gave. A database that holds events is refused, or with ``force`` replaced. Returns notes
    for people. Raises BackupError, storage errors; then nothing has changed.
    """
    engine = engine_of(url)
    if manifest.engine != engine:
        raise BackupError(f"this is a backup of a {manifest.engine} database: it cannot be restored into {engine}")
    backend = _backend(engine)
    newest = backend.newest_schema()
    if manifest.schema > newest:
        raise BackupError(
            f"{archive} was made by Sportello {manifest.program} with schema version {manifest.schema}, and this one knows versions up to"
            f" {newest}: install a newer Sportello"
        )
    target = sqlite_path(url) if engine == "sqlite" else url
    notes: list[str] = await backend.load(
        target, archive, manifest, why=held_because(manifest.created_at), other=other, force=force, clock=clock
    )
    return notes


async def incarnation(url: str) -> str:
    """Which database server this is: a copy brought to another one has another. Empty if that cannot be told (SQLite: a file)."""
    name: str = "" if engine_of(url) == "sqlite" else await _backend("postgres").incarnation(url)
    return name


def sqlite_path(url: str) -> Path:
    """The file of a SQLite URL. Raises StorageError."""
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
        raise StorageError("a SQLite URL is sqlite:/// and an absolute path, for example sqlite:///var/lib/sportello/sportello.db")
    return Path("/" + unquote(parts.path).lstrip("/"))


def _backend(name: str) -> ModuleType:
    # By name: importing the vocabulary of this package must not load a database engine.
    return importlib.import_module(f"storage.{name}.backup")
