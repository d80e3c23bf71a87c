"""Bytes of files, by their content: ``<data_dir>/media/ab/abcdef…``. What is written is complete and durable before its name exists.

Nothing here decodes, unpacks or runs a file. What a browser may show is a picture that ``gateway.studio`` made anew; it lies beside the
file (``ab/abcdef….shown``), on each node, and is made again where it is missing. What cannot be made anew is a file to be downloaded.

Where several nodes share a database, it keeps the files (``storage.protocol.Vault``), and the folder is this node's copy of some.
"""

import asyncio
import hashlib
import mmap
import os
import tempfile
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.pictures import MAX_FRAMES, MAX_PIXELS, Bytes, frames, pixels, without_metadata
from gateway.studio import Studio, StudioClosed
from storage.protocol import Vault

#: Media types that a browser may show in the page; all others are downloads.
INLINE_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: With the pause between two sweeps: within the hour.
_ABANDONED_SECONDS: Final = 2700
_SWEEP_SECONDS: Final = 600
_LOOK_SECONDS: Final = 60.0
_ORPHANS_SECONDS: Final = 86_400
_SHOWN: Final = ".shown"
UNKNOWN_TYPE: Final = "application/octet-stream"

#: (offset, bytes) pairs that must all match -> media type. SVG and HTML are missing on purpose: they can carry scripts.
_SIGNATURES: Final[tuple[tuple[tuple[tuple[int, bytes], ...], str], ...]] = (
    (((0, b"\x89PNG\r\n\x1a\n"),), "image/png"),
    (((0, b"\xff\xd8\xff"),), "image/jpeg"),
    (((0, b"GIF87a"),), "image/gif"),
    (((0, b"GIF89a"),), "image/gif"),
    (((0, b"RIFF"), (8, b"WEBP")), "image/webp"),
    (((0, b"RIFF"), (8, b"WAVE")), "audio/wav"),
    (((0, b"OggS"),), "audio/ogg"),
    (((0, b"ID3"),), "audio/mpeg"),
    (((0, b"\xff\xfb"),), "audio/mpeg"),
    (((0, b"\xff\xf3"),), "audio/mpeg"),
    (((0, b"#!AMR"),), "audio/amr"),
    (((0, b"fLaC"),), "audio/flac"),
    (((4, b"ftypM4A"),), "audio/mp4"),
    (((4, b"ftypqt"),), "video/quicktime"),
    (((4, b"ftyp"),), "video/mp4"),
    (((0, b"\x1aE\xdf\xa3"),), "video/webm"),
    (((0, b"%PDF-"),), "application/pdf"),
    (((0, b"PK\x03\x04"),), "application/zip"),
    (((0, b"\x1f\x8b\x08"),), "application/gzip"),
)


