"""A backup is one state of a shop that goes on working, and what is brought back is that state, sending held."""

import asyncio
import re
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from connectors.abilities import FetchedMedia
from connectors.event import Status
from gateway.held import held_report, hold_if_moved, release
from gateway.work.outbox import OutboxWorker
from gateway.work.tick import TickWorker
from storage import open_store
from storage.archive import BackupError, read_archive
from storage.errors import StorageError
from storage.file import StoredFile
from storage.held import INCARNATION, SENDING_HELD
from storage.postgres import backup as postgres_backup
from storage.sqlite import backup as sqlite_backup
from storage.sqlite import writer
from storage.sqlite.connection import Sql
from tests.support.pictures import PNG
from tests.support.post import Letter, Office, office, running
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database
from tests.support.rows import entry
from tests.support.shop import Shop
from tests.support.waiting import eventually

MakeShop = Callable[[str], Awaitable[Shop]]


def opened(shop: Shop, clock: Callable[[], datetime] | None = None) -> AbstractAsyncContextManager[Office]:
    return office(shop.data_dir, url=shop.url, clock=clock)


@asynccontextmanager
async def at_work(open_: Office) -> AsyncIterator[None]:
    """Its leases are kept and its replies are sent."""
    async with running(open_.services.duties.keep), running(OutboxWorker(open_.services).run):
        yield


async def fill(open_: Office) -> None:
    """People with histories, a file, a quarantined payload, replies that wait, texts that are hard to carry."""
    for number in range(5):
        await open_.take(Letter(id=f"l{number}", sender=f"s{number}", text=f"hello {number} \u0000 żółć \x01 \\N \t\n"))
    saved = await open_.services.files.save(PNG + b"picture" * 1000)
    file = StoredFile(id="med_1", sha256=saved.sha256, mime=saved.mime, name="a.png", size=saved.size, created_at=datetime.now(UTC))
    await open_.services.store.transact(lambda tx: tx.files.put(file))
    await open_.reply("s1", "a reply that waits")
    await open_.reply("s2", "another")
    open_.provider.files = {"f": FetchedMedia(data=b"x")}
    await open_.take(Letter(id="file", sender="s3", file="f"))


async def test_everything_comes_back_but_nothing_is_sent_until_it_is_released_and_then_once(make_shop: MakeShop, tmp_path: Path) -> None:
    old, new = await make_shop("old"), await make_shop("new")
    async with opened(old) as open_:
        await fill(open_)
        manifest = await old.back_up(tmp_path / "one.backup", store=open_.services.store)
        before = await old.rows()
    assert stat.S_IMODE((tmp_path / "one.backup").stat().st_mode) == 0o600
    assert (manifest.pos, manifest.files, manifest.missing_files) == (len(before["event"]), manifest.files, ())
    done = await new.restore(tmp_path / "one.backup")
    assert await new.rows() == before
    assert any("secret key was not in the backup" in note for note in done.notes)

    async with opened(new) as open_:
        file = await open_.services.store.view(lambda tx: tx.files.get("med_1"))
        assert file is not None
        assert (await open_.services.files.read(file.sha256)).startswith(b"\x89PNG")
        report = await held_report(open_.services.store, open_.services.clock())
        assert re.fullmatch(r"restored from the backup of 20\d\d-\d\d-\d\d \d\d:\d\d UTC", report.why)
        assert (sum(report.waiting.values()), report.past_life) == (2, 0)
        late = await open_.reply("s3", "written after the restore")
        async with at_work(open_):
            await eventually(lambda: _gauge(open_))
            # The worker has looked; several more rounds of it follow.
            open_.services.outbox_wake.set()
            await asyncio.sleep(0.2)
            assert open_.provider.calls == []
            assert (await open_.message(late.id)).status is Status.QUEUED
            assert await release(open_.services.store, open_.services.router, open_.services.clock(), None) == 0
            await eventually(lambda: _status(open_, late.id), lambda status: status is Status.SENT)
            await eventually(lambda: _waiting(open_), lambda waiting: not waiting)
            assert sorted(open_.provider.texts) == ["a reply that waits", "another", "written after the restore"]
            await eventually(lambda: _gauge(open_), lambda value: value == 0)


