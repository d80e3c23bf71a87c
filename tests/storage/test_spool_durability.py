"""What "taken" is worth while the database is away: this node's disk has it, in order, whatever happens to the process or the file."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from storage import utc_now
from storage.errors import SchemaError, StorageError, Unavailable
from storage.record import Entry, Spooled
from storage.spool import Spool, open_spool
from storage.spool_file import look, set_aside
from storage.spool_thread import Limits
from tests.support.faulty_disk import FaultyDisk
from tests.support.rows import NOW, entry
from tests.support.waiting import eventually

LIMITS = Limits(64 * 1024 * 1024)

_WRITER = """
import asyncio, sys
from pathlib import Path
from storage import utc_now
from storage.spool import open_spool
from storage.spool_thread import Limits
from tests.support.rows import entry

async def main(path, first):
    spool = await open_spool(Path(path), Limits(1 << 30), clock=utc_now)
    async def caller(name):
        number = 0
        while True:
            key = f"{first}-{name}-{number}"
            [place] = await spool.put([entry(key, channel=f"c{name}", raw=b"x" * 2000)])
            sys.stdout.write(f"{key} {place.seq}\\n"); sys.stdout.flush()
            number += 1
    await asyncio.gather(*(caller(name) for name in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.fixture
def spool_path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@asynccontextmanager
async def spool_at(path: Path, limits: Limits = LIMITS, **options: object) -> AsyncIterator[Spool]:
    spool = await open_spool(path, limits, clock=utc_now, **options)  # type: ignore[arg-type]
    try:
        yield spool
    finally:
        await spool.close()


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def flip(path: Path) -> None:
    """One byte of the first event becomes another."""
    data = read(path)
    at = data.index(b"x" * 1500) + 700
    write(path, data[:at] + b"y" + data[at + 1 :])


def run(path: Path, sql: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql)


async def everything(spool: Spool) -> list[Entry]:
    found: list[Entry] = []
    while taken := await spool.take(100):
        found += [one.entry for one in taken if one.entry is not None]
        spool.done(taken)
    return found


async def test_everything_of_an_event_comes_back(spool_path: Path) -> None:
    whole = entry(
        "a\0b",
        raw=b"\x00\xff",
        data="{\u20ac}".encode(),
        partition=15,
        conversation="cnv_1",
        queues=("q1", "q2"),
        agent="agt",
        identity="x:y",
    )
    async with spool_at(spool_path) as spool:
        assert await spool.put([whole, entry("b", channel="sms")]) == [Spooled(1), Spooled(2)]
        assert (spool.waiting, spool.oldest) == ({"tg": 1, "sms": 1}, NOW)
    async with spool_at(spool_path) as spool:
        assert spool.opened.waiting == {"tg": 1, "sms": 1}
        assert spool.holds(["sms"])
        assert not spool.holds(["other"])
        assert await everything(spool) == [whole, entry("b", channel="sms")]
        await spool.sweep()
        assert (spool.waiting, spool.oldest) == ({}, None)
        assert await spool.put([entry("c")]) == [Spooled(3)]


async def test_what_no_store_would_take_is_refused_at_once(spool_path: Path) -> None:
    async with spool_at(spool_path) as spool:
        for bad in (entry("k", identity="\ud800"), entry("k", at=NOW.replace(tzinfo=None)), entry("")):
            with pytest.raises(StorageError):
                await spool.put([entry("good"), bad])
        assert not spool.waiting
        assert await everything(spool) == []


async def test_nobody_hears_of_success_before_the_disk_has_it(spool_path: Path, disk: FaultyDisk) -> None:
    async with spool_at(spool_path, vfs=disk.name) as spool:
        disk.sync_begun.clear()
        disk.may_sync.clear()
        put = asyncio.create_task(spool.put([entry("a")]))
        assert await asyncio.to_thread(disk.sync_begun.wait, 30)
        await asyncio.sleep(0)
        assert not put.done()
        assert spool.holds(["tg"])  # whatever comes now has to queue behind it
        disk.may_sync.set()
        assert await put == [Spooled(1)]


async def test_callers_share_a_commit(spool_path: Path, disk: FaultyDisk) -> None:
    async with spool_at(spool_path, vfs=disk.name) as spool:
        before = disk.syncs["-wal"]
        await asyncio.gather(*(spool.put([entry(f"k{number}")]) for number in range(400)))
        assert 2 <= disk.syncs["-wal"] - before <= 40


async def test_a_caller_who_goes_away_is_counted_all_the_same(spool_path: Path, disk: FaultyDisk) -> None:
    async with spool_at(spool_path, vfs=disk.name) as spool:
        disk.sync_begun.clear()
        disk.may_sync.clear()
        puts = [asyncio.create_task(spool.put([entry(f"k{number}")])) for number in range(3)]
        assert await asyncio.to_thread(disk.sync_begun.wait, 30)
        puts[1].cancel()
        disk.may_sync.set()
        await asyncio.gather(*puts, return_exceptions=True)
        assert (spool.waiting["tg"], len(await everything(spool))) == (3, 3)
        assert not spool.holds(["tg"])


async def test_a_full_spool_refuses_and_takes_again_when_it_is_drained(spool_path: Path) -> None:
    async with spool_at(spool_path, Limits(1024 * 1024)) as spool:
        taken = 0
        while not spool.full:
            await spool.put([entry(f"k{taken}", raw=b"x" * 20_000)])
            taken += 1
        with pytest.raises(Unavailable, match="is full"):
            await spool.put([entry("too large", raw=b"x" * 80_000)])
        assert 40 <= taken <= 52
        assert (spool.full, spool.level > 0.9) == (True, True)
        assert spool.waiting["tg"] == taken
        assert len(await everything(spool)) == taken
        await spool.sweep()
        assert spool.level < 0.5
        await spool.put([entry("again", raw=b"x" * 20_000)])


async def test_it_leaves_the_disk_what_it_was_told_to_leave(spool_path: Path) -> None:
    async with spool_at(spool_path, Limits(1 << 40, min_free_percent=100)) as spool:
        assert (spool.full, spool.level) == (True, 1.0)
        with pytest.raises(Unavailable, match="100 % of the disk"):
            await spool.put([entry("a")])


async def test_a_full_disk_refuses_and_recovers(spool_path: Path, disk: FaultyDisk) -> None:
    async with spool_at(spool_path, vfs=disk.name) as spool:
        await spool.put([entry("before")])
        disk.full = True
        outcomes = await asyncio.gather(*(spool.put([entry(f"k{number}")]) for number in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
        disk.full = False
        await spool.put([entry("after")])
        assert [one.key for one in await everything(spool)] == ["before", "after"]


async def test_a_failed_sync_ends_it(spool_path: Path, disk: FaultyDisk) -> None:
    told: list[BaseException] = []
    async with spool_at(spool_path, vfs=disk.name, on_fatal=told.append) as spool:
        await spool.put([entry("before")])
        disk.sync_fails = True
        with pytest.raises(Unavailable, match="the process must end"):
            await spool.put([entry("lost")])
        disk.sync_fails = False  # too late
        with pytest.raises(Unavailable, match="the process must end"):
            await spool.put([entry("later")])
        assert (len(told), spool.full) == (1, True)
    async with spool_at(spool_path) as spool:
        assert "before" in [one.key for one in await everything(spool)]


async def test_a_second_process_is_refused(spool_path: Path) -> None:
    async with spool_at(spool_path):
        with pytest.raises(Unavailable, match=f"in use by process {os.getpid()}"):
            await open_spool(spool_path, LIMITS, clock=utc_now)


async def test_the_disk_gets_back_what_is_no_longer_needed(spool_path: Path) -> None:
    async with spool_at(spool_path) as spool:
        await spool.put([entry(f"k{number}", raw=b"x" * 60_000) for number in range(300)])
        assert spool.used > 18_000_000
        await everything(spool)
        await spool.sweep()

        async def size() -> int:
            return len(read(spool_path))

        await eventually(size, lambda found: found < 3_000_000)


async def test_a_refused_one_waits_for_the_next_start(spool_path: Path) -> None:
    async with spool_at(spool_path) as spool:
        await spool.put([entry("a"), entry("b"), entry("c")])
        first, second, third = await spool.take(10)
        spool.done([first])
        await spool.refuse(second, "too strange")
        spool.done([third])
        await spool.sweep()
        assert (spool.refused, spool.waiting) == (1, {})
        seen = look(spool_path)
        assert (seen.waiting, seen.refused, seen.why) == (0, 1, "too strange")
    async with spool_at(spool_path) as spool:
        assert [one.key for one in await everything(spool)] == ["b"]


async def test_what_is_done_and_not_swept_comes_again(spool_path: Path) -> None:
    async with spool_at(spool_path) as spool:
        await spool.put([entry("a"), entry("b")])
        spool.done((await spool.take(10))[:1])
        assert [one.entry.key for one in await spool.take(10) if one.entry] == ["b"]
    async with spool_at(spool_path) as spool:
        assert [one.key for one in await everything(spool)] == ["a", "b"]


@pytest.mark.crash
async def test_what_was_taken_survives_kill_9(spool_path: Path) -> None:
    taken: dict[str, int] = {}
    for turn in range(6):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(spool_path), str(turn), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
        )
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(30 + 40 * turn)]
        process.kill()
        lines += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
        for line in lines:
            if line.endswith(b"\n"):
                key, seq = line.split()
                taken[key.decode()] = int(seq)
    assert len(taken) > 6 * 30
    async with spool_at(spool_path) as spool:
        assert spool.opened.damage == ""
        kept: dict[str, int] = {}
        while found := await spool.take(200):
            kept |= {one.entry.key: one.seq for one in found if one.entry is not None}
            spool.done(found)
    assert {key: kept.get(key) for key in taken} == taken
    for turn in range(6):
        for name in range(8):
            numbers = [int(key.rsplit("-", 1)[1]) for key in kept if key.startswith(f"{turn}-{name}-")]
            assert numbers == list(range(len(numbers)))


# --- files that are not as they were left ------------------------------------------------------------------------------------


async def filled(path: Path, count: int = 300) -> None:
    async with spool_at(path) as spool:
        await spool.put([entry(f"k{number}", raw=b"x" * 1500) for number in range(count)])


async def test_a_file_that_is_no_database_is_set_aside(spool_path: Path) -> None:
    await filled(spool_path)
    write(spool_path, b"rubbish" * 4000)
    async with spool_at(spool_path) as spool:
        assert "damaged" in spool.opened.damage
        assert spool.opened.aside is not None
        assert spool.opened.aside.read_bytes() == b"rubbish" * 4000
        assert spool.set_aside() == [spool.opened.aside]
        await spool.put([entry("new")])
    async with spool_at(spool_path) as spool:
        # The file is sound, and the warning stays until somebody has removed what was set aside.
        assert (spool.opened.damage, len(spool.set_aside())) == ("", 1)
        assert [one.key for one in await everything(spool)] == ["new"]


@pytest.mark.parametrize("page", [10, 60, 150])
async def test_what_can_be_read_of_a_damaged_file_is_kept(spool_path: Path, page: int) -> None:
    await filled(spool_path)
    with spool_path.open("r+b") as file:
        file.seek(4096 * page)
        file.write(b"\xff" * 4096)
    async with spool_at(spool_path) as spool:
        assert spool.opened.aside is not None
        kept = [one.key for one in await everything(spool)]
        assert len(kept) == spool.opened.rescued >= 250
        assert kept == sorted(kept, key=lambda key: int(key[1:]))


async def test_a_flipped_bit_in_an_event_is_found(spool_path: Path) -> None:
    await filled(spool_path, 3)
    flip(spool_path)
    async with spool_at(spool_path) as spool:
        taken = await spool.take(10)
        assert sorted(one.entry is None for one in taken) == [False, False, True]


@pytest.mark.parametrize("size", [0, 5000])
async def test_a_cut_file_is_no_empty_spool(spool_path: Path, size: int) -> None:
    await filled(spool_path)
    os.truncate(spool_path, size)
    async with spool_at(spool_path) as spool:
        assert (bool(spool.opened.damage), len(spool.set_aside())) == (True, 1)


@pytest.mark.crash
@pytest.mark.parametrize("gone", ["spool.db-wal", "spool.db"])
async def test_a_part_that_is_missing_after_a_crash_is_noticed(spool_path: Path, gone: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(spool_path), "0", stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
    )
    assert process.stdout is not None
    await process.stdout.readline()
    process.kill()
    await process.stdout.read()
    await process.wait()
    (spool_path.parent / gone).unlink()
    async with spool_at(spool_path) as spool:
        assert "gone" in spool.opened.damage
        assert len(set_aside(spool_path)) == 1


async def test_a_start_that_died_while_it_replaced_a_damaged_file_goes_on(spool_path: Path) -> None:
    await filled(spool_path, 5)
    write(spool_path.with_name("spool.db.rescued"), read(spool_path))
    write(spool_path, b"rubbish")
    async with spool_at(spool_path) as spool:
        assert spool.opened.aside is not None
        assert spool.opened.aside.read_bytes() == b"rubbish"
        assert len(await everything(spool)) == 5


async def test_a_newer_or_foreign_file_is_left_alone(spool_path: Path, path: Path) -> None:
    run(path, "CREATE TABLE theirs (x)")
    with pytest.raises(SchemaError, match="no spool of Sportello"):
        await open_spool(path, LIMITS, clock=utc_now)
    await filled(spool_path, 1)
    run(spool_path, "PRAGMA user_version = 99")
    with pytest.raises(SchemaError, match="newer Sportello"):
        await open_spool(spool_path, LIMITS, clock=utc_now)
    assert set_aside(spool_path) == set_aside(path) == []


async def test_looking_changes_nothing(spool_path: Path) -> None:
    async with spool_at(spool_path) as spool:
        await spool.put([entry("a"), entry("b", at=NOW + timedelta(hours=1))])
        assert look(spool_path)[:3] == (2, 0, NOW)
    before = read(spool_path)
    assert look(spool_path)[:3] == (2, 0, NOW)
    assert read(spool_path) == before
