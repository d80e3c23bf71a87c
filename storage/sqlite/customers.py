"""Customers and their identities."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from connectors.identity import Identity
from storage.codec import build, encode, micros
from storage.errors import NotFound
from storage.record import Customer, KnownIdentity
from storage.rows.people import CUSTOMER, IDENTITY, customer_of, customer_row, decode_identities, known_of, known_row
from storage.rows.sql import listed, upsert
from storage.sqlite.connection import Sql

_IDENTITY: Final = listed(IDENTITY)


class SqliteCustomers:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, customer_id: str) -> Customer | None:
        row = self._sql.row(f"SELECT {listed(CUSTOMER)} FROM customer WHERE id = ?", (customer_id,))
        return build(customer_of, row)

    async def find(self, identity: Identity) -> KnownIdentity | None:
        row = self._sql.row(
            f"SELECT {_IDENTITY} FROM identity WHERE scheme = ? AND scope = ? AND value = ?",
            (identity.scheme, identity.scope, identity.value),
        )
        return build(known_of, row)

    async def identities(self, customer_id: str) -> list[KnownIdentity]:
        rows = self._sql.rows(
            f"SELECT {_IDENTITY} FROM identity WHERE customer_id = ? ORDER BY since, scheme, scope, value", (customer_id,)
        )
        return [known_of(row) for row in rows]

    async def put(self, customer: Customer) -> None:
        self._sql.run(upsert("customer", CUSTOMER, "id"), customer_row(customer))

    async def put_identity(self, known: KnownIdentity) -> None:
        self._sql.run(upsert("identity", IDENTITY, "scheme", "scope", "value"), known_row(known))

    async def move_identity(self, identity: Identity, to_customer: str) -> None:
        address = (identity.scheme, identity.scope, identity.value)
        where = "WHERE scheme = ? AND scope = ? AND value = ?"
        if not self._sql.run(f"UPDATE identity SET customer_id = ? {where}", (to_customer, *address)):
            raise NotFound(f"nobody has the identity {identity}")
        self._sql.run(f"UPDATE conversation SET customer_id = ? {where}", (to_customer, *address))
        self._sql.run(
            f"UPDATE message SET customer_id = ? WHERE conversation_id IN (SELECT id FROM conversation {where})", (to_customer, *address)
        )

    async def record_merge(self, from_customer: str, to_customer: str, identities: Sequence[Identity], at: datetime) -> None:
        self._sql.run(
            "INSERT INTO merge (from_customer, to_customer, at, identities) VALUES (?, ?, ?, ?)",
            (from_customer, to_customer, micros(at), encode(list(identities))),
        )

    async def undo_merge(self, from_customer: str, to_customer: str) -> list[Identity]:
        row = self._sql.row(
            "DELETE FROM merge WHERE id = (SELECT max(id) FROM merge WHERE from_customer = ? AND to_customer = ?) RETURNING identities",
            (from_customer, to_customer),
        )
        if row is None:
            raise NotFound(f"customer {from_customer} was never merged into {to_customer}")
        return decode_identities(row[0])
