"""A row that was read is not asked for again, until anything is written."""

from msgspec import structs

from connectors.identity import Evidence, Identity
from storage import open_store, utc_now
from storage.protocol import Transaction
from storage.record import Customer, KnownIdentity
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database

ADA = Identity("tel", "", "+390000001")


async def test_what_was_written_is_seen_at_once(postgres_server: PostgresServer | ForeignServer) -> None:
    now = utc_now()
    before = Customer(id="cus_1", name="Ada", created_at=now)
    after = structs.replace(before, name="Ada L.")

    async def make(tx: Transaction) -> None:
        await tx.customers.put(before)
        await tx.customers.put_identity(KnownIdentity(identity=ADA, customer_id=before.id, evidence=Evidence.PROVIDER, since=now))

    async def rename(tx: Transaction) -> tuple[Customer | None, Customer | None]:
        assert await tx.customers.find(ADA)
        first = await tx.customers.get(before.id)
        await tx.customers.put(after)
        return first, await tx.customers.get(before.id)

    async def read(tx: Transaction) -> Customer | None:
        assert await tx.customers.find(ADA)
        return await tx.customers.get(before.id)

    async with fresh_database(postgres_server) as url:
        store, other = await open_store(url), await open_store(url)
        try:
            await store.transact(make)
            assert await store.transact(rename) == (before, after)
            assert await other.transact(read) == after
            await store.transact(lambda tx: tx.customers.put(before))
            assert await other.transact(read) == before
        finally:
            await store.close()
            await other.close()
