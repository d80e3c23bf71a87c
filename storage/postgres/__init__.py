"""The store on PostgreSQL through asyncpg, for one node or many. ``storage.open_store`` is the way in."""

from collections.abc import Callable
from datetime import datetime

from storage.bus import Bus
from storage.postgres.connection import parse_url
from storage.postgres.schema import LOG, prepare
from storage.postgres.store import APPEND_SECONDS, QUEUE_BOUND, PostgresStore


async def open_postgres(
    url: str,
    *,
    clock: Callable[[], datetime],
    migrate: bool = True,
    bus: Bus | None = None,
    append_seconds: float = APPEND_SECONDS,
    bound: int = QUEUE_BOUND,
) -> PostgresStore:
    """Open or set up the database at ``url``; see ``storage.open_store``.

    ``append_seconds`` is how long ``append`` may take until it is Unavailable, ``bound`` how many callers may wait before the
    next is refused.
    """
    database = parse_url(url)
    await prepare(database, clock, migrate=migrate)
    store = PostgresStore(database, bus, append_seconds=append_seconds, bound=bound)
    if bus is not None:
        bus.follow(await store.view(lambda tx: tx.settings.get(LOG)))
    return store


async def migrate_postgres(url: str, *, clock: Callable[[], datetime]) -> list[str]:
    """Bring the schema up to date, in one transaction; returns the names of the migrations applied."""
    return await prepare(parse_url(url), clock, migrate=True)
