"""Searches databases of tests for secrets before they are emptied: what they wrote is gone afterwards, or is compressed on the disk."""

from contextlib import suppress
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.secret_marks import OWN_KEY, note_finds

TABLES: Final = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
_KEYS_AT_ONCE: Final = 1000


async def search_tables(connection: Any, tables: list[str]) -> None:
    """All rows of these, as PostgreSQL sends them in its binary form: text and bytes are as they were written."""
    for table in tables:
        pieces: list[bytes] = []

        async def take(data: bytes, pieces: list[bytes] = pieces) -> None:
            pieces.append(data)

        await connection.copy_from_table(table, output=take, format="binary")
        # Nodes share their key by their database.
        note_finds(f"PostgreSQL, table {table}", b"".join(pieces), frozenset({OWN_KEY}) if table == "setting" else frozenset())


async def search_database(url: str) -> None:
    """All tables of one that is about to be dropped; a server that is away says nothing. ``url`` is the driver's."""
    with suppress(asyncpg.PostgresError, OSError):
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await search_tables(connection, [row[0] for row in await connection.fetch(TABLES)])
        finally:
            await connection.close()


async def search_keys(client: "Redis") -> None:
    """All keys with their values; the server must not compress them (``rdbcompression no``). One that is away says nothing."""
    with suppress(RedisError, OSError):
        keys = [key async for key in client.scan_iter(count=_KEYS_AT_ONCE)]
        for first in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[first : first + _KEYS_AT_ONCE]
            pipe = client.pipeline(transaction=False)
            for key in some:
                pipe.dump(key)
            values = await pipe.execute(raise_on_error=False)
            data = b"\n".join(key + b"\n" + (value if isinstance(value, bytes) else b"") for key, value in zip(some, values, strict=True))
            note_finds("Redis", data)
