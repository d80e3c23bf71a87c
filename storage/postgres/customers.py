"""Customers and their identities."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from connectors.identity import Identity
from storage.codec import Row, encode, micros
from storage.errors import NotFound
from storage.postgres.connection import Sql
from storage.postgres.memory import ABSENT, Memory, Way
from storage.postgres.tables import CUSTOMERS, IDENTITIES
from storage.record import Customer, KnownIdentity
from storage.rows.people import CUSTOMER, IDENTITY, customer_of, customer_row, decode_identities, known_of, known_row
from storage.rows.sql import listed

_IDENTITY: Final = listed(IDENTITY, "i")
#: A person: an identity and its customer.
PERSON: Final = f"{_IDENTITY}, {listed(CUSTOMER, 'c')}"
_FIND: Final = f"""
    SELECT {PERSON} FROM unnest(?::text[], ?::text[], ?::text[]) AS asked (scheme, scope, value)
    JOIN identity i USING (scheme, scope, value) JOIN customer c ON c.id = i.customer_id
"""


class PostgresCustomers:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, customer_id: str) -> Customer | None:
        row = await self._sql.current(CUSTOMERS, (customer_id,))
        return customer_of(row) if row else None

    async def find(self, identity: Identity) -> KnownIdentity | None:
        key = (identity.scheme, identity.scope, identity.value)
        row = self._sql.memory.recall("identity", key)
        if row is None:
            await self.foresee([identity])
            row = self._sql.memory.recall("identity", key)
        return known_of(row) if row else None

    async def foresee(self, identities: Collection[Identity]) -> None:
        """Read these, and the customers whom they belong to: whoever is found is mostly asked for next."""
        keys = {(one.scheme, one.scope, one.value) for one in identities}
        wanted = [key for key in keys if self._sql.memory.recall("identity", key) is None]
        if not wanted:
            return
        for key in wanted:
            self._sql.memory.remember("identity", key, ABSENT)
        for row in await self._sql.rows(_FIND, [list(column) for column in zip(*wanted, strict=True)]):
            remember_person(self._sql.memory, row)

    async def identities(self, customer_id: str) -> list[KnownIdentity]:
        rows = await self._sql.rows(
            f"SELECT {_IDENTITY} FROM identity i WHERE i.customer_id = ? ORDER BY i.since, i.scheme, i.scope, i.value", (customer_id,)
        )
        return [known_of(row) for row in rows]

    async def put(self, customer: Customer) -> None:
        await self._sql.write(CUSTOMERS, customer_row(customer), Way.PUT)

    async def put_identity(self, known: KnownIdentity) -> None:
        await self._sql.write(IDENTITIES, known_row(known), Way.PUT)

    async def move_identity(self, identity: Identity, to_customer: str) -> None:
        address = (identity.scheme, identity.scope, identity.value)
        where = "WHERE scheme = ? AND scope = ? AND value = ?"
        if not await self._sql.run(f"UPDATE identity SET customer_id = ? {where}", (to_customer, *address)):
            raise NotFound(f"nobody has the identity {identity}")
        await self._sql.run(f"UPDATE conversation SET customer_id = ? {where}", (to_customer, *address))
        await self._sql.run(
            f"UPDATE message SET customer_id = ? WHERE conversation_id IN (SELECT id FROM conversation {where})", (to_customer, *address)
        )

    async def record_merge(self, from_customer: str, to_customer: str, identities: Sequence[Identity], at: datetime) -> None:
        await self._sql.run(
            "INSERT INTO merge (from_customer, to_customer, at, identities) VALUES (?, ?, ?, ?)",
            (from_customer, to_customer, micros(at), encode(list(identities))),
        )

    async def undo_merge(self, from_customer: str, to_customer: str) -> list[Identity]:
        row = await self._sql.row(
            "DELETE FROM merge WHERE id = (SELECT max(id) FROM merge WHERE from_customer = ? AND to_customer = ?) RETURNING identities",
            (from_customer, to_customer),
        )
        if row is None:
            raise NotFound(f"customer {from_customer} was never merged into {to_customer}")
        return decode_identities(row[0])


def remember_person(memory: Memory, row: Row) -> None:
    """From the columns ``PERSON``."""
    identity, customer = row[: len(IDENTITY)], row[len(IDENTITY) :]
    memory.remember("identity", IDENTITIES.key_of(identity), identity)
    memory.remember("customer", CUSTOMERS.key_of(customer), customer)
