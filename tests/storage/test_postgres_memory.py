"""Rows that are read and written together: that the tables are as the database has them, and that a batch costs few statements."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest

from connectors.content import Text
from connectors.contract import Sent
from connectors.event import AnyEvent, MessageReceived, Status, StatusReported
from routing.command import FinishAttempt
from storage import open_store
from storage.postgres.connection import Sql
from storage.postgres.tables import TABLES, Table
from storage.protocol import EVERY_PARTITION
from storage.record import Attempt, MessageKind
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database, run_sql

#: Name, type, and whether a new row has to say it.
_COLUMNS: Final = """
    SELECT column_name, data_type, column_default IS NULL AND is_nullable = 'NO' AND is_identity = 'NO'
    FROM information_schema.columns WHERE table_name = '{}'
"""
_KEYS: Final = """
    SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = '{}'::regclass AND i.indisunique AND i.indpred IS NULL GROUP BY i.indexrelid
"""


@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
async def test_a_table_is_as_the_database_has_it(postgres_server: PostgresServer | ForeignServer, table: Table) -> None:
    async with fresh_database(postgres_server) as url:
        columns = await run_sql(url, _COLUMNS.format(table.name))
        types = {name: type_ for name, type_, _ in columns}
        assert {name: types[name] for name in table.columns} == {name: table.type_of(name) for name in table.columns}
        # A new row needs no more than these.
        assert {name for name, _, needed in columns if needed} <= set(table.columns)
        if table.key:
            keys = await run_sql(url, _KEYS.format(table.name))
            assert set(table.key) in [set(names) for (names,) in keys]


class Counted:
    """How many statements are carried out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        call = Sql._call

        async def counting(sql: Sql, *arguments: Any) -> Any:
            self.number += 1
            return await call(sql, *arguments)

        monkeypatch.setattr(Sql, "_call", counting)

    def since(self) -> int:
        number, self.number = self.number, 0
        return number


@pytest.fixture
async def shop(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[World]:
    """A router over PostgreSQL, and two agents with room for everybody."""
    async with fresh_database(postgres_server) as url:
        store = await open_store(url)
        world = World(store)
        for name in ("ada", "ben"):
            await world.agent(name, await world.default_queue(), capacity=100)
        yield world
        await store.close()


async def _routed(world: World, events: Sequence[AnyEvent]) -> None:
    await world.store.append([world.entry(event, "tg") for event in events])
    assert await world.router.route_each(dict.fromkeys(EVERY_PARTITION, 0), 1_000) >= len(events)


def _texts(world: World, shoppers: range) -> list[AnyEvent]:
    numbers = [(shopper, next(world.numbers)) for shopper in shoppers]
    return [
        MessageReceived(key=f"k{number}", message_id=f"p{number}", sender=world.shopper(f"s{shopper}", "tg"), parts=(Text(text="ciao"),))
        for shopper, number in numbers
    ]


async def _sent(world: World, shopper: int) -> None:
    """A reply to this shopper is out, and the provider has given it an id."""
    conversation = await world.conversation_of(f"s{shopper}", "tg")
    line = await world.reply(await world.actor(conversation.assignee_id), conversation.id)
    assert await world.store.transact(lambda tx: claim(tx, world.clock(), 1))
    await world.router.handle(_finished(world, line.id, f"out{shopper}"))


def _finished(world: World, message_id: str, provider_id: str) -> FinishAttempt:
    now = world.clock()
    attempt = Attempt(message_id=message_id, number=1, started_at=now, finished_at=now, outcome="sent")
    return FinishAttempt(
        id=world.id(),
        actor=GATEWAY,
        message_id=message_id,
        channel="tg",
        attempt=attempt,
        outcomes=(Sent(provider_id),),
        calls=1,
        first=0,
    )


async def test_a_batch_costs_as_many_statements_as_one_event(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """First words, more of the same, and what the provider says of our replies; of people in all partitions."""
    counted = Counted(monkeypatch)

    async def cost(events: Sequence[AnyEvent]) -> int:
        counted.since()
        await _routed(shop, events)
        return counted.since()

    def reports(status: Status, shoppers: range) -> list[AnyEvent]:
        return [StatusReported(key=f"{status}{shopper}", message_id=f"out{shopper}", status=status) for shopper in shoppers]

    await cost(_texts(shop, range(1)))  # what is asked only once: where the cursors stand
    assert await cost(_texts(shop, range(10, 50))) <= await cost(_texts(shop, range(1, 2))) + 1
    assert await cost(_texts(shop, range(10, 50))) <= await cost(_texts(shop, range(1, 2))) + 1
    for shopper in (1, *range(10, 25)):
        await _sent(shop, shopper)
    for status in (Status.DELIVERED, Status.READ):
        assert await cost(reports(status, range(10, 25))) <= await cost(reports(status, range(1, 2))) + 1
    last = [line for line in await shop.history((await shop.conversation_of("s20", "tg")).customer_id) if line.kind is MessageKind.OUTBOUND]
    assert [line.status for line in last] == [Status.READ]


async def test_commands_that_come_together_share_their_statements(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty replies, and what came of their sending: the first goes at once, those that come meanwhile go together."""
    await _routed(shop, _texts(shop, range(20)))
    conversations = [await shop.conversation_of(f"s{shopper}", "tg") for shopper in range(20)]
    actors = [await shop.actor(conversation.assignee_id) for conversation in conversations]
    counted = Counted(monkeypatch)
    lines = await asyncio.gather(*(shop.reply(actor, one.id) for actor, one in zip(actors, conversations, strict=True)))
    assert counted.since() <= 40
    assert len(await shop.store.transact(lambda tx: claim(tx, shop.clock(), 50))) == 20
    counted.since()
    await asyncio.gather(*(shop.router.handle(_finished(shop, line.id, f"out{line.id}")) for line in lines))
    assert counted.since() <= 40
    assert {(await shop.message(line.id)).status for line in lines} == {Status.SENT}
