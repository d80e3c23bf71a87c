"""What is wrong with a database, in words for its operator."""

import shutil
from pathlib import Path
from typing import Final

from storage.errors import SchemaError, StorageError
from storage.sqlite.connection import Sql, check_sqlite_version
from storage.sqlite.lock import network_filesystem
from storage.sqlite.schema import missing

_LARGE_WAL: Final = 256 * 1024 * 1024
_LITTLE_DISK: Final = 1024 * 1024 * 1024


def examine(sql: Sql) -> list[str]:
    """Everything that is wrong, one line each."""
    path = sql.database.path
    return [*_library(), *_place(path), *_schema(sql), *_pages(sql)]


def _library() -> list[str]:
    try:
        check_sqlite_version()
    except SchemaError as error:
        return [str(error)]
    return []


def _place(path: Path) -> list[str]:
    problems = []
    kind = network_filesystem(path)
    if kind:
        problems.append(f"{path} lies on a network file system ({kind}): move it to a local disk")
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > _LARGE_WAL:
        problems.append(f"{wal} has grown to {wal.stat().st_size >> 20} MiB: some program keeps an old snapshot of the database open")
    free = shutil.disk_usage(path.parent).free
    if free < _LITTLE_DISK:
        problems.append(f"only {free >> 20} MiB are free on the disk of {path}")
    return problems


def _schema(sql: Sql) -> list[str]:
    try:
        steps = missing(sql)
    except SchemaError as error:
        return [str(error)]
    return [f"migration {step.name} has not been applied: run sportello migrate" for step in steps]


def _pages(sql: Sql) -> list[str]:
    try:
        found = [str(row[0]) for row in sql.rows("PRAGMA quick_check(20)")]
        found = [] if found == ["ok"] else found
        found += [f"row {row[1]} of {row[0]} points to a missing row of {row[2]}" for row in sql.rows("PRAGMA foreign_key_check")[:20]]
    except StorageError as error:
        return [str(error)]
    return [f"{sql.database.path}: {line}" for line in found]
