"""The file of a node's spool: how it is made, looked at, opened, and replaced when it is damaged. All of it blocks.

A spool holds what providers were told is taken, so it is never silently begun anew. A file that is damaged, or whose log is
gone, is set aside under a name with ``.corrupt-``, what can be read of it goes into the new one, and whoever opened it is told.
"""

import os
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import msgspec

from storage.codec import HALF_SURROGATE, Row
from storage.errors import SchemaError, StorageError, Unavailable
from storage.record import Entry
from storage.sqlite.connection import Database, Sql, make_durable, open_reader, open_writer, translate

#: "SPSP": marks a file as a spool of ours.
_APPLICATION_ID: Final = 0x53505350
_VERSION: Final = 1
_SCHEMA: Final = """
BEGIN;
CREATE TABLE waiting (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
    channel TEXT NOT NULL,
    key     TEXT NOT NULL,
    at      INTEGER NOT NULL,                   -- microseconds since 1970
    crc     INTEGER NOT NULL,                   -- of entry
    entry   BLOB NOT NULL                       -- storage.record.Entry as MessagePack
) STRICT;
CREATE TABLE refused (
    seq INTEGER PRIMARY KEY, channel TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, crc INTEGER NOT NULL, entry BLOB NOT NULL,
    why TEXT NOT NULL
) STRICT;
CREATE TABLE life (closed INTEGER NOT NULL) STRICT;
INSERT INTO life VALUES (1);
COMMIT;
"""
#: Between two rows that can be read, as many are looked for one by one.
_LOOK_FOR: Final = 200_000

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Entry)


class Opened(NamedTuple):
    """A spool file, ready to be written."""

    sql: Sql
    #: Which spool it is.
    id: str
    #: How many events an earlier run had left, by channel.
    waiting: Mapping[str, int]
    #: Why the file that was there had to be set aside; empty if it was well.
    damage: str
    #: Where it lies now, and how many rows of it are in the new one.
    aside: Path | None = None
    rescued: int = 0


class Look(NamedTuple):
    """What lies in a spool."""

    waiting: int
    refused: int
    #: When the oldest waiting one came.
    oldest: datetime | None
    #: Why the newest refused one was refused.
    why: str


def pack(entry: Entry) -> bytes:
    """Raises StorageError for what no store would take."""
    if entry.at.tzinfo is None:
        raise StorageError(f"the time {entry.at.isoformat()} has no time zone; times are kept in UTC")
    try:
        return _encoder.encode(entry)
    except UnicodeEncodeError as error:
        raise StorageError(HALF_SURROGATE) from error


def unpack(packed: bytes, crc: int) -> Entry | None:
    """None if these are not the bytes that were put there."""
    if zlib.crc32(packed) != crc:
        return None
    try:
        return _decoder.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def open_file(database: Database, clock: Callable[[], datetime]) -> Opened:
    """Open the spool, or make it. Raises SchemaError if it is newer than this program or something else, Unavailable if it cannot be used.

    What an earlier run's database refused waits again: the cause may have been repaired.
    """
    path = database.path
    replaced = _replaced(database, clock)
    sql = open_writer(database)
    try:
        make_durable(sql)
        sql.run("INSERT INTO waiting SELECT seq, channel, key, at, crc, entry FROM refused WHERE true ON CONFLICT (seq) DO NOTHING")
        sql.run("DELETE FROM refused")
        sql.run("UPDATE life SET closed = 0")
        # One of an older program has no name yet.
        sql.run("CREATE TABLE IF NOT EXISTS name (id TEXT NOT NULL) STRICT")
        sql.run("INSERT INTO name SELECT ? WHERE NOT EXISTS (SELECT 1 FROM name)", (secrets.token_hex(8),))
        name = str(sql.rows("SELECT id FROM name")[0][0])
        # Into the main file itself: if the log is ever missing, the main file shows that there must have been one.
        sql.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        waiting: dict[str, int] = dict(sql.rows("SELECT channel, count(*) FROM waiting GROUP BY channel"))
    except apsw.Error as error:
        sql.connection.close()
        raise translate(error, database) from error
    except BaseException:
        sql.connection.close()
        raise
    _sync_folder(path.parent)
    return Opened(sql, name, waiting, *replaced)


def close_file(sql: Sql) -> None:
    """In good order: the log is copied back and removed."""
    sql.run("UPDATE life SET closed = 1")
    with suppress(apsw.Error):
        sql.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    sql.connection.close()


def set_aside(path: Path) -> list[Path]:
    """Damaged spools that lie beside ``path`` until somebody has looked at them and removed them."""
    return sorted(found for found in path.parent.glob(f"{path.name}.corrupt-*") if not found.name.endswith(("-wal", "-shm")))


def look(path: Path) -> Look:
    """What lies in a spool that another process may have open. Raises storage errors."""
    sql = open_reader(Database(path))
    try:
        waiting, oldest = sql.rows("SELECT count(*), min(at) FROM waiting")[0]
        refused = sql.rows("SELECT count(*) FROM refused")[0][0]
        why = sql.row("SELECT why FROM refused ORDER BY seq DESC LIMIT 1")
    finally:
        sql.connection.close()
    return Look(waiting, refused, None if oldest is None else datetime.fromtimestamp(oldest / 1_000_000, UTC), why[0] if why else "")


