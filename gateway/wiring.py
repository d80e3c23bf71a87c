"""The only place where concrete classes meet: a configuration becomes a running gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp
import structlog
from msgspec.structs import replace

from config import Config
from connectors.contract import ClientContext, FileReader
from gateway.channels import PlannedChannel, plan_channels
from gateway.crashpoint import CrashPoints
from gateway.fetch import GuardedFetcher
from gateway.files import FileStore
from gateway.hub import Hub
from gateway.keys import secret_key
from gateway.metrics import Metrics
from gateway.services import Channel, Services
from gateway.work.actor import GATEWAY, command_id
from gateway.work.listen import ListenWorker, is_receiver
from gateway.work.media import MediaWorker
from gateway.work.outbox import OutboxWorker
from gateway.work.route import RouteWorker
from gateway.work.supervise import Supervisor, Worker
from gateway.work.tick import TickWorker
from routing.command import PutQueue
from routing.router import Router, Signals
from routing.rules import Rules
from storage import open_store, utc_now
from storage.protocol import Store
from storage.record import Recorded

#: Together with the web server's own, below the 10 s that a stop may take.
STOP_SECONDS: Final = 6.0


def database_url(config: Config) -> str:
    """Address of the database, for ``storage.open_store``."""
    return config.storage.url or "sqlite://" + quote(str((Path(config.data_dir) / "sportello.db").absolute()))


def rules_of(config: Config, planned: Sequence[PlannedChannel]) -> Rules:
    """What the operator decided about routing."""
    return Rules(
        channels={channel.id: channel.rules for channel in planned},
        reopen_within=timedelta(seconds=config.routing.reopen_within),
        reply_life=timedelta(seconds=config.routing.reply_life),
    )


@contextlib.asynccontextmanager
async def open_gateway(
    config: Config,
    *,
    clock: Callable[[], datetime] = utc_now,
    crash: CrashPoints | None = None,
    on_fatal: Callable[[BaseException], None] | None = None,
    workers: bool = True,
) -> AsyncIterator[Services]:
    """Everything but the web server, running (``workers=False``: standing). Two of them can live in one process.

    ``on_fatal`` is called when the disk can no longer be trusted: end the process then. Raises ConfigError, storage errors,
    ``keys.BadKey``; then nothing is left open.
    """
    planned = plan_channels(config)
    config, data_dir = _settle(config)
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(database_url(config), clock=clock, on_fatal=on_fatal)
        stack.push_async_callback(store.close)
        files = FileStore(data_dir / "media")
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()))
        fetcher = GuardedFetcher(config.media.allow_private_hosts)
        stack.push_async_callback(fetcher.close)
        channels: dict[str, Channel] = {}
        for plan in planned:
            channels[plan.id] = plan.open(ClientContext(session=session, channel=plan.id, read_file=_file_reader(store, files)))
            stack.push_async_callback(channels[plan.id].client.close)
        outbox_wake, media_wake = asyncio.Event(), asyncio.Event()
        metrics = Metrics()
        signals = Signals(outbox=outbox_wake.set, media=media_wake.set, failed=_note_failed(metrics))
        services = Services(
            config=config,
            store=store,
            router=Router(store, rules_of(config, planned), clock, signals),
            channels=channels,
            hub=Hub(store),
            files=files,
            metrics=metrics,
            outbox_wake=outbox_wake,
            media_wake=media_wake,
            clock=clock,
            data_dir=data_dir,
            crash=crash or CrashPoints(),
        )
        await make_queues(services.router, store, planned, clock)
        if workers:
            supervisor = Supervisor(services.metrics)
            stack.push_async_callback(supervisor.stop, STOP_SECONDS)
            for worker in workers_of(services, fetcher):
                supervisor.start(worker)
        yield services


def _settle(config: Config) -> tuple[Config, Path]:
    """The data folder made, private, and the secret key filled in."""
    data_dir = Path(config.data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if config.server.secret_key:
        return config, data_dir
    return replace(config, server=replace(config.server, secret_key=secret_key(data_dir))), data_dir


def workers_of(services: Services, fetcher: GuardedFetcher) -> list[Worker]:
    """Everything that runs in the background."""
    found = [
        Worker("hub", services.hub.run),
        Worker("route", RouteWorker(services).run),
        Worker("outbox", OutboxWorker(services).run),
        Worker("media", MediaWorker(services, fetcher).run),
        Worker("tick", TickWorker(services).run),
    ]
    found += [
        Worker(f"listen {channel.id}", ListenWorker(services, channel).run)
        for channel in services.channels.values()
        if is_receiver(channel)
    ]
    return found


async def make_queues(router: Router, store: Store, planned: Sequence[PlannedChannel], clock: Callable[[], datetime]) -> None:
    """A queue that a channel names and that is not there yet is made: the configuration is enough to begin with."""
    wanted = {plan.section.queue for plan in planned if plan.section.queue}
    have = {queue.name for queue in await store.view(lambda tx: tx.queues.all())}
    for name in sorted(wanted - have):
        await router.handle(PutQueue(id=command_id(clock()), actor=GATEWAY, name=name))
        structlog.get_logger("wiring").info("queue made, because a channel names it", queue=name)


def _file_reader(store: Store, files: FileStore) -> FileReader:
    async def read_file(stored: str) -> bytes:
        file = await store.view(lambda tx: tx.files.get(stored))
        if file is None:
            raise FileNotFoundError(f"no stored file {stored}")
        return await files.read(file.sha256)

    return read_file


def _note_failed(metrics: Metrics) -> Callable[[Recorded, Exception], None]:
    def note(recorded: Recorded, error: Exception) -> None:
        metrics.routing_failed.inc()
        log = structlog.get_logger("route")
        log.error("an event could not be routed and was passed over", pos=recorded.pos, type=recorded.entry.type, exc_info=error)

    return note
