"""For operators and their machines: alive, ready, figures."""

import asyncio
from typing import Final

from aiohttp import web
from msgspec import Struct

from gateway.credentials import Kind
from gateway.web.access import ADMINS, principal_of
from gateway.web.errors import Refusal, not_found
from gateway.web.route import encode
from gateway.web.state import STATE
from storage.errors import StorageError

_READY_SECONDS: Final = 1.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FORWARDED: Final = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")


class Health(Struct, frozen=True, kw_only=True):
    """``status`` is ``ok`` or what is wrong."""

    status: str
    #: Newest position of the stream, and how far the feeds are behind it.
    pos: int = 0
    feed_lag: int = 0


async def healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's shape
    """The process answers."""
    return _answer(200, Health(status="ok"))


async def readyz(request: web.Request) -> web.Response:
    """The store answers within a second."""
    services = request.app[STATE].services
    try:
        async with asyncio.timeout(_READY_SECONDS):
            head = await services.store.view(lambda tx: tx.stream.head())
    except (StorageError, TimeoutError):
        return _answer(503, Health(status="the database does not answer"))
    return _answer(200, Health(status="ok", pos=head, feed_lag=max(0, head - services.hub.pos)))


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


def _answer(status: int, health: Health) -> web.Response:
    return web.Response(status=status, body=encode(health), content_type="application/json")