async def _gauge(open_: Office) -> float:
    return open_.services.metrics.value("sportello_sending_held")


async def _status(open_: Office, message_id: str) -> Status | None:
    return (await open_.message(message_id)).status


async def _waiting(open_: Office) -> dict[str, int]:
    return await open_.services.store.view(lambda tx: tx.outbox.waiting_count())


async def test_what_came_after_the_backup_is_delivered_again_and_taken_once(make_shop: MakeShop, tmp_path: Path) -> None:
    old, new = await make_shop("old"), await make_shop("new")
    letters = [Letter(id=f"l{number}", sender="ada", text=f"line {number}") for number in range(6)]
    async with opened(old) as open_:
        for letter in letters[:3]:
            await open_.take(letter)
        reply = await open_.reply("ada", "the answer")
        await old.back_up(tmp_path / "hour-old.backup", store=open_.services.store)
        async with at_work(open_):
            await eventually(lambda: _status(open_, reply.id), lambda status: status is Status.SENT)
        for letter in letters[3:]:
            await open_.take(letter)
    await new.restore(tmp_path / "hour-old.backup")
    async with opened(new) as open_:
        for letter in [*letters, *letters]:
            await open_.take(letter)
        lines = [line.parts[0] for line in await open_.messages("ada") if line.kind == "inbound"]
        assert [getattr(part, "text", "") for part in lines] == [letter.text for letter in letters]
        async with at_work(open_):
            await eventually(lambda: _gauge(open_))
            # It was sent after the backup: its owner gives it up, and nobody gets it twice.
            now = open_.services.clock() + timedelta(seconds=1)
            assert await release(open_.services.store, open_.services.router, now, now) == 1
            after = await open_.reply("ada", "a new answer")
            await eventually(lambda: _status(open_, after.id), lambda status: status is Status.SENT)
            assert open_.provider.texts == ["a new answer"]
            dropped = await open_.message(reply.id)
            assert (dropped.status, "an operator dropped it" in dropped.problem) == (Status.EXPIRED, True)


async def test_a_backup_beside_a_busy_writer_is_one_state_and_holds_nobody_up(make_shop: MakeShop, tmp_path: Path) -> None:
    old, new = await make_shop("old"), await make_shop("new")
    async with opened(old) as open_:
        await fill(open_)
        written, stop = 0, False

        async def write() -> None:
            nonlocal written
            while not stop:
                await open_.take(Letter(id=f"w{written}", sender=f"w{written % 7}", text="x" * 3000))
                written += 1

        task = asyncio.create_task(write())
        await eventually(lambda: _value(written), lambda number: number > 40)
        began = written
        manifests = [await old.back_up(tmp_path / f"{number}.backup", store=open_.services.store) for number in range(5)]
        assert written > began
        stop = True
        await task
        everything = await old.rows()
    assert manifests[-1].pos > manifests[0].pos
    await new.restore(tmp_path / "4.backup")
    rows = await new.rows()
    assert len(rows["event"]) == manifests[-1].pos
    assert rows["event"] == [event for event in everything["event"] if event[0] <= manifests[-1].pos]
    lines = {row[0] for row in rows["message"]}
    assert lines == {row[0] for row in everything["message"] if row[0] <= manifests[-1].pos}
    store = await open_store(new.url)
    assert await store.check() == []
    await store.close()


async def _value(value: int) -> int:
    return value