# --- a file that is not as it was left ---------------------------------------------------------------------------------------


def _replaced(database: Database, clock: Callable[[], datetime]) -> tuple[str, Path | None, int]:
    """See to it that a sound file is there; the rest of an :class:`Opened`."""
    path = database.path
    made, ready = path.with_name(path.name + ".new"), path.with_name(path.name + ".rescued")
    if ready.exists():
        # An earlier start got so far and died.
        return "it was damaged", _swap(path, ready, clock), 0
    if not path.exists() and not _has_log(path):
        _make(database._replace(path=made)).close()
        _rename(made, path)
        return "", None, 0
    damage = _damage(database)
    if not damage:
        return "", None, 0
    with closing(_make(database._replace(path=made))) as new:
        rescued = _rescue(database, new)
    _rename(made, ready)
    return damage, _swap(path, ready, clock), rescued


def _make(database: Database) -> apsw.Connection:
    """A new, empty file. Whatever a start that died has left of one is removed."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        database.path.with_name(database.path.name + suffix).unlink(missing_ok=True)
    sql = open_writer(database)
    try:
        sql.rows(f"PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION};")
        sql.rows(_SCHEMA)
    except BaseException:
        sql.connection.close()
        raise
    return sql.connection


def _has_log(path: Path) -> bool:
    """A log of no bytes is none: it is never cut to nothing while the spool is in use."""
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _damage(database: Database) -> str:
    """What is wrong with the file; empty if it is well. Raises SchemaError if it is no spool, or a newer one."""
    path = database.path
    if not path.exists():
        return "its main file is gone"
    if path.stat().st_size == 0:
        return "it has no bytes"
    had_log = _has_log(path)
    try:
        sql = open_reader(database)
    except SchemaError as error:
        return str(error)
    try:
        _refuse_foreign(sql)
        problem = sql.rows("PRAGMA quick_check(1)")[0][0]
        if problem != "ok":
            return str(problem)
        if not sql.rows("SELECT closed FROM life")[0][0] and not had_log:
            return "its log (-wal) is gone, and with it what was taken last"
    except (_Foreign, Unavailable):
        raise
    except (StorageError, IndexError) as error:
        return str(error)
    finally:
        sql.connection.close()
    return ""


class _Foreign(SchemaError):
    """Nothing of ours: it stays where it is."""


def _refuse_foreign(sql: Sql) -> None:
    if sql.rows("PRAGMA application_id")[0][0] != _APPLICATION_ID:
        raise _Foreign(f"{sql.database.path} is a database, but no spool of Sportello: move it away, or set another data_dir")
    if sql.rows("PRAGMA user_version")[0][0] > _VERSION:
        raise _Foreign(f"{sql.database.path} was made by a newer Sportello: start that one, and let it drain the spool")


def _rescue(database: Database, new: apsw.Connection) -> int:
    """Copy every row that can still be read; returns how many."""
    try:
        old = open_reader(database).connection
    except StorageError:
        return 0
    rescued = 0
    try:
        with closing(old), new:
            for seq, channel, key, at, crc, entry in _readable(old):
                if isinstance(entry, bytes) and isinstance(crc, int) and unpack(entry, crc) is not None:
                    new.execute(
                        "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?, ?, ?, ?)", (seq, str(channel), str(key), int(at), crc, entry)
                    )
                    rescued += new.changes()
    except apsw.Error as error:
        raise translate(error, database) from error
    return rescued


def _readable(old: apsw.Connection) -> Iterator[Row]:
    """From the start until something is broken, from the end until something is broken, and one by one between."""
    with suppress(apsw.Error):
        yield from old.execute("SELECT seq, channel, key, at, crc, entry FROM refused")
    low, high = 0, 0
    with suppress(apsw.Error):
        for row in old.execute("SELECT seq, channel, key, at, crc, entry FROM waiting ORDER BY seq"):
            low = row[0]
            yield row
        return
    with suppress(apsw.Error):
        for row in old.execute("SELECT seq, channel, key, at, crc, entry FROM waiting WHERE seq > ? ORDER BY seq DESC", (low,)):
            high = row[0]
            yield row
    for seq in range(low + 1, min(high or low + _LOOK_FOR, low + _LOOK_FOR)):
        with suppress(apsw.Error):
            yield from old.execute("SELECT seq, channel, key, at, crc, entry FROM waiting WHERE seq = ?", (seq,))


def _swap(path: Path, ready: Path, clock: Callable[[], datetime]) -> Path:
    """The damaged file out of the way, the new one into its place."""
    aside = path.with_name(f"{path.name}.corrupt-{clock():%Y%m%dT%H%M%S%f}")
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    # Even if there was nothing left to keep: the name is the alarm.
    aside.touch(mode=0o600)
    _rename(ready, path)
    return aside


def _rename(old: Path, new: Path) -> None:
    old.rename(new)
    _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
