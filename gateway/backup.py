"""Backup and restore of an installation: its database, the files of people, and, if asked for, the secret key."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from gateway.admin import BackUp
from gateway.files import FileStore
from gateway.keys import FILE as KEY_FILE
from gateway.services import Services
from gateway.wiring import database_url
from storage import utc_now
from storage.archive import FORMAT, MEDIA, ArchiveWriter, BackupError, Facts, Manifest, Report, check_archive, sync_folder
from storage.backup import dump, engine_of, load, sqlite_path
from storage.protocol import Store

_MOST_KEY: Final = 4096
#: The folder of files, within the data folder.
_MEDIA_FOLDER: Final = "media"


class Wish(Struct, frozen=True, kw_only=True):
    """What is to be backed up, and to where."""

    url: str
    data_dir: Path
    target: Path
    with_key: bool = False


async def back_up(
    wish: Wish, *, store: Store | None = None, clock: Callable[[], datetime] = utc_now, report: Report | None = None
) -> Manifest:
    """Write the file ``wish.target``, whole or not at all. Raises BackupError, storage errors.

    ``store`` is the open database, where only we can have it open.
    """
    created_at = clock()
    out = await asyncio.to_thread(ArchiveWriter, wish.target, report)
    with out:
        facts = await dump(wish.url, out, created_at=created_at, with_key=wish.with_key, store=store)
        missing = await asyncio.to_thread(_add_media, out, wish.data_dir / _MEDIA_FOLDER, facts.files)
        key = wish.with_key and (engine_of(wish.url) != "sqlite" or await asyncio.to_thread(_add_key, out, wish.data_dir / KEY_FILE))
        manifest = _manifest(wish, out, facts, created_at, missing, key=key)
        await asyncio.to_thread(out.finish, manifest)
    return manifest


def _manifest(wish: Wish, out: ArchiveWriter, facts: Facts, created_at: datetime, missing: Sequence[str], *, key: bool) -> Manifest:
    return Manifest(
        format=FORMAT,
        program=version("sportello"),
        engine=engine_of(wish.url),
        schema=facts.schema,
        created_at=created_at,
        pos=facts.pos,
        counts=facts.counts,
        members=out.members,
        tables=facts.tables,
        files=out.files,
        file_bytes=out.file_bytes,
        missing_files=tuple(missing),
        key=key,
    )


def _add_media(out: ArchiveWriter, folder: Path, hashes: Sequence[str]) -> list[str]:
    """Returns those that are not there, or are damaged: a backup without them is better than none, and says so."""
    missing = []
    for sha256 in hashes:
        try:
            out.add_media(sha256, folder / sha256[:2] / sha256)
        except (FileNotFoundError, BackupError):
            if not out.usable:
                raise
            missing.append(sha256)
    return missing


def _add_key(out: ArchiveWriter, path: Path) -> bool:
    if not path.exists():
        return False
    out.add_file(KEY_FILE, path)
    return True


def backing_up(services: Services) -> BackUp:
    """The running gateway's own way to do it."""

    async def run(target: Path, with_key: bool) -> Manifest:  # noqa: FBT001 - see the type
        wish = Wish(url=database_url(services.config), data_dir=services.data_dir, target=target, with_key=with_key)
        return await back_up(wish, store=services.store, clock=services.clock)

    return run


class Restored(Struct, frozen=True, kw_only=True):
    """What a restore has done."""

    manifest: Manifest
    #: For people, one line each.
    notes: list[str]


async def restore(
    archive: Path, url: str, data_dir: Path, *, force: bool = False, clock: Callable[[], datetime] = utc_now, report: Report | None = None
) -> Restored:
    """Bring back what ``archive`` holds, sending held; ``data_dir`` is for the files of people. Raises BackupError, storage errors.

    Everything is read and compared before anything is changed.
    """
    manifest = await asyncio.to_thread(check_archive, archive, report)
    await asyncio.to_thread(data_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    others = _Others(data_dir, force=force)
    notes = await load(url, archive, manifest, other=others.take, force=force, clock=clock)
    if manifest.missing_files:
        notes.append(
            f"{len(manifest.missing_files)} files of people were missing already when the backup was made; its manifest names them."
        )
    if not manifest.key and not (data_dir / KEY_FILE).exists():
        notes.append("The secret key was not in the backup: unless you configure the old one, visitors begin new chats.")
    return Restored(manifest=manifest, notes=[*notes, *others.notes])


def home_of(url: str, data_dir: Path, *, elsewhere: bool) -> Path:
    """Where the files of people belong: beside a SQLite database that is restored to ``elsewhere``, else into the data folder."""
    return sqlite_path(url).parent if elsewhere and engine_of(url) == "sqlite" else data_dir


class _Others:
    """Takes what is not the database's."""

    def __init__(self, data_dir: Path, *, force: bool) -> None:
        self._data_dir = data_dir
        self._files = FileStore(data_dir / _MEDIA_FOLDER)
        self._force = force
        self.notes: list[str] = []

    def take(self, name: str, stream: IO[bytes]) -> None:
        """One member; read to its end."""
        if name.startswith(MEDIA):
            self._publish(self._files.path(name.removeprefix(MEDIA)), stream)
        elif name == KEY_FILE:
            self._take_key(stream.read(_MOST_KEY))
        else:
            raise BackupError(f"the backup has a part {name!r} that this Sportello does not know: install a newer one")

    def _take_key(self, key: bytes) -> None:
        path = self._data_dir / KEY_FILE
        if path.exists() and path.read_bytes() != key:
            if not self._force:
                self.notes.append(f"{path} is another key than the backup's, and was left as it is.")
                return
            kept = path.with_name(path.name + ".before-restore")
            path.replace(kept)
            self.notes.append(f"The key that was there is kept as {kept}.")
        temporary = path.with_name(path.name + ".restoring")
        _write(temporary, lambda file: file.write(key))
        temporary.replace(path)
        sync_folder(path.parent)

    def _publish(self, target: Path, stream: IO[bytes]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + ".restoring")
        _write(temporary, lambda file: shutil.copyfileobj(stream, file, 1024 * 1024))
        temporary.replace(target)
        sync_folder(target.parent)


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())