async def test_a_database_that_holds_events_is_refused_and_replaced_only_by_force(make_shop: MakeShop, tmp_path: Path) -> None:
    old, new = await make_shop("old"), await make_shop("new")
    async with opened(old) as open_:
        await fill(open_)
        await old.back_up(tmp_path / "one.backup", store=open_.services.store)
        before = await old.rows()
        logs = {await open_.services.store.view(lambda tx: tx.settings.get("log"))}
    async with opened(new) as open_:
        await open_.take(Letter(id="other", sender="zoe", text="mine"))
        logs.add(await open_.services.store.view(lambda tx: tx.settings.get("log")))
    mine = await new.rows()
    with pytest.raises(BackupError, match="events and is not replaced"):
        await new.restore(tmp_path / "one.backup")
    assert await new.rows() == mine
    done = await new.restore(tmp_path / "one.backup", force=True)
    assert await new.rows() == before
    assert done.notes[0].startswith(("What was there is kept as ", f"{len(mine['event'])} events that were there are gone"))
    async with opened(new) as open_:
        assert await open_.services.store.check() == []
        # What was mirrored of either log is another's now.
        log = await open_.services.store.view(lambda tx: tx.settings.get("log"))
        assert not log or log not in logs
        # Counters go on.
        await open_.take(Letter(id="more", sender="zoe", text="hello"))
        await open_.reply("zoe", "hello")


async def test_a_restore_beside_a_running_gateway_is_refused(make_shop: MakeShop, tmp_path: Path) -> None:
    old, new = await make_shop("old"), await make_shop("new")
    async with opened(old) as open_:
        await fill(open_)
        await old.back_up(tmp_path / "one.backup", store=open_.services.store)
    async with opened(new) as open_:
        await open_.services.duties.refresh()
        with pytest.raises(StorageError, match=r"stop them first|in use by process"):
            await new.restore(tmp_path / "one.backup", force=True)
        await open_.take(Letter(id="a", sender="zoe", text="nothing has happened here"))
        await open_.services.duties.give_up()
    await new.restore(tmp_path / "one.backup", force=True)
    assert await new.rows() == await old.rows()


async def test_the_key_is_in_it_only_if_asked_for(make_shop: MakeShop, tmp_path: Path) -> None:
    old, new = await make_shop("old"), await make_shop("new")
    async with opened(old) as open_:
        key = open_.services.config.server.secret_key.reveal()
        await old.back_up(tmp_path / "without.backup", store=open_.services.store)
        await old.back_up(tmp_path / "with.backup", store=open_.services.store, with_key=True)
    assert key.encode() not in (tmp_path / "without.backup").read_bytes()
    assert key.encode() in (tmp_path / "with.backup").read_bytes()
    await new.restore(tmp_path / "with.backup")
    async with opened(new) as open_:
        assert open_.services.config.server.secret_key.reveal() == key


async def test_without_a_running_gateway_in_many_pieces_and_compressed(
    make_shop: MakeShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_backup, "PIECE", 1000)
    old, new = await make_shop("old"), await make_shop("new")
    async with opened(old) as open_:
        await fill(open_)
    manifest = await old.back_up(tmp_path / "one.backup")
    assert not manifest.tables or max(table.pieces for table in manifest.tables) > 10
    await old.back_up(tmp_path / "one.backup.gz")
    assert (tmp_path / "one.backup.gz").stat().st_size < (tmp_path / "one.backup").stat().st_size / 2
    await new.restore(tmp_path / "one.backup.gz")
    assert await new.rows() == await old.rows()
    with pytest.raises(BackupError, match="exists already"):
        await old.back_up(tmp_path / "one.backup")


