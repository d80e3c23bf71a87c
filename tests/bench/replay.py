"""Reading the stream again with every event decoded, beside bare SQL with the same decoder."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from config.decode import decode_section
from connectors.contract import Request
from connectors.event import AnyEvent, decode_event
from connectors.telegram import CONNECTOR, Settings
from gateway.intake import entry_of
from storage import open_store
from storage.buses import open_bus
from storage.protocol import WHOLE, Store
from storage.record import Entry
from storage.relay import relay_once
from tests.bench.figures import Figure
from tests.bench.ground import BenchFailed, Ground
from tests.bench.load import update
from tests.support.postgres import driver_url, fresh_database
from tests.support.process import SECRET, TOKEN

_PAGE = 500
_SELECT = "SELECT pos, type, data FROM event WHERE pos > {after} ORDER BY pos LIMIT {limit}"

#: Reads and decodes everything, returns how many events there were.
Reader = Callable[[], Awaitable[int]]


async def replay(ground: Ground) -> None:
    """From SQLite, from PostgreSQL, and from the mirror."""
    events = 100_000 if ground.long else 20_000
    entries = inbound(events)
    path = ground.folder / "replay.db"
    embedded = await open_store(f"sqlite://{path}")
    try:
        await _fill(embedded, entries)
        await _pairs(ground, "SQLite", _bare_sqlite(path), _ours(embedded), events)
    finally:
        await embedded.close()
    # The mirror keeps so many of each partition.
    bus = await open_bus(f"{await ground.bus()}&keep={events}")
    try:
        async with fresh_database(await ground.postgres()) as url:
            # A store tells the bus which log is mirrored; it must not answer from the mirror itself.
            plain, following = await open_store(url), await open_store(url, bus=bus)
            connection = await asyncpg.connect(driver_url(url))
            try:
                await _fill(plain, entries)
                while await relay_once(plain, bus):
                    pass
                if await bus.mirrored() != events:
                    raise BenchFailed("the mirror is not complete")
                floor = _bare_postgres(connection)
                await _pairs(ground, "PostgreSQL", floor, _ours(plain), events)
                await _pairs(ground, "the mirror (floor: PostgreSQL)", floor, _from_mirror(bus), events)
            finally:
                await connection.close()
                await plain.close()
                await following.close()
    finally:
        await bus.close()


def inbound(number: int) -> list[Entry]:
    """Messages as the gateway appends them."""
    settings = decode_section(Settings, {"token": TOKEN, "secret_token": SECRET}, ("channels", "shop"), {})
    entries = []
    for index in range(number):
        request = Request(method="POST", url="", headers={}, body=update(index, 500), received_at=datetime.now(UTC))
        entries += [entry_of("shop", event, request) for event in CONNECTOR.parse(request, settings)]
    return entries


async def _fill(store: Store, entries: list[Entry]) -> None:
    for start in range(0, len(entries), _PAGE):
        await store.append(entries[start : start + _PAGE])


async def _pairs(ground: Ground, where: str, floor: Reader, ours: Reader, events: int) -> None:
    base: list[float] = []
    mine: list[float] = []
    for _ in range(ground.pairs):
        for reader, rates in ((floor, base), (ours, mine)):
            begun = time.perf_counter()
            if await reader() != events:
                raise BenchFailed(f"not all of {events} events were read from {where}")
            rates.append(events / (time.perf_counter() - begun))
    ground.add(Figure("replay", f"stream read again and decoded, from {where}", "/s", mine, base))


def _ours(store: Store) -> Reader:
    return _paged(lambda after: store.read(WHOLE, after, _PAGE))


def _from_mirror(bus: Any) -> Reader:
    return _paged(lambda after: bus.read(WHOLE, after, _PAGE))


def _paged(read: Callable[[int], Awaitable[list[Any]]]) -> Reader:
    async def run() -> int:
        found, after = 0, 0
        while batch := await read(after):
            for recorded in batch:
                _decode(recorded.entry.data)
            found, after = found + len(batch), batch[-1].pos
        return found

    return run


def _bare_sqlite(path: Path) -> Reader:
    connection: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    async def run() -> int:
        found, after = 0, 0
        while rows := connection.execute(_SELECT.format(after="?", limit="?"), (after, _PAGE)).fetchall():
            for row in rows:
                _decode(row[2])
            found, after = found + len(rows), rows[-1][0]
        return found

    return run


def _bare_postgres(connection: Any) -> Reader:
    async def run() -> int:
        found, after = 0, 0
        while rows := await connection.fetch(_SELECT.format(after="$1", limit="$2"), after, _PAGE):
            for row in rows:
                _decode(row[2])
            found, after = found + len(rows), rows[-1][0]
        return found

    return run


def _decode(data: bytes) -> AnyEvent:
    return decode_event(data)
