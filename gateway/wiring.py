"""The only place where concrete classes meet: a configuration becomes a running gateway."""

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import structlog
from msgspec.structs import replace

from config import Config, Secret
from connectors.contract import ClientContext, FileLinker
from gateway.attendance import Attendance
from gateway.channel_log import Journal
from gateway.channels import PlannedChannel, plan_channels, secrets_in
from gateway.crashpoint import CrashPoints
from gateway.files import FileStore
from gateway.held import hold_if_moved
from gateway.hub import Hub
from gateway.join import joined
from gateway.keys import LateKey, secret_key
from gateway.metrics import Metrics
from gateway.names import Resolver
from gateway.poison import PoisonGuard
from gateway.screen import Screen
from gateway.services import Channel, Services
from gateway.spool import announce_spool, open_spooling
from gateway.together import Together
from gateway.web.public_files import file_linker
from gateway.whisper import Whispers
from gateway.work.actor import GATEWAY, command_id
from gateway.work.duty import Duties
from gateway.work.roster import duties_of, node_of, working
from routing.command import PutQueue
from routing.errors import Refused
from routing.link import Links
from routing.router import Router, Signals
from routing.rules import Rules
from storage import open_store, utc_now
from storage.bus import Bus
from storage.buses import open_bus
from storage.errors import Conflict
from storage.protocol import Store
from storage.record import Recorded


def database_url(config: Config) -> str:
    """Address of the database, for ``storage.open_store``. It may hold a password: show :func:`without_password` of it."""
    return config.storage.url.reveal() or "sqlite://" + quote(str((Path(config.data_dir) / "sportello.db").absolute()))


