"""The gateway's web application: routes, checks, limits. Everything it needs comes in as :class:`gateway.services.Services`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from gateway.passwords import Passwords
from gateway.services import Services
from gateway.web import asyncapi, openapi
from gateway.web.chat import chat_channels
from gateway.web.courtesies import Courtesies
from gateway.web.dispatch import bind
from gateway.web.endpoints import ENDPOINTS, OPERATORS
from gateway.web.file_origin import keep_apart
from gateway.web.middleware import add_headers, answer_errors
from gateway.web.operations import ROUTES
from gateway.web.picture_fetch import RemotePictures
from gateway.web.route import PREFIX, encode
from gateway.web.signing import Cursors
from gateway.web.state import STATE, WebState
from gateway.web.template_cache import Templates
from gateway.web.throttle import Throttle

_FREE_LOGINS: Final = 5
_FREE_FAILURES: Final = 50
_FREE_VISITORS: Final = 120
_STOP_SECONDS: Final = 2.0


def create_app(services: Services, *, demo: bool = False) -> web.Application:
    """The application for one gateway. ``demo`` shows the shop and phone pages and lets the gateway's own pages chat.

    A node without the role ``edge`` answers only operators and their machines.
    """
    edge = "edge" in services.config.node.roles
    app = web.Application(middlewares=[answer_errors, keep_apart(services.config)], client_max_size=services.config.server.max_body)
    app[STATE] = WebState(
        services=services,
        started=services.clock(),
        demo=demo,
        chats=chat_channels(services),
        courtesies=Courtesies(services),
        templates=Templates(services),
        remote_pictures=RemotePictures(services.config),
        cursors=Cursors(services.config.server.secret_key),
        passwords=Passwords(),
        login_throttle=Throttle(services.clock, free=_FREE_LOGINS),
        flood_throttle=Throttle(services.clock, free=_FREE_FAILURES),
        visitor_throttle=Throttle(services.clock, free=_FREE_VISITORS, forget=timedelta(minutes=1)),
    )
    for endpoint in ENDPOINTS:
        if edge or endpoint.tag == OPERATORS:
            app.router.add_route(endpoint.method, endpoint.path, endpoint.handler)
    if edge:
        for route in ROUTES:
            app.router.add_route(route.method, PREFIX + route.path, bind(route))
        app.router.add_route("GET", "/api/openapi.json", _document(openapi.describe(services.config.public_url)))
        app.router.add_route("GET", "/api/asyncapi.json", _document(asyncapi.describe(services.config.public_url)))
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_stop)
    app.cleanup_ctx.append(_background)
    return app


def create_operators_app(main: web.Application) -> web.Application:
    """Health and figures of the same gateway, for another port."""
    app = web.Application(middlewares=[answer_errors])
    app[STATE] = main[STATE]
    for endpoint in ENDPOINTS:
        if endpoint.tag == OPERATORS:
            app.router.add_route(endpoint.method, endpoint.path, endpoint.handler)
    app.on_response_prepare.append(add_headers)
    return app


def _document(content: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = encode(content)

    async def serve(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's shape
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-cache"})

    return serve


async def _stop(app: web.Application) -> None:
    """Open sockets say "restart" and close, so that browsers come back with their cursors."""
    app[STATE].stopping.set()


async def _background(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[STATE].background.stop(_STOP_SECONDS)
    await app[STATE].remote_pictures.close()