class TooLarge(Exception):
    """The file is larger than allowed; nothing was kept."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the file is larger than {limit} bytes")
        self.limit = limit


class Saved(Struct, frozen=True, kw_only=True):
    """A file that is durably here."""

    #: Hex; the same content always has the same one.
    sha256: str
    #: By signature, never by claim; a picture that does not decode, or not within the limits, has none.
    mime: str
    size: int


def detect_type(head: bytes) -> str:
    """Media type by the first bytes (16 suffice); ``application/octet-stream`` if unknown, and for SVG, HTML and all text."""
    for marks, mime in _SIGNATURES:
        if all(head[offset : offset + len(mark)] == mark for offset, mark in marks):
            return mime
    return UNKNOWN_TYPE


class FileStore:
    """Files under one folder; :meth:`close` it. Who may see a file is the database's business, not this one's."""

    def __init__(self, folder: Path, vault: Vault | None = None, studio: Studio | None = None) -> None:
        self._folder = folder
        self._vault = vault
        #: Makes pictures anew.
        self.studio = studio or Studio()
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._swept = self._orphans_swept = 0.0
        self._sweep()

    async def close(self) -> None:
        """End what makes pictures."""
        await self.studio.close()

    async def keep_tidy(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(_LOOK_SECONDS)

    async def sweep(self) -> None:
        """Remove, every ten minutes at most, what a crash left, and daily pictures whose originals are gone."""
        if time() - self._swept > _SWEEP_SECONDS:
            await asyncio.to_thread(self._sweep)
        if time() - self._orphans_swept > _ORPHANS_SECONDS:
            self._orphans_swept = time()
            await asyncio.to_thread(self._sweep_orphans)

    def _sweep(self) -> None:
        """Remove what a crash left half-written: it has no name that anybody knows. Another process may be writing what is young."""
        self._swept = time()
        for leftover in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if leftover.stat().st_mtime < time() - _ABANDONED_SECONDS:
                    leftover.unlink()

    def _sweep_orphans(self) -> None:
        for shown in self._folder.glob(f"??/*{_SHOWN}"):
            if not shown.with_suffix("").exists():
                shown.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the bytes with this hash lie. Raises ValueError for what is no hash."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError("not a SHA-256 in lower-case hex")
        return self._folder / sha256[:2] / sha256

    async def locate(self, sha256: str) -> Path:
        """A path at which the bytes lie here, fetched from the vault if need be. Raises FileNotFoundError, StorageError."""
        path = self.path(sha256)
        if not await asyncio.to_thread(path.exists):
            if self._vault is None:
                raise FileNotFoundError(path)
            await self._fetch(self._vault, sha256)
        return path

    async def save(self, data: bytes) -> Saved:
        """Keep ``data``; returns when it is durable."""
        saved = await asyncio.to_thread(self._save_bytes, data)
        await self._to_vault(saved.sha256)
        return await self._judged(saved)

    async def shown(self, sha256: str, mime: str) -> Path | None:
        """Where the picture that was made anew lies, of the same type; None for what is no picture that a browser may show.

        Raises FileNotFoundError, StorageError, StudioClosed.
        """
        if mime not in INLINE_TYPES:
            return None
        original = await self.locate(sha256)
        target = original.with_name(sha256 + _SHOWN)
        size = await asyncio.to_thread(_size, target)
        if size < 0:
            # What cannot be made is not tried again: it is an empty file.
            made = await self.studio.make(original, mime) or b""
            size = len(made)
            await asyncio.to_thread(self._write, made, target)
        return target if size else None

    async def _judged(self, saved: Saved) -> Saved:
        try:
            if saved.mime in INLINE_TYPES and await self.shown(saved.sha256, saved.mime) is None:
                return replace(saved, mime=UNKNOWN_TYPE)
        except StudioClosed:
            # It is tried again when somebody wants to see it.
            pass
        return saved

    async def save_stream(self, chunks: AsyncIterable[bytes], max_bytes: int) -> Saved:
        """Keep what ``chunks`` give, a photo without where and with what it was taken.

        Other files are never held in memory. Raises TooLarge, or what ``chunks`` raises; then nothing is kept.
        """
        await self.sweep()
        handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=self._incoming)
        temporary = Path(name)
        try:
            digest, size, head = hashlib.sha256(), 0, b""
            with os.fdopen(handle, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > max_bytes:
                        raise TooLarge(max_bytes)
                    head += chunk[: max(0, 16 - len(head))]
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(_flush, file.fileno(), file.flush)
            mime, cleaned = await asyncio.to_thread(_looked_at, temporary, detect_type(head))
            if cleaned is not None:
                return await self.save(cleaned)
            await asyncio.to_thread(self._publish, temporary, self.path(digest.hexdigest()))
        finally:
            await asyncio.to_thread(temporary.unlink, missing_ok=True)
        await self._to_vault(digest.hexdigest())
        return await self._judged(Saved(sha256=digest.hexdigest(), mime=mime, size=size))

    async def read(self, sha256: str) -> bytes:
        """The bytes. Raises FileNotFoundError, StorageError."""
        path = await self.locate(sha256)
        return await asyncio.to_thread(path.read_bytes)

    async def _to_vault(self, sha256: str) -> None:
        if self._vault is not None:
            await self._vault.put(sha256, self.path(sha256))

    async def _fetch(self, vault: Vault, sha256: str) -> None:
        handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=self._incoming)
        os.close(handle)
        temporary = Path(name)
        try:
            if not await vault.fetch(sha256, temporary):
                raise FileNotFoundError(sha256)
            await asyncio.to_thread(self._publish, temporary, self.path(sha256))
        finally:
            await asyncio.to_thread(temporary.unlink, missing_ok=True)

    def _save_bytes(self, data: bytes) -> Saved:
        sha256 = hashlib.sha256(data).hexdigest()
        self._write(data, self.path(sha256))
        return Saved(sha256=sha256, mime=_shown_type(data, detect_type(data[:16])), size=len(data))

    def _write(self, data: bytes, target: Path) -> None:
        handle, name = tempfile.mkstemp(dir=self._incoming)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                _flush(file.fileno(), file.flush)
            self._publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def _publish(self, temporary: Path, target: Path) -> None:
        fresh_folder = not target.parent.exists()
        target.parent.mkdir(exist_ok=True)
        temporary.replace(target)
        _sync_folder(target.parent)
        if fresh_folder:
            _sync_folder(self._folder)


def _shown_type(data: Bytes, mime: str) -> str:
    return mime if pixels(data, mime) <= MAX_PIXELS and frames(data, mime) <= MAX_FRAMES else UNKNOWN_TYPE


def _looked_at(path: Path, mime: str) -> tuple[str, bytes | None]:
    """The type that it is kept with, and the same picture without its metadata if it has any."""
    if mime not in INLINE_TYPES:
        return mime, None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _shown_type(data, mime), without_metadata(data, mime)


def _size(path: Path) -> int:
    """-1 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _flush(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
