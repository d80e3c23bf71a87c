"""What is no good backup is refused before anything is changed, in words that say why."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from storage import open_store, utc_now
from storage.archive import FIRST, MANIFEST, ArchiveWriter, BackupError, Manifest, check_archive
from storage.errors import SchemaError, StorageError, Unavailable
from storage.held import SENDING_HELD
from storage.sqlite.connection import APPLICATION_ID
from storage.sqlite.schema import MIGRATIONS
from tests.support.rows import entry
from tests.support.shop import Shop


@pytest.fixture
async def shop(tmp_path: Path) -> Shop:
    """A SQLite installation with some events, not running."""
    made = Shop(tmp_path / "shop", f"sqlite://{tmp_path}/shop/sportello.db")
    made.data_dir.mkdir()
    store = await open_store(made.url)
    await store.append([entry(f"k{number}", data=b"x" * 500) for number in range(200)])
    await store.close()
    return made


@pytest.fixture
async def archive(shop: Shop, tmp_path: Path) -> Path:
    await shop.back_up(tmp_path / "good.backup")
    return tmp_path / "good.backup"


@pytest.fixture
def target(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "target", f"sqlite://{tmp_path}/target/sportello.db")


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes | bytearray) -> None:
    path.write_bytes(data)


def repack(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """The same tar with other contents; None leaves a member out."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            data = change(info.name, file.read())
            if data is not None:
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))


def manifest_with(**changes: object) -> Callable[[str, bytes], bytes]:
    def change(name: str, data: bytes) -> bytes:
        if name != MANIFEST:
            return data
        return msgspec.json.encode({**msgspec.json.decode(data), **changes})

    return change


async def refused(target: Shop, archive: Path, words: str) -> None:
    with pytest.raises(BackupError, match=words):
        await target.restore(archive)
    assert not (target.data_dir / "sportello.db").exists()


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.7, 0.99])
async def test_a_file_that_is_cut_off(archive: Path, target: Shop, part: float) -> None:
    data = read(archive)
    # The last blocks of a tar are empty: without them nothing is missing.
    write(archive, data[: int(len(data.rstrip(b"\0")) * part)])
    await refused(target, archive, "cut off|no backup of Sportello|is damaged")


