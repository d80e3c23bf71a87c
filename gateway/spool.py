"""The spool of a gateway: opened where the database is another machine's, and told about to whoever watches."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import structlog

from config import Config
from gateway.metrics import SpoolFigures
from gateway.services import Services
from storage.errors import StorageError
from storage.protocol import Store
from storage.spool import Spool, open_spool
from storage.spool_file import look
from storage.spool_thread import Limits
from storage.spooling import SpoolingAppender

#: The file in the data folder.
FILE = "spool.db"


def file_of(slot: int) -> str:
    """Each process that shares a data folder has a spool of its own."""
    return FILE if slot == 0 else f"spool-{slot}.db"


@contextlib.asynccontextmanager
async def open_spooling(
    config: Config, store: Store, data_dir: Path, *, clock: Callable[[], datetime], on_fatal: Callable[[BaseException], None] | None
) -> AsyncIterator[SpoolingAppender | None]:
    """The way in by this process's spool; None for a database on this disk: the spool would fail with it.

    Raises Unavailable if another process has the file.
    """
    if not store.shared:
        yield None
        return
    limits = Limits(config.spool.max_bytes, config.spool.min_free_percent)
    spool = await open_spool(data_dir / file_of(config.node.slot), limits, clock=clock, on_fatal=on_fatal)
    try:
        yield SpoolingAppender(store, spool, config.spool.after, store.gathering)
    finally:
        await spool.close()


def announce_spool(services: Services) -> None:
    """Figures from now on, and at once what is wrong with it."""
    if services.spooling is None:
        return
    spool = services.spooling.spool
    services.metrics.watch_spool(lambda: figures_of(spool, services.clock()))
    log = structlog.get_logger("spool").bind(file=str(spool.path))
    opened = spool.opened
    if opened.aside is not None:
        log.critical(
            "the spool was damaged and is set aside: what could be read of it is kept, the rest may hold messages that were taken",
            damage=opened.damage, rescued=opened.rescued, damaged=str(opened.aside),
        )  # fmt: skip
    elif found := spool.set_aside():
        log.critical("a damaged spool still waits to be looked at and removed", files=[str(path) for path in found])
    if not services.config.node.slot:
        _announce_orphans(spool.path.parent, services.config.node.processes)
    if opened.waiting:
        log.warning("events of an earlier run wait in the spool", events=sum(opened.waiting.values()))


def _announce_orphans(data_dir: Path, processes: int) -> None:
    """Spools of processes that there are no more: nobody hands on what lies in them."""
    own = {file_of(slot) for slot in range(processes)}
    for path in sorted(data_dir.glob("spool-*.db")):
        if path.name in own:
            continue
        with contextlib.suppress(StorageError):
            if waiting := look(path).waiting:
                text = "events wait in the spool of a process that this gateway does not start: start it once more with as many as before"
                structlog.get_logger("spool").critical(text, file=str(path), events=waiting, processes=processes)


def figures_of(spool: Spool, now: datetime) -> SpoolFigures:
    """As of now."""
    oldest = spool.oldest
    age = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
    return SpoolFigures(events=spool.waiting, bytes=spool.used, oldest_seconds=age, set_aside=len(spool.set_aside()))
