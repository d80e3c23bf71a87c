"""Which databases are opened, which are refused, and how they become new."""

import asyncio
import os
import sys
from pathlib import Path

import apsw
import pytest

from storage import migrate_store, open_store, utc_now
from storage.errors import SchemaError, StorageError, Unavailable
from storage.migrate import Migration, load_migrations, pending
from storage.sqlite import schema
from storage.sqlite.connection import Database, check_sqlite_version, open_writer
from storage.sqlite.lock import filesystem_of
from tests.support.rows import entry

_HOLDER = """
import asyncio, sys
from storage import open_store

async def main(path):
    store = await open_store(f"sqlite://{path}")
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


def _raw(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


async def _opened_once(path: Path) -> None:
    await (await open_store(f"sqlite://{path}")).close()


async def test_a_second_process_is_refused_and_told_who_is_first(path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _HOLDER,
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    for second in (open_store(f"sqlite://{path}"), migrate_store(f"sqlite://{path}")):
        with pytest.raises(Unavailable, match=f"in use by process {holder.pid}"):
            await second
    holder.stdin.close()
    await holder.wait()
    await _opened_once(path)


async def test_a_second_store_in_one_process_is_refused_too(path: Path) -> None:
    first = await open_store(f"sqlite://{path}")
    with pytest.raises(Unavailable, match=f"in use by process {os.getpid()}"):
        await open_store(f"sqlite://{path}")
    await first.close()
    await _opened_once(path)


async def test_a_newer_database_is_refused(path: Path) -> None:
    await _opened_once(path)
    newest = load_migrations(schema.MIGRATIONS)[-1].version
    _raw(path, "INSERT INTO schema_version VALUES (99, '0099_future', 0)")
    with pytest.raises(SchemaError, match=f"version 99, and this Sportello knows versions up to {newest}: install a newer Sportello"):
        await open_store(f"sqlite://{path}")
    await _refused_leaves_no_lock(path)


async def _refused_leaves_no_lock(path: Path) -> None:
    with pytest.raises(SchemaError):  # and not Unavailable
        await open_store(f"sqlite://{path}")


async def test_a_foreign_database_is_refused_and_not_touched(path: Path) -> None:
    _raw(path, "CREATE TABLE users (id)")
    before = await asyncio.to_thread(path.read_bytes)
    with pytest.raises(SchemaError, match="another program"):
        await open_store(f"sqlite://{path}")
    assert await asyncio.to_thread(path.read_bytes) == before
    await _refused_leaves_no_lock(path)


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"these are notes, not a database " * 200)
    with pytest.raises(SchemaError, match="damaged"):
        await open_store(f"sqlite://{path}")


def _damage(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    for page in range(len(damaged) // 4096 // 2, len(damaged) // 4096, 3):
        damaged[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(damaged)


async def test_a_damaged_database_is_told_by_check(path: Path) -> None:
    store = await open_store(f"sqlite://{path}")
    await store.append([entry(f"k{number}", data=b"x" * 500) for number in range(2000)])
    await store.close()
    await asyncio.to_thread(_damage, path)
    store = await open_store(f"sqlite://{path}")
    assert any(str(path) in problem for problem in await store.check())
    with pytest.raises(SchemaError, match="damaged"):
        await store.read(-1, 0, 10_000)
    await store.close()


async def test_migrate_is_idempotent(path: Path) -> None:
    with pytest.raises(SchemaError, match="run sportello migrate"):
        await open_store(f"sqlite://{path}", migrate=False)
    assert await migrate_store(f"sqlite://{path}") == [step.name for step in load_migrations(schema.MIGRATIONS)]
    assert await migrate_store(f"sqlite://{path}") == []
    store = await open_store(f"sqlite://{path}", migrate=False)
    assert (await store.view(lambda tx: tx.queues.default())).name == "General"
    await store.close()


def test_a_migration_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name, sql in (
        ("0001_first.sql", (schema.MIGRATIONS / "0001_first.sql").read_text()),
        ("0002_bad.sql", "CREATE TABLE a (b); SELECT no;"),
    ):
        (folder / name).write_text(sql)
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    writer = open_writer(Database(path))
    with pytest.raises(StorageError, match="no such column"):
        schema.apply_migrations(writer, utc_now)
    assert schema.version_of(writer) == 0
    assert writer.rows("SELECT * FROM sqlite_schema") == []
    (folder / "0002_bad.sql").write_text("CREATE TABLE a (b);")
    assert schema.apply_migrations(writer, utc_now) == ["0001_first", "0002_bad"]
    writer.connection.close()


def test_migrations_have_consecutive_numbers(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("A")
    (tmp_path / "0003_c.sql").write_text("C")
    with pytest.raises(SchemaError, match="0002"):
        load_migrations(tmp_path)
    (tmp_path / "0002_b.sql").write_text("B")
    known = load_migrations(tmp_path)
    assert known == [Migration(1, "0001_a", "A"), Migration(2, "0002_b", "B"), Migration(3, "0003_c", "C")]
    assert pending("db", 2, known) == known[2:]
    (tmp_path / "last.sql").write_text("")
    with pytest.raises(SchemaError, match="no migration"):
        load_migrations(tmp_path)


async def test_others_cannot_read_the_files(path: Path) -> None:
    store = await open_store(f"sqlite://{path}")
    await store.append([entry("a")])
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    await store.close()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="folder"):
        await open_store(f"sqlite://{tmp_path}/missing/sportello.db")


@pytest.mark.parametrize("url", ["", "mysql://host/db", "sqlite://relative/path", "sqlite:///", "sqlite:///a?b=c"])
async def test_urls_that_name_no_database(url: str) -> None:
    with pytest.raises(StorageError, match="sqlite:///"):
        await open_store(url)


def test_old_libraries_are_refused() -> None:
    check_sqlite_version()
    check_sqlite_version("3.51.3")
    check_sqlite_version("4.0.0")
    with pytest.raises(SchemaError, match=r"SQLite 3\.51\.2 .* 3\.51\.3 or newer"):
        check_sqlite_version("3.51.2")


def test_the_file_system_of_a_path() -> None:
    mounts = "/dev/sda / ext4 rw 0 0\nproc /proc proc rw 0 0\nnas:/x /srv/shop\\040data nfs4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n\nodd\n"
    assert filesystem_of(Path("/var/lib/sportello.db"), mounts) == "ext4"
    assert filesystem_of(Path("/srv/shop data/a/sportello.db"), mounts) == "nfs4"
    assert filesystem_of(Path("/srv/shop data"), mounts) == "nfs4"
    assert filesystem_of(Path("/srv/shop"), mounts) == "tmpfs"
    assert filesystem_of(Path("/var"), "") == ""