async def test_a_compressed_file_that_is_cut_off_or_damaged(shop: Shop, target: Shop, tmp_path: Path) -> None:
    packed = tmp_path / "a.gz"
    await shop.back_up(packed)
    data = read(packed)
    write(packed, data[: len(data) // 2])
    await refused(target, packed, "cut off")
    middle = len(data) // 2
    write(packed, data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    await refused(target, packed, "damaged|cut off")


async def test_a_byte_that_is_another(archive: Path, target: Shop) -> None:
    data = bytearray(read(archive))
    data[len(data) // 2] ^= 1
    write(archive, data)
    with pytest.raises(BackupError, match="is damaged"):
        check_archive(archive)  # by itself: before anything is changed
    await refused(target, archive, r"is damaged: database\.db is not what its manifest says")


async def test_a_part_that_is_missing_or_too_many(archive: Path, target: Shop, tmp_path: Path) -> None:
    repack(archive, tmp_path / "less", lambda name, data: None if name == "database.db" else data)
    await refused(target, tmp_path / "less", r"is damaged: database\.db")
    repack(archive, tmp_path / "lost-file", manifest_with(files=1))
    await refused(target, tmp_path / "lost-file", "is damaged: media/")
    with tarfile.open(archive, "a") as more:
        info = tarfile.TarInfo("later")
        more.addfile(info, io.BytesIO())
    await refused(target, archive, "goes on after its end")


async def test_files_of_others(target: Shop, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"these are notes" * 1000)
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(tmp_path / "notes")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("notes", "photos.tar", "empty"):
        await refused(target, tmp_path / name, "no backup of Sportello")
    await refused(target, tmp_path / "nowhere", "cannot be read")


async def test_backups_of_newer_programs(archive: Path, target: Shop, tmp_path: Path) -> None:
    repack(archive, tmp_path / "format", manifest_with(format=99))
    await refused(target, tmp_path / "format", "made by a newer Sportello .format 99, this one reads 1")
    repack(archive, tmp_path / "schema", manifest_with(schema=99, program="9.9"))
    await refused(target, tmp_path / "schema", "Sportello 9.9 with schema version 99, and this one knows versions up to")
    repack(archive, tmp_path / "engine", manifest_with(engine="postgres"))
    await refused(target, tmp_path / "engine", "backup of a postgres database: it cannot be restored into sqlite")
    repack(archive, tmp_path / "odd", manifest_with(pos="many"))
    await refused(target, tmp_path / "odd", "manifest that cannot be read")


async def test_a_manifest_cannot_write_outside(archive: Path, target: Shop, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    with tarfile.open(archive) as old, tarfile.open(evil, "w") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            new.addfile(info, file)
            if info.name == FIRST:
                link = tarfile.TarInfo("media/link")
                link.type, link.linkname = tarfile.SYMTYPE, "/etc"
                new.addfile(link)
    await refused(target, evil, "cut off")


async def test_an_older_backup_is_brought_up_to_date_and_held(tmp_path: Path, target: Shop) -> None:
    old = Shop(tmp_path / "old", f"sqlite://{tmp_path}/old/sportello.db")
    old.data_dir.mkdir()
    raw = apsw.Connection(str(old.data_dir / "sportello.db"))
    raw.execute((MIGRATIONS / "0001_first.sql").read_text()).fetchall()
    raw.execute(
        "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
    ).fetchall()
    raw.execute("INSERT INTO schema_version VALUES (1, '0001_first', 0)").fetchall()
    raw.execute(f"PRAGMA application_id = {APPLICATION_ID}").fetchall()
    raw.execute("INSERT INTO queue VALUES ('que_1', 'Old name', 0, 1)").fetchall()
    raw.close()
    manifest = await old.back_up(tmp_path / "old.backup")
    assert manifest.schema == 1
    await target.restore(tmp_path / "old.backup")
    store = await open_store(target.url, migrate=False)
    assert (await store.view(lambda tx: tx.queues.default())).name == "Old name"
    assert (await store.view(lambda tx: tx.settings.get(SENDING_HELD))).startswith("restored from")
    await store.close()


async def test_a_restore_beside_a_running_gateway_is_refused(archive: Path, shop: Shop) -> None:
    store = await open_store(shop.url)
    with pytest.raises(Unavailable, match=f"in use by process {os.getpid()}"):
        await shop.restore(archive, force=True)
    assert await store.check() == []
    await store.close()


async def test_a_database_of_another_program_is_not_replaced_even_by_force(archive: Path, target: Shop) -> None:
    target.data_dir.mkdir()
    raw = apsw.Connection(str(target.data_dir / "sportello.db"))
    raw.execute("CREATE TABLE users (id)").fetchall()
    raw.close()
    with pytest.raises(SchemaError, match="another program"):
        await target.restore(archive, force=True)


async def test_a_log_of_what_was_there_before_is_not_read_into_the_new_database(archive: Path, shop: Shop, target: Shop) -> None:
    """Whoever was killed leaves a log; it belongs to the old file."""
    store = await open_store(shop.url)
    await store.append([entry(f"later{number}") for number in range(50)])
    target.data_dir.mkdir()
    for path in shop.data_dir.glob("sportello.db*"):
        (target.data_dir / path.name).write_bytes(path.read_bytes())
    await store.close()
    done = await target.restore(archive, force=True)
    (kept,) = target.data_dir.glob("sportello.db.before-restore-*")
    assert str(kept) in done.notes[0]
    assert len((await target.rows())["event"]) == 200
    old = apsw.Connection(str(kept))
    assert old.execute("SELECT count(*) FROM event").fetchall() == [(250,)]
    old.close()


async def test_nothing_is_left_of_a_backup_that_failed(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    damaged = bytearray((shop.data_dir / "sportello.db").read_bytes())
    for page in range(10, len(damaged) // 4096, 3):
        damaged[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    (shop.data_dir / "sportello.db").write_bytes(damaged)
    with pytest.raises(StorageError, match="is damaged"):
        await shop.back_up(folder / "a.backup")
    assert list(folder.iterdir()) == []
    with pytest.raises(BackupError, match="check that the folder exists"):
        await shop.back_up(tmp_path / "nowhere" / "a.backup")


def test_a_backup_that_came_into_being_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    manifest = Manifest(format=1, program="0", engine="sqlite", schema=1, created_at=utc_now(), pos=0, counts={}, members={})
    with ArchiveWriter(path) as out:
        out.add("a", b"x")
        path.write_bytes(b"another")
        with pytest.raises(BackupError, match="has come into being meanwhile"):
            out.finish(replace(manifest, members=out.members))
    assert path.read_bytes() == b"another"
    assert [one.name for one in tmp_path.iterdir()] == ["a.backup"]


def test_a_whole_file_is_found_whole(tmp_path: Path) -> None:
    manifest = Manifest(format=1, program="0", engine="sqlite", schema=1, created_at=utc_now(), pos=0, counts={}, members={})
    with ArchiveWriter(tmp_path / "a") as out:
        out.add("a", b"x" * 100_000)
        out.finish(replace(manifest, members=out.members))
    assert check_archive(tmp_path / "a").members == out.members
