"""Serves a gateway over HTTP until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from msgspec.structs import replace

from config import Config
from gateway.admin import Admin, listen_for_orders
from gateway.app import create_app, create_operators_app
from gateway.backup import backing_up
from gateway.crashpoint import CrashPoints
from gateway.keys import BadKey
from gateway.listener import BACKLOG, CannotListen, bind, share
from gateway.patience import PatientSite
from gateway.poison import watch_the_time
from gateway.processes import STOP_SECONDS, Lifeline, Seat
from gateway.reprocess import reprocess
from gateway.services import Services
from gateway.web.nodes import node_views
from gateway.web.shapes import NodeView
from gateway.web.state import STATE
from gateway.wiring import open_gateway
from storage.errors import SchemaError

#: Requests under way get so long to end when the server stops; the workers have their own time after it.
DRAIN_SECONDS: Final = 3.0


#: What may be found when a database that was away comes back.
_UNUSABLE: Final = (SchemaError, BadKey)


class DiskLost(Exception):
    """The disk can no longer be trusted: what it said was kept may not be. The process has to end, and be started anew."""


async def _nothing(services: Services) -> None:
    del services


def _as_it_is(config: Config) -> Config:
    return config


def _no_more(app: web.Application, public_url: str) -> None:
    del app, public_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What differs between a plain server, the demo and a test."""

    #: The demo's pages are shown.
    demo: bool = False
    #: The last word on the configuration, once the port is known.
    prepare: Callable[[Config], Config] = _as_it_is
    #: Adds to the application, which will have this public address, before it starts.
    mount: Callable[[web.Application, str], None] = _no_more
    #: Called when requests are answered.
    ready: Callable[[Services], Awaitable[None]] = _nothing
    crash: CrashPoints = field(default_factory=CrashPoints)
    #: This process is one of several, started by a parent.
    seat: Seat | None = None


async def run_gateway(config: Config, occasion: Occasion | None = None, stop: asyncio.Event | None = None) -> None:
    """Serve until ``stop`` is set; without one, until SIGTERM or SIGINT. What was begun may end, within 10 s.

    Raises CannotListen, DiskLost, and what ``open_gateway`` raises; then nothing is left open.
    """
    occasion = occasion or Occasion()
    end = _End()
    open_socket = bind if occasion.seat is None else share
    with contextlib.closing(open_socket(config)) as listener, _signals(end, wanted=stop is None), _lifeline(end, config, occasion.seat):
        config = occasion.prepare(_with_port(config, listener))
        async with (
            open_gateway(config, crash=occasion.crash, on_fatal=end.fail, may_be_away=True) as services,
            _orders(services),
            contextlib.AsyncExitStack() as stack,
        ):
            app = _application(services, occasion)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_SECONDS)
            await runner.setup()
            try:
                await PatientSite(runner, listener, backlog=BACKLOG).start()
                await stack.enter_async_context(_figures(app, config))
                structlog.get_logger("server").info("ready", url=config.public_url, channels=sorted(services.channels))
                await occasion.ready(services)
                await end.wait(stop)
                structlog.get_logger("server").info("stopping")
                app[STATE].leaving.set()
                await asyncio.sleep(0 if end.failed else config.server.drain)
            finally:
                await runner.cleanup()
    end.raise_failure()


class _End:
    """Why and when the gateway stops."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Is there no time for good manners?"""
        return self._failure is not None

    def tell(self) -> None:
        """Stop in good order."""
        self._told.set()

    def fail(self, error: BaseException) -> None:
        """Stop because the disk failed, or because the database that was waited for must not be used."""
        what = "the database cannot be used; ending" if isinstance(error, _UNUSABLE) else "the disk can no longer be trusted; ending"
        structlog.get_logger("server").critical(what, error=str(error))
        self._failure = error
        self._told.set()

    async def wait(self, stop: asyncio.Event | None) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._told, stop) if event is not None]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    def raise_failure(self) -> None:
        if isinstance(self._failure, _UNUSABLE):
            raise self._failure
        if self._failure is not None:
            raise DiskLost(f"the disk failed ({self._failure}): check it, then start again; what was answered is kept") from self._failure


@contextlib.contextmanager
def _signals(end: _End, *, wanted: bool) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT) if wanted else ()
    loop = asyncio.get_running_loop()
    if wanted:
        watch_the_time()
    for number in numbers:
        loop.add_signal_handler(number, end.tell)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _lifeline(end: _End, config: Config, seat: Seat | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if seat is None else Lifeline(seat, config.server.drain + STOP_SECONDS).watched(end.tell)


@contextlib.asynccontextmanager
async def _figures(app: web.Application, config: Config) -> AsyncIterator[None]:
    """This process's own figures, on a port that no other process shares; nothing without ``node.metrics_port``."""
    if not config.node.metrics_port:
        yield
        return
    port = config.node.metrics_port + config.node.slot
    try:
        listener = bind(replace(config, server=replace(config.server, host="127.0.0.1", port=port)))
    except CannotListen as error:
        raise CannotListen(f"cannot listen on 127.0.0.1:{port} for figures: choose another node.metrics_port") from error
    with contextlib.closing(listener):
        runner = web.AppRunner(create_operators_app(app), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            await runner.cleanup()


def _with_port(config: Config, listener: socket.socket) -> Config:
    """Port 0 becomes the one that was given."""
    return replace(config, server=replace(config.server, port=listener.getsockname()[1]))


def _application(services: Services, occasion: Occasion) -> web.Application:
    app = create_app(services, demo=occasion.demo)
    occasion.mount(app, services.config.public_url)
    return app


@contextlib.asynccontextmanager
async def _orders(services: Services) -> AsyncIterator[None]:
    if services.config.node.slot:
        # One process of each data folder takes orders.
        yield
        return
    admin = admin_of(services)
    async with listen_for_orders(admin, Path(services.config.data_dir)):
        yield


def admin_of(services: Services) -> Admin:
    """The command line's way into this gateway."""

    async def again(channel: str) -> dict[str, int]:
        return await reprocess(services, channel)

    async def nodes() -> list[NodeView]:
        return await node_views(services)

    return Admin(
        store=services.store,
        router=services.router,
        clock=services.clock,
        public_url=services.config.public_url,
        reprocess=again,
        nodes=nodes,
        back_up=backing_up(services),
    )