async def test_a_long_backup_does_not_make_the_writer_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps the log from being emptied; the writer, which would wait for five seconds at each commit, goes on without."""
    shop = Shop(tmp_path / "shop", f"sqlite://{tmp_path}/shop/sportello.db")
    shop.data_dir.mkdir()
    monkeypatch.setattr(writer, "_CHECKPOINT_FRAMES", 4)
    monkeypatch.setattr(writer, "_CHECKPOINT_HARD_FRAMES", 8)
    go_on = threading.Event()
    store = await open_store(shop.url)
    copy = sqlite_backup._copy

    def slow_copy(source: Sql, target: Path) -> None:
        source.run("BEGIN")
        source.rows("SELECT count(*) FROM event")
        go_on.wait(60)
        source.run("COMMIT")
        copy(source, target)

    monkeypatch.setattr(sqlite_backup, "_copy", slow_copy)
    task = asyncio.create_task(shop.back_up(tmp_path / "a.backup", store=store))
    async with asyncio.timeout(40):
        for number in range(100):
            await store.append([entry(f"k{number}", data=b"x" * 9000)])
    go_on.set()
    assert (await task).pos == 100

    async def patience(tx: Any) -> int:
        return int(tx.sql.rows("PRAGMA busy_timeout")[0][0])

    assert await store.transact(patience) == 5000
    await store.close()


async def test_while_held_nothing_expires_and_at_the_release_what_is_past_its_life_does(make_shop: MakeShop) -> None:
    shop = await make_shop("shop")
    offset = timedelta()
    async with opened(shop, clock=lambda: datetime.now(UTC) + offset) as open_:
        services = open_.services
        message = await open_.reply("ada", "soon too old")
        await services.store.transact(lambda tx: tx.settings.put(SENDING_HELD, "a test"))
        offset = timedelta(days=30)
        await TickWorker(services).tick()
        assert (await open_.message(message.id)).status is Status.QUEUED
        assert (await held_report(services.store, services.clock())).past_life == 1
        await release(services.store, services.router, services.clock(), None)
        await TickWorker(services).tick()
        assert (await open_.message(message.id)).status is Status.EXPIRED


async def test_only_older_replies_are_dropped(make_shop: MakeShop) -> None:
    shop = await make_shop("shop")
    offset = timedelta(hours=-3)
    async with opened(shop, clock=lambda: datetime.now(UTC) + offset) as open_:
        services = open_.services
        old = [await open_.reply(f"s{number}", "old") for number in range(3)]
        offset = timedelta()
        young = await open_.reply("s1", "young")
        await services.store.transact(lambda tx: tx.settings.put(SENDING_HELD, "a test"))
        assert await release(services.store, services.router, services.clock(), services.clock() - timedelta(hours=2)) == 3
        assert {(await open_.message(one.id)).status for one in old} == {Status.EXPIRED}
        async with at_work(open_):
            await eventually(lambda: _status(open_, young.id), lambda status: status is Status.SENT)
        assert open_.provider.texts == ["young"]


async def test_the_copy_taken_out_by_hand_is_held_too(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", f"sqlite://{tmp_path}/shop/sportello.db")
    shop.data_dir.mkdir()
    async with opened(shop) as open_:
        await fill(open_)
        manifest = await shop.back_up(tmp_path / "one.backup", store=open_.services.store)
    for name, stream in read_archive(tmp_path / "one.backup", manifest):
        data = stream.read()
        if name == "database.db":
            (tmp_path / "copy.db").write_bytes(data)
    connection = apsw.Connection(str(tmp_path / "copy.db"))
    assert "restored from" in str(connection.execute("SELECT value FROM setting WHERE name = 'sending_held'").fetchall())
    connection.close()


async def test_a_database_moved_to_another_server_is_held_once(tmp_path: Path, postgres_server: PostgresServer | ForeignServer) -> None:
    async with fresh_database(postgres_server) as url, office(tmp_path, url=url) as open_:
        store = open_.services.store
        assert await store.view(lambda tx: tx.settings.get(SENDING_HELD)) == ""
        here = await store.view(lambda tx: tx.settings.get(INCARNATION))
        assert here.isdigit()
        await store.transact(lambda tx: tx.settings.put(INCARNATION, "1"))
        assert "copied from another PostgreSQL server" in await hold_if_moved(store, url)
        assert await store.view(lambda tx: tx.settings.get(INCARNATION)) == here
        await store.transact(lambda tx: tx.settings.put(SENDING_HELD, ""))
        assert await hold_if_moved(store, url) == ""
        assert await store.view(lambda tx: tx.settings.get(SENDING_HELD)) == ""