def without_password(url: str) -> str:
    """The address for people to read."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + host, query=""))


def rules_of(config: Config, planned: Sequence[PlannedChannel]) -> Rules:
    """What the operator decided about routing."""
    return Rules(
        channels={channel.id: channel.rules for channel in planned},
        reopen_within=timedelta(seconds=config.routing.reopen_within),
        reply_life=timedelta(seconds=config.routing.reply_life),
        links=Links(config.server.secret_key),
    )


@contextlib.asynccontextmanager
async def open_gateway(
    config: Config,
    *,
    clock: Callable[[], datetime] = utc_now,
    crash: CrashPoints | None = None,
    on_fatal: Callable[[BaseException], None] | None = None,
    workers: bool = True,
    may_be_away: bool = False,
) -> AsyncIterator[Services]:
    """Everything but the web server, running (``workers=False``: standing). Two of them can live in one process.

    ``on_fatal``: disk or database must not be used any more, end the process. Raises ConfigError, storage errors, ``keys.BadKey``; then
    nothing is left open. With ``may_be_away`` a PostgreSQL out of reach is no error: what comes in is spooled until it is back.
    """
    planned, data_dir, config = plan_channels(config), _private_folder(config.data_dir), _with_late_key(config)
    async with contextlib.AsyncExitStack() as stack:
        bus, store = await _open_database(stack, config, clock, on_fatal, may_be_away=may_be_away)
        # A tool beside a running gateway takes nothing in, and must not lock that one's spool.
        way_in = open_spooling(config, store, data_dir, clock=clock, on_fatal=on_fatal) if workers else contextlib.nullcontext()
        spooling, files = await stack.enter_async_context(way_in), _open_files(stack, data_dir, store)
        metrics, outbox_wake, media_wake = Metrics(), asyncio.Event(), asyncio.Event()
        journal = Journal(store, config, {plan.id: tuple(secrets_in(plan.settings)) for plan in planned}, metrics, clock)
        lent = await _lent(stack, screen := Screen(config, store, files, metrics, clock), file_linker(config, store, screen, clock))
        duties = _duties(config, store, channels := _open_channels(stack, planned, lent, journal), clock)
        services = Services(
            config=config,
            store=store,
            looks=Together(store.view, at_once=2),
            notes=Together(store.transact),
            inbound=spooling or store,
            spooling=spooling,
            bus=bus,
            router=Router(store, rules_of(config, planned), clock, _signals(bus, outbox_wake, media_wake, metrics)),
            duties=duties,
            attendance=Attendance(bus, duties.node.id, knows_all=bool(config.bus.url) or not store.shared),
            channels=channels,
            hub=Hub(store, Whispers(bus)),
            files=files,
            screen=screen,
            journal=journal,
            metrics=metrics,
            outbox_wake=outbox_wake,
            media_wake=media_wake,
            clock=clock,
            data_dir=data_dir,
            crash=crash or CrashPoints(),
            poison=_poison_guard(stack, data_dir if workers else None, config.node.slot),
        )
        await stack.enter_async_context(_begun(services, planned, on_fatal if may_be_away else None, workers=workers))
        yield services


def _begun(
    services: Services, planned: Sequence[PlannedChannel], on_fatal: Callable[[BaseException], None] | None, *, workers: bool
) -> contextlib.AbstractAsyncContextManager[None]:
    services.journal.node = services.duties.node.id
    announce_spool(services)
    return joined(services, functools.partial(_join, services, planned), working if workers else _standing, on_fatal)


async def _open_database(
    stack: contextlib.AsyncExitStack,
    config: Config,
    clock: Callable[[], datetime],
    on_fatal: Callable[[BaseException], None] | None,
    *,
    may_be_away: bool,
) -> tuple[Bus, Store]:
    bus = await open_bus(config.bus.url.reveal())
    stack.push_async_callback(bus.close)
    store = await open_store(database_url(config), clock=clock, on_fatal=on_fatal, bus=bus, may_be_away=may_be_away)
    stack.push_async_callback(store.close)
    return bus, store


def _open_files(stack: contextlib.AsyncExitStack, data_dir: Path, store: Store) -> FileStore:
    files = FileStore(data_dir / "media", store.vault)
    stack.push_async_callback(files.close)
    return files


async def _lent(stack: contextlib.AsyncExitStack, screen: Screen, link_file: FileLinker) -> ClientContext:
    """What all clients are lent; each gets its own name with it."""
    resolver = Resolver()
    stack.push_async_callback(resolver.close)
    connector = aiohttp.TCPConnector(resolver=resolver)
    session = aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
    await stack.enter_async_context(session)
    return ClientContext(session=session, channel="", read_file=screen.read_file, link_file=link_file)


def _poison_guard(stack: contextlib.AsyncExitStack, data_dir: Path | None, slot: int) -> PoisonGuard:
    return stack.enter_context(contextlib.closing(PoisonGuard(data_dir and data_dir / "poison", slot)))


def _open_channels(
    stack: contextlib.AsyncExitStack, planned: Sequence[PlannedChannel], lent: ClientContext, journal: Journal
) -> dict[str, Channel]:
    channels: dict[str, Channel] = {}
    for plan in planned:
        report = functools.partial(journal.reported, plan.id)
        channels[plan.id] = plan.open(dataclasses.replace(lent, channel=plan.id, report=report))
        stack.push_async_callback(channels[plan.id].client.close)
    return channels


def _private_folder(name: str) -> Path:
    folder = Path(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextlib.asynccontextmanager
async def _standing(services: Services) -> AsyncIterator[None]:
    del services
    yield


async def _join(services: Services, planned: Sequence[PlannedChannel]) -> None:
    """Ask the database what has to be known before any work begins."""
    config, store = services.config, services.store
    await hold_if_moved(store, database_url(config))
    if isinstance(config.server.secret_key, LateKey):
        config.server.secret_key.learn(await secret_key(Secret(""), store, services.data_dir))
    await make_queues(services.router, store, planned, services.clock)


def _with_late_key(config: Config) -> Config:
    return config if config.server.secret_key else replace(config, server=replace(config.server, secret_key=LateKey()))


def _duties(config: Config, store: Store, channels: Mapping[str, Channel], clock: Callable[[], datetime]) -> Duties:
    return Duties(store, node_of(config, clock()), duties_of(channels.values(), mirrored=bool(config.bus.url)))


def _signals(bus: Bus, outbox: asyncio.Event, media: asyncio.Event, metrics: Metrics) -> Signals:
    return Signals(outbox=_both(bus, "outbox", outbox), media=_both(bus, "media", media), failed=_note_failed(metrics))


def _both(bus: Bus, topic: str, wake: asyncio.Event) -> Callable[[], None]:
    """Wakes the worker here and those on other nodes: who owns the partition is not ours to know."""
    bus.hear(topic, lambda _: wake.set())

    def signal() -> None:
        wake.set()
        bus.tell(topic, b"")

    return signal


async def make_queues(router: Router, store: Store, planned: Sequence[PlannedChannel], clock: Callable[[], datetime]) -> None:
    """A queue that a channel names and that is not there yet is made: the configuration is enough to begin with."""
    wanted = {plan.section.queue for plan in planned if plan.section.queue}
    have = {queue.name for queue in await store.view(lambda tx: tx.queues.all())}
    for name in sorted(wanted - have):
        # Another node that starts at the same moment may be quicker.
        with contextlib.suppress(Conflict, Refused):
            await router.handle(PutQueue(id=command_id(clock()), actor=GATEWAY, name=name))
        structlog.get_logger("wiring").info("queue made, because a channel names it", queue=name)


def _note_failed(metrics: Metrics) -> Callable[[Recorded, Exception], None]:
    def note(recorded: Recorded, error: Exception) -> None:
        metrics.routing_failed.inc()
        log = structlog.get_logger("route")
        log.error("an event could not be routed and was passed over", pos=recorded.pos, type=recorded.entry.type, exc_info=error)

    return note
