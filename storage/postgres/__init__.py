"""The store on PostgreSQL through asyncpg, for one node or many. ``storage.open_store`` is the way in."""

from collections.abc import Callable
from datetime import datetime

from storage.bus import Bus
from storage.errors import Unavailable
from storage.postgres.connection import Database, is_refusal, parse_url
from storage.postgres.schema import Standby, prepare
from storage.postgres.store import APPEND_SECONDS, QUEUE_BOUND, PostgresStore


async def open_postgres(
    url: str,
    *,
    clock: Callable[[], datetime],
    migrate: bool = True,
    bus: Bus | None = None,
    append_seconds: float = APPEND_SECONDS,
    bound: int = QUEUE_BOUND,
    if_away: Callable[[BaseException], None] | None = None,
) -> PostgresStore:
    """Open or set up the database at ``url``; see ``storage.open_store``.

    ``append_seconds`` is how long ``append`` may take until it is Unavailable, ``bound`` how many callers may wait before the
    next is refused. With ``if_away`` a database that cannot be reached is waited for in the background, and one that is then found to be
    unusable is told to it.
    """
    database = parse_url(url)
    away: Unavailable | None = None
    try:
        await prepare(database, clock, migrate=migrate)
    except Unavailable as error:
        # A wrong password is no outage.
        if if_away is None or is_refusal(error):
            raise
        away = error
    store = PostgresStore(database, bus, append_seconds=append_seconds, bound=bound)
    if away is None or if_away is None:
        await store.follow_log()
    else:
        store.refuse_until(lambda: _prepare_later(database, clock, migrate=migrate), away, if_away)
    return store


async def _prepare_later(database: Database, clock: Callable[[], datetime], *, migrate: bool) -> None:
    try:
        await prepare(database, clock, migrate=migrate)
    except Standby as error:
        # In the middle of a fail-over the address may lead to one for a while.
        raise Unavailable(str(error)) from error


async def migrate_postgres(url: str, *, clock: Callable[[], datetime]) -> list[str]:
    """Bring the schema up to date, in one transaction; returns the names of the migrations applied."""
    return await prepare(parse_url(url), clock, migrate=True)
