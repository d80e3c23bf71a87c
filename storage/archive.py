"""The file of a backup: a tar whose last member says what must be in it. Written whole or not at all; read twice, first to check.

Members: a text for people, which is also how we know our own files; the data; files of people as ``media/<sha256>``, which
are proved by their names; and ``manifest.json``, without which the file is not complete.
"""

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec
from msgspec import Struct

from connectors.event import Instant
from storage.errors import StorageError

#: Of the file; a newer one is refused.
FORMAT: Final = 1
FIRST: Final = "SPORTELLO-BACKUP.txt"
MANIFEST: Final = "manifest.json"
MEDIA: Final = "media/"
_MEDIA_NAME: Final = re.compile(r"media/([0-9a-f]{64})")
_PIECE: Final = 1024 * 1024
_MOST_MANIFEST: Final = 64 * 1024 * 1024
#: What the libraries say of a file that ends too soon, or has other bytes in it.
_BAD: Final = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)

#: Called with the number of bytes so far.
Report = Callable[[int], None]


class BackupError(StorageError):
    """The backup cannot be made or used; the message says why and what to do."""


class Member(Struct, frozen=True):
    """One piece of the data."""

    size: int
    #: Hex.
    sha256: str


class Table(Struct, frozen=True, kw_only=True):
    """One table of a PostgreSQL database: ``pieces`` members ``tables/<name>/<number>``, together one binary COPY."""

    name: str
    columns: tuple[str, ...]
    pieces: int


class Facts(Struct, frozen=True, kw_only=True):
    """What a back-end says of the data that it wrote."""

    #: Version of the schema.
    schema: int
    #: Newest event.
    pos: int
    #: Rows per table.
    counts: dict[str, int]
    #: In an order in which they can be filled; none for SQLite.
    tables: tuple[Table, ...] = ()
    #: Hashes of files that lie beside the database.
    files: tuple[str, ...] = ()


class Manifest(Struct, frozen=True, kw_only=True):
    """What the file holds."""

    format: int
    #: Version of the program that wrote it.
    program: str
    #: ``sqlite`` or ``postgres``.
    engine: str
    schema: int
    created_at: Instant
    pos: int
    counts: dict[str, int]
    members: dict[str, Member]
    tables: tuple[Table, ...] = ()
    #: Files of people, and their bytes together.
    files: int = 0
    file_bytes: int = 0
    #: Hashes of files that the database knows and that were not there, or were damaged.
    missing_files: tuple[str, ...] = ()
    #: Is the secret key in it?
    key: bool = False


