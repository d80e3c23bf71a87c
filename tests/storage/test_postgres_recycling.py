"""The databases of these tests are used again: each test finds one as new, and one that was changed is thrown away."""

from urllib.parse import urlsplit

import pytest

from storage import open_store
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database, run_sql
from tests.support.rows import customer, entry


@pytest.fixture
def own(postgres_server: PostgresServer | ForeignServer) -> PostgresServer:
    if isinstance(postgres_server, ForeignServer):
        pytest.skip("on a server of somebody else's nothing is used again")
    return postgres_server


async def test_a_used_database_is_as_new(own: PostgresServer) -> None:
    async with fresh_database(own) as url:
        (queue,) = await run_sql(url, "SELECT * FROM queue")
        (log,) = await run_sql(url, "SELECT value FROM setting WHERE name = 'log'")
        store = await open_store(url)
        await store.append([entry("a")])
        await store.transact(lambda tx: tx.customers.put(customer()))
        await run_sql(url, "DELETE FROM queue")
        await store.close()
    async with fresh_database(own) as again:
        assert urlsplit(again).path == urlsplit(url).path
        store = await open_store(again)
        assert await store.view(lambda tx: tx.stream.head()) == 0
        assert (await store.append([entry("a")]))[0].pos == 1
        assert await store.check() == []
        await store.close()
        assert await run_sql(again, "SELECT * FROM customer") == []
        assert await run_sql(again, "SELECT * FROM queue") == [queue]
        assert await run_sql(again, "SELECT value FROM setting WHERE name = 'log'") != [log]


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE orders (id int)",
        "ALTER TABLE queue ADD COLUMN colour text",
        "CREATE INDEX slow ON event (at)",
        "ALTER TABLE queue ADD CONSTRAINT short CHECK (length(name) < 99)",
        "ALTER DATABASE {name} SET synchronous_commit = off",
        "CREATE SCHEMA other",
    ],
)
async def test_one_that_was_changed_is_thrown_away(own: PostgresServer, change: str) -> None:
    async with fresh_database(own) as url:
        name = urlsplit(url).path[1:]
        await run_sql(url, change.format(name=name))
    async with fresh_database(own) as other:
        assert urlsplit(other).path[1:] != name
