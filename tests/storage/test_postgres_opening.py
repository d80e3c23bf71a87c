"""What PostgreSQL must be for us, and which databases are refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from storage import migrate_store, open_store
from storage.errors import SchemaError, StorageError, Unavailable
from storage.migrate import Migration, load_migrations, pending
from storage.postgres.connection import parse_url
from storage.postgres.schema import MIGRATIONS
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database, own_server, run_sql
from tests.support.rows import entry

SECRET = "canary-database-p@ss/word"


@pytest.fixture
async def url(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server) as made:
        yield made


@pytest.fixture
async def empty(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server, empty=True) as made:
        yield made


@pytest.fixture(scope="module")
def durable_server() -> Iterator[PostgresServer]:
    yield from own_server(durable=True)


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


async def test_an_empty_database_is_set_up_once_by_many_at_once(empty: str) -> None:
    stores = await asyncio.gather(*(open_store(empty) for _ in range(4)))
    assert [await store.view(lambda tx: tx.stream.head()) for store in stores] == [0] * 4
    assert len(await stores[0].view(lambda tx: tx.queues.all())) == 1
    await asyncio.gather(*(store.close() for store in stores))
    assert await migrate_store(empty) == []


async def test_an_old_database_is_refused_where_nothing_may_change(empty: str) -> None:
    with pytest.raises(SchemaError, match="sportello migrate"):
        await open_store(empty, migrate=False)
    assert await migrate_store(empty) == [step.name for step in load_migrations(MIGRATIONS)]
    await (await open_store(empty, migrate=False)).close()


async def test_a_database_of_another_program_is_refused(empty: str) -> None:
    await run_sql(empty, "CREATE TABLE orders (id int)")
    with pytest.raises(SchemaError, match="another program"):
        await open_store(empty)
    assert await run_sql(empty, "SELECT 1 FROM pg_tables WHERE tablename = 'schema_version'") == []


async def test_a_newer_database_is_refused_unless_it_says_that_we_may(url: str) -> None:
    newest = load_migrations(MIGRATIONS)[-1].version
    await run_sql(url, f"INSERT INTO schema_version VALUES ({newest + 1}, 'later', 0, {newest})")  # noqa: S608 - numbers
    store = await open_store(url)
    await store.append([entry("a")])
    await store.close()
    await run_sql(url, f"UPDATE schema_version SET compatible_with = version WHERE version = {newest + 1}")  # noqa: S608 - a number
    with pytest.raises(SchemaError, match="newer"):
        await open_store(url)


def test_a_migration_says_who_can_live_with_it() -> None:
    plain, tolerant = Migration(3, "0003_a", "CREATE TABLE a ();"), Migration(4, "0004_b", "-- compatible with: 0002\nCREATE TABLE b ();")
    assert (plain.compatible_with, tolerant.compatible_with) == (3, 2)
    assert pending("it", 4, [plain], tolerant.compatible_with) == []
    for compatible_with in (None, 4):
        with pytest.raises(SchemaError, match="newer"):
            pending("it", 4, [plain], compatible_with)


@pytest.mark.parametrize("value", ["off", "local"])
async def test_commits_that_are_not_durable_are_refused_always(url: str, value: str) -> None:
    await run_sql(url, f"ALTER DATABASE {_name(url)} SET synchronous_commit = {value}")
    with pytest.raises(SchemaError, match="synchronous_commit"):
        await open_store(url)


async def test_a_database_that_only_reads_is_refused(url: str) -> None:
    await run_sql(url, f"ALTER DATABASE {_name(url)} SET default_transaction_read_only = on")
    with pytest.raises(SchemaError, match="only reads"):
        await open_store(url)


async def test_a_server_that_does_not_sync_is_refused(url: str, postgres_server: PostgresServer | ForeignServer) -> None:
    if isinstance(postgres_server, ForeignServer):
        pytest.skip("the server of SPORTELLO_TEST_POSTGRES may sync")
    with pytest.raises(SchemaError, match="fsync"):
        await open_store(url.removesuffix("?unsafe=true"))


async def test_a_standby_is_refused(durable_server: PostgresServer) -> None:
    url = await durable_server.create()
    await (await open_store(url)).close()
    durable_server.stop()
    durable_server.make_standby()
    durable_server.start()
    with pytest.raises(SchemaError, match="standby"):
        await open_store(url)


@pytest.mark.parametrize(
    "broken",
    [
        f"postgresql://me:{SECRET}@127.0.0.1/x",
        f"postgresql://me:{SECRET}@[::1/x",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:1/x",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:1/x?sslmode=nonsense",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:1/x?unsafe=perhaps",
        f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1:port/x",
    ],
)
async def test_no_password_in_any_message(broken: str) -> None:
    with pytest.raises(StorageError) as caught:
        await open_store(broken)
    error: BaseException | None = caught.value
    while error is not None:
        assert not any(part in f"{error} {error!r}" for part in (SECRET, quote(SECRET, safe=""), "s3cret"))
        error = error.__cause__
    assert "s3cret" not in repr(parse_url(f"postgresql://me:{quote(SECRET, safe='')}@127.0.0.1/x"))


async def test_who_is_refused_or_not_there_is_told_what_to_look_at(url: str) -> None:
    with pytest.raises(Unavailable, match="check user"):
        await open_store(url.replace(_name(url), "no_such_database"))
    with pytest.raises(StorageError, match="begins with"):
        await open_store("mysql://localhost/x")


async def test_doctor_finds_what_is_wrong(url: str, tmp_path: Path) -> None:
    del tmp_path
    store = await open_store(url)
    await store.append([entry("a")])
    assert await store.check() == []
    await run_sql(url, "UPDATE head SET pos = 7")
    await run_sql(url, f"ALTER DATABASE {_name(url)} SET synchronous_commit = off")
    await store.close()
    other = await open_store(url.replace("?", "?options=-csynchronous_commit%3Don&"))
    assert [line for line in await other.check() if "newest event is 1" in line]
    await other.close()
