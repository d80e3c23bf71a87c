"""Customers and their identities."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from connectors.identity import Evidence, Identity
from storage.codec import Row, build, encode, instant, micros
from storage.errors import NotFound
from storage.postgres.connection import Sql
from storage.record import Customer, KnownIdentity

_IDENTITY: Final = "i.scheme, i.scope, i.value, i.customer_id, i.evidence, i.since, i.name, i.opted_out"
_IDENTITY_WIDTH: Final = len(_IDENTITY.split(", "))
_CUSTOMER: Final = "c.id, c.name, c.created_at, c.language"
_decode_identities: Final = msgspec.json.Decoder(list[Identity]).decode


def _known(row: Row) -> KnownIdentity:
    scheme, scope, value, customer_id, evidence, since, name, opted_out = row
    return KnownIdentity(
        identity=Identity(scheme, scope, value),
        customer_id=customer_id,
        evidence=Evidence(evidence),
        since=instant(since),
        name=name,
        opted_out=bool(opted_out),
    )


def _customer(row: Row) -> Customer:
    return Customer(id=row[0], name=row[1], created_at=instant(row[2]), language=row[3])


class PostgresCustomers:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def get(self, customer_id: str) -> Customer | None:
        row = self._sql.recall("customer", customer_id) or await self._sql.row(
            f"SELECT {_CUSTOMER} FROM customer c WHERE c.id = ?", (customer_id,)
        )
        return build(_customer, row)

    async def find(self, identity: Identity) -> KnownIdentity | None:
        row = await self._sql.row(
            f"SELECT {_IDENTITY}, {_CUSTOMER} FROM identity i JOIN customer c ON c.id = i.customer_id"
            " WHERE i.scheme = ? AND i.scope = ? AND i.value = ?",
            (identity.scheme, identity.scope, identity.value),
        )
        if row is None:
            return None
        # Whoever is found is mostly asked for next.
        self._sql.remember("customer", row[_IDENTITY_WIDTH], row[_IDENTITY_WIDTH:])
        return _known(row[:_IDENTITY_WIDTH])

    async def identities(self, customer_id: str) -> list[KnownIdentity]:
        rows = await self._sql.rows(
            f"SELECT {_IDENTITY} FROM identity i WHERE i.customer_id = ? ORDER BY i.since, i.scheme, i.scope, i.value", (customer_id,)
        )
        return [_known(row) for row in rows]

    async def put(self, customer: Customer) -> None:
        await self._sql.run(
            "INSERT INTO customer VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET name = excluded.name, created_at = excluded.created_at, language = excluded.language",
            (customer.id, customer.name, micros(customer.created_at), customer.language),
        )

    async def put_identity(self, known: KnownIdentity) -> None:
        identity = known.identity
        await self._sql.run(
            "INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scheme, scope, value) DO UPDATE SET"
            " customer_id = excluded.customer_id,"
            " evidence = excluded.evidence, since = excluded.since, name = excluded.name, opted_out = excluded.opted_out",
            (
                identity.scheme,
                identity.scope,
                identity.value,
                known.customer_id,
                known.evidence.value,
                micros(known.since),
                known.name,
                known.opted_out,
            ),
        )

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
        return _decode_identities(row[0])
