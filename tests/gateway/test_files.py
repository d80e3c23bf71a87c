"""Bytes are kept whole or not at all, and their type is what they are."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files import FileStore, TooLarge, detect_type


async def chunks(*parts: bytes, fail: bool = False) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if fail:
        raise ConnectionResetError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    whole = await store.save(b"%PDF-1.7 hello")
    streamed = await store.save_stream(chunks(b"%PD", b"F-1.7", b" hello"), 100)
    assert whole == streamed
    assert (whole.mime, whole.size) == ("application/pdf", 14)
    assert names(tmp_path) == [whole.sha256]
    assert await store.read(whole.sha256) == b"%PDF-1.7 hello"


async def test_too_much_and_half_uploads_leave_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    with pytest.raises(TooLarge):
        await store.save_stream(chunks(b"12345", b"6"), 5)
    with pytest.raises(ConnectionResetError):
        await store.save_stream(chunks(b"123", fail=True), 5)
    assert names(tmp_path) == []
    assert (await store.save_stream(chunks(b"12345"), 5)).size == 5


async def test_what_a_crash_left_is_swept_up(tmp_path: Path) -> None:
    FileStore(tmp_path)
    leftover, young = tmp_path / "incoming" / "tmpabc", tmp_path / "incoming" / "tmpdef"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    young.write_bytes(b"being written by another process")
    FileStore(tmp_path)
    assert not leftover.exists()
    assert young.exists()


async def test_what_another_process_left_is_swept_up_within_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    leftover = tmp_path / "incoming" / "tmpabc"
    leftover.write_bytes(b"half")
    await store.save_stream(chunks(b"one"), 100)
    assert leftover.exists()
    later = time.time() + 3600
    monkeypatch.setattr("gateway.files.time", lambda: later)
    await store.save_stream(chunks(b"two"), 100)
    assert not leftover.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 63 + "/", "\0" * 64])
async def test_only_a_hash_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        await FileStore(tmp_path).read(name)


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", "audio/wav"),
        (b"OggS", "audio/ogg"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"ID3\x03", "audio/mpeg"),
        (b"<svg xmlns=", "application/octet-stream"),
        (b"<!DOCTYPE html>", "application/octet-stream"),
        (b"<?xml", "application/octet-stream"),
        (b"hello", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"\x89PNG", "application/octet-stream"),
    ],
)
def test_types_come_from_the_bytes(head: bytes, mime: str) -> None:
    assert detect_type(head) == mime


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which file a descriptor is")
async def test_a_name_appears_only_when_its_bytes_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power may go at any moment: first the bytes are synced, then they get their name, then the folder that holds it is synced."""
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        sync(descriptor)
        steps.append(f"sync {os.path.relpath(Path(f'/proc/self/fd/{descriptor}').readlink(), tmp_path).partition('/')[0]}")

    def named(path: Path, target: Path) -> Path:
        steps.append("name")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    store = FileStore(tmp_path)
    for saved in (await store.save(b"one"), await store.save_stream(chunks(b"two"), 100)):
        folder = saved.sha256[:2]
        assert steps[:3] == ["sync incoming", "name", f"sync {folder}"]
        del steps[: 3 if steps[3:4] != ["sync ."] else 4]
