"""The scanner's protocol, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.address import scanner_address
from gateway.clamd import AT_ONCE, Clamd, NotScanned, ScannerAway
from tests.support.clamd import EICAR, SIGNATURE, VERSION, FakeClamd, fake_clamd


@pytest.fixture(params=["tcp", "unix"])
async def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FakeClamd]:
    async with fake_clamd(tmp_path / "clamd.ctl" if request.param == "unix" else None) as scanner:
        yield scanner


def client(daemon: FakeClamd, seconds: float = 10) -> Clamd:
    return Clamd(scanner_address(daemon.url), seconds=seconds)


def file_of(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_the_whole_file_is_looked_at(daemon: FakeClamd, tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await client(daemon).scan(file_of(tmp_path, data)) == ""
    assert daemon.streams == [data]
    assert await client(daemon).scan(file_of(tmp_path, data + EICAR)) == SIGNATURE


async def test_a_file_that_is_too_large_for_it_is_not_looked_at(daemon: FakeClamd, tmp_path: Path) -> None:
    daemon.limit = 1000
    # The one fits into the sockets' buffers; with the other it hangs up while we are still sending.
    for size in (2000, 8_000_000):
        with pytest.raises((NotScanned, ScannerAway)) as caught:
            await client(daemon).scan(file_of(tmp_path, b"x" * size))
        if size == 2000:
            assert str(caught.value) == "the scanner takes no file of 2000 bytes: raise its StreamMaxLength"
    assert daemon.streams == []


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        (b"INSTREAM: Can't allocate memory ERROR\0", NotScanned, "could not look at it: INSTREAM: Can't allocate memory ERROR"),
        (b"stream: OKAY\0", NotScanned, "could not look at it: OKAY"),
        (b"\0", NotScanned, "could not look at it"),
        (b"stream: OK", ScannerAway, "hung up without an answer"),
        (b"stream: OK" * 2000, NotScanned, "answer has no end"),
    ],
)
async def test_only_a_whole_ok_is_one(daemon: FakeClamd, tmp_path: Path, says: bytes, error: type[Exception], words: str) -> None:
    daemon.says = says
    with pytest.raises(error, match=words):
        await client(daemon).scan(file_of(tmp_path, b"hello"))


async def test_a_name_is_one_short_line(daemon: FakeClamd, tmp_path: Path) -> None:
    daemon.says = b"stream: Bad\x1b[31m\n" + b"x" * 500 + b" FOUND\0"
    found = await client(daemon).scan(file_of(tmp_path, b"hello"))
    assert found.startswith("Bad[31mxxx")
    assert len(found) == 200


async def test_one_that_is_away_or_falls_silent_is_said_to_be(daemon: FakeClamd, tmp_path: Path) -> None:
    path = file_of(tmp_path, b"x" * 2_000_000)
    daemon.silent = True
    with pytest.raises(ScannerAway, match="did not answer in time"):
        await client(daemon, seconds=0.2).scan(path)
    daemon.silent, daemon.drops_after = False, 100_000
    with pytest.raises(ScannerAway, match="hung up"):
        await client(daemon).scan(path)
    await daemon.stop()
    with pytest.raises(ScannerAway, match="cannot be reached"):
        await client(daemon).scan(path)


async def test_a_file_that_is_not_there_is_no_fault_of_the_scanner(daemon: FakeClamd, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await client(daemon).scan(tmp_path / "gone")


async def test_it_tells_its_version(daemon: FakeClamd) -> None:
    assert await client(daemon).version() == VERSION
    assert daemon.commands == ["zVERSION"]


async def test_it_is_not_asked_about_everything_at_once(daemon: FakeClamd, tmp_path: Path) -> None:
    daemon.together = asyncio.Barrier(AT_ONCE)
    scanner, path = client(daemon, seconds=60), file_of(tmp_path, b"hello")
    assert await asyncio.gather(*(scanner.scan(path) for _ in range(3 * AT_ONCE))) == [""] * 3 * AT_ONCE
    assert daemon.most == AT_ONCE
