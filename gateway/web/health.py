"""For operators and their machines: alive, ready, figures."""

import asyncio
from typing import Final

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from gateway.credentials import Kind
from gateway.services import Services
from gateway.spool import figures_of
from gateway.web.access import ADMINS, principal_of
from gateway.web.errors import Refusal, not_found
from gateway.web.route import encode
from gateway.web.state import STATE
from storage.errors import StorageError
from storage.held import SENDING_HELD
from storage.protocol import Transaction

_READY_SECONDS: Final = 1.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FORWARDED: Final = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")


class Health(Struct, frozen=True, kw_only=True):
    """``status`` is ``ok`` or what is wrong."""

    status: str
    #: Newest position of the stream, and how far the feeds are behind it.
    pos: int = 0
    feed_lag: int = 0
    #: It works, but somebody has to look: messages wait in the spool, or a spool was damaged, or the bus is away.
    degraded: bool = False
    #: Messages in this node's spool, how long the oldest has waited (seconds), and how full it is (percent).
    spooled: int = 0
    spool_oldest: float = 0.0
    spool_percent: int = 0
    #: Messages in the database that wait until all nodes have handed over what they took while it was away.
    gathered: int = 0
    #: No reply is sent until an operator releases it: ``sportello outbox status`` says why.
    sending_held: bool = False
    #: What is wrong with the bus; empty if nothing is, or there is none.
    bus: str = ""
    #: Damaged spools that are to be looked at and removed.
    spools_set_aside: int = 0


async def healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's shape
    """The process answers."""
    return _answer(200, Health(status="ok"))


async def readyz(request: web.Request) -> web.Response:
    """The store answers within a second; or it is away, and the spool takes what providers deliver."""
    state = request.app[STATE]
    services = state.services
    spool = spool_health(services)
    if state.leaving.is_set():
        return _answer(503, replace(spool, status="stopping"))
    spool = replace(spool, bus=services.bus.state, degraded=spool.degraded or bool(services.bus.state))
    try:
        async with asyncio.timeout(_READY_SECONDS):
            head, held = await services.store.view(_head_and_held)
    except (StorageError, TimeoutError):
        if services.spooling is None or services.spooling.spool.full:
            why = "the database does not answer" + ("" if services.spooling is None else ", and the spool is full")
            return _answer(503, replace(spool, status=why))
        return _answer(200, replace(spool, status="the database does not answer; messages are kept in the spool", degraded=True))
    lag = max(0, head - services.hub.pos) if "edge" in services.config.node.roles else 0
    return _answer(200, replace(spool, pos=head, feed_lag=lag, sending_held=held, degraded=spool.degraded or held))


async def metrics(request: web.Request) -> web.Response:
    """Figures for Prometheus: from this machine without more, from elsewhere with an admin's API token."""
    state = request.app[STATE]
    direct = request.remote in _LOOPBACK and not any(name in request.headers for name in _FORWARDED)
    if not direct:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise not_found()
        principal = await principal_of(state, token.strip(), frozenset({Kind.TOKEN}))
        if principal.agent.role not in ADMINS:
            raise Refusal(403, "forbidden", "The figures are for admins.")
    figures = state.services.metrics
    return web.Response(body=figures.render(), headers={"Content-Type": figures.content_type})


async def _head_and_held(tx: Transaction) -> tuple[int, bool]:
    return await tx.stream.head(), bool(await tx.settings.get(SENDING_HELD))


def spool_health(services: Services) -> Health:
    """What is to be said of the spool, if there is one."""
    if services.spooling is None:
        return Health(status="ok")
    spool = services.spooling.spool
    figures = figures_of(spool, services.clock())
    spooled = sum(figures.events.values())
    return Health(
        status="ok",
        degraded=spooled > 0 or figures.set_aside > 0 or services.spooling.behind > 0,
        spooled=spooled,
        spool_oldest=round(figures.oldest_seconds, 3),
        spool_percent=round(spool.level * 100),
        gathered=services.spooling.behind,
        spools_set_aside=figures.set_aside,
    )


def _answer(status: int, health: Health) -> web.Response:
    return web.Response(status=status, body=encode(health), content_type="application/json")