class ArchiveWriter:
    """Writes under a temporary name beside ``path``; only :meth:`finish` gives it its own. Ends in ``.gz``: compressed."""

    def __init__(self, path: Path, report: Report | None = None) -> None:
        """Raises BackupError if the file exists already, or cannot be made."""
        self.path = path.absolute()
        self.part = self.path.with_name(self.path.name + ".part")
        self.members: dict[str, Member] = {}
        self.files, self.file_bytes = 0, 0
        self._usable = True
        self._report = report or _silent
        if self.path.exists():
            raise BackupError(f"{self.path} exists already: give the backup another name")
        try:
            descriptor = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            raise BackupError(
                f"{self.part} cannot be made ({error.strerror}): check that the folder exists and is ours to write"
            ) from error
        self._raw = os.fdopen(descriptor, "wb")
        self._packed = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=3, filename="") if self.path.suffix == ".gz" else None
        self._tar = tarfile.open(fileobj=self._packed or self._raw, mode="w|")  # noqa: SIM115 - it lives as long as this
        self._put(FIRST, io.BytesIO(_TEXT.encode()), len(_TEXT.encode()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """What was not finished is removed."""
        for part in (self._tar, self._packed, self._raw):
            with suppress(OSError, ValueError):
                if part is not None:
                    part.close()
        self.part.unlink(missing_ok=True)
        self.beside("database").unlink(missing_ok=True)

    @property
    def usable(self) -> bool:
        """Can more be written? Not after a write has failed: the file would have half a member in it."""
        return self._usable

    def beside(self, name: str) -> Path:
        """Where something temporary may lie; ``database`` is removed at the end."""
        return self.path.with_name(f".{self.path.name}.{name}")

    def add(self, name: str, data: bytes) -> None:
        """One member from memory."""
        self.members[name] = self._put(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, source: Path) -> None:
        """One member from a file."""
        with source.open("rb") as file:
            self.members[name] = self._put(name, file, os.fstat(file.fileno()).st_size)

    def add_media(self, sha256: str, source: Path) -> None:
        """A file of people. Raises OSError if it is not there, BackupError (before anything is written) if it is damaged."""
        with source.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise BackupError(f"{source} is damaged")
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            self._put(MEDIA + sha256, file, size)
        self.files += 1
        self.file_bytes += size

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, make everything durable, and give the file its name."""
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        self._put(MANIFEST, io.BytesIO(data), len(data))
        self._guarded(self._close)

    def _close(self) -> None:
        self._tar.close()
        if self._packed is not None:
            self._packed.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        # Not replace: a backup that somebody has made meanwhile stays.
        os.link(self.part, self.path)
        self.part.unlink()
        sync_folder(self.path.parent)

    def _put(self, name: str, source: IO[bytes], size: int) -> Member:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        reader = _Hashing(source, self._report)
        self._usable = False
        self._guarded(lambda: self._tar.addfile(info, reader))
        self._usable = True
        return Member(size, reader.digest.hexdigest())

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except FileExistsError as error:
            raise BackupError(f"{self.path} has come into being meanwhile: give the backup another name") from error
        except OSError as error:
            raise BackupError(f"{self.path} cannot be written ({error.strerror or error}): nothing is left of it") from error


class _Hashing:
    """What is read through it is hashed and counted. ``path``: of the archive that it is read from, if it is."""

    def __init__(self, source: IO[bytes], report: Report, path: Path | None = None) -> None:
        self._source = source
        self._report = report
        self._path = path
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._source.read(size)
        except _BAD as error:
            if self._path is None:
                raise
            raise _cut_off(self._path, error) from error
        self.digest.update(data)
        self.size += len(data)
        self._report(len(data))
        return data


def check_archive(path: Path, report: Report | None = None) -> Manifest:
    """Read all of it and compare it with its manifest. Raises BackupError for what is foreign, newer, cut off or damaged."""
    found: dict[str, Member] = {}
    manifest: Manifest | None = None
    files, file_bytes = 0, 0
    for name, stream in _members(path, report or _silent):
        if manifest is not None:
            raise BackupError(f"{path} goes on after its end: it was changed after it was made")
        if name == MANIFEST:
            manifest = _manifest(path, stream.read(_MOST_MANIFEST))
            continue
        while stream.read(_PIECE):
            pass
        if media := _MEDIA_NAME.fullmatch(name):
            if stream.digest.hexdigest() != media[1]:
                raise _damaged(path, name)
            files, file_bytes = files + 1, file_bytes + stream.size
        else:
            found[name] = Member(stream.size, stream.digest.hexdigest())
    if manifest is None:
        raise BackupError(f"{path} is cut off: its last part is missing; take another copy of this backup, or another backup")
    for name in sorted(found.keys() | manifest.members.keys()):
        if found.get(name) != manifest.members.get(name):
            raise _damaged(path, name)
    if (files, file_bytes) != (manifest.files, manifest.file_bytes):
        raise _damaged(path, MEDIA)
    return manifest


def read_archive(path: Path, manifest: Manifest, report: Report | None = None) -> Iterator[tuple[str, IO[bytes]]]:
    """The members once more, but for the manifest; each is compared again when it has been read to its end (and it must be)."""
    for name, stream in _members(path, report or _silent):
        if name == MANIFEST:
            return
        yield name, stream  # type: ignore[misc]  # of IO[bytes] only "read" is used
        media = _MEDIA_NAME.fullmatch(name)
        wanted = media[1] if media else manifest.members.get(name, Member(0, "")).sha256
        if stream.digest.hexdigest() != wanted:
            raise _damaged(path, name)


def _members(path: Path, report: Report) -> Iterator[tuple[str, _Hashing]]:
    first = True
    try:
        with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as tar:
            for info in tar:
                if not info.isreg() or first != (info.name == FIRST):
                    break
                if not first:
                    source = tar.extractfile(info)
                    assert source is not None
                    yield info.name, _Hashing(source, report, path)
                first = False
    except _BAD as error:
        if not first or not isinstance(error, tarfile.ReadError):
            raise _cut_off(path, error) from error
    except OSError as error:
        raise BackupError(f"{path} cannot be read ({error.strerror or error})") from error
    if first:
        raise BackupError(f"{path} is no backup of Sportello")


def _manifest(path: Path, data: bytes) -> Manifest:
    try:
        number = msgspec.json.decode(data, type=_OnlyFormat).format
        if number > FORMAT:
            raise BackupError(f"{path} was made by a newer Sportello (format {number}, this one reads {FORMAT}): install that one first")
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"{path} has a manifest that cannot be read ({error}): take another backup") from error


class _OnlyFormat(Struct):
    format: int


def _cut_off(path: Path, error: Exception) -> BackupError:
    return BackupError(f"{path} is cut off or damaged ({error}): take another copy of it, or another backup")


def _damaged(path: Path, name: str) -> BackupError:
    return BackupError(f"{path} is damaged: {name} is not what its manifest says; take another copy of this backup, or another backup")


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _silent(number: int) -> None:
    del number


_TEXT: Final = """This is a backup of Sportello. Bring it back by:

  sportello restore <this file>

It holds what customers wrote, and the hashes of passwords: keep it as you keep the database itself.
The secret key is in it only if it was made with --with-key; manifest.json says so.

A restored database sends nothing until you say: sportello outbox release. What it believes to be waiting may have been sent
after the backup was made. The database in here is marked so already.
"""
