"""What all of a visitor's requests pass first: is there such a chat, may this page show it, and whose token is it?"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from connectors.webchat.visitor import Visitor, read_token
from gateway.services import Channel
from gateway.web.access import client_address, refuse_token_in_url
from gateway.web.dispatch import refuse_encoded
from gateway.web.errors import Refusal, not_found, respond_to
from gateway.web.state import STATE, WebState

_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-file-name",
    "Access-Control-Max-Age": "600",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Inner = Callable[[web.Request, WebState, Channel], Awaitable[web.StreamResponse]]


def for_pages(inner: Inner) -> Handler:
    """A handler for the scripts of allowed pages: whatever the answer, it carries CORS headers, or the page could not read why."""

    async def handle(request: web.Request) -> web.StreamResponse:
        state = request.app[STATE]
        headers: dict[str, str] = {}
        try:
            channel = channel_of(request, state)
            headers = cors(allowed_origin(request, state, channel))
            refuse_token_in_url(request)
            refuse_encoded(request)
            response = await inner(request, state, channel)
        except Exception as error:  # noqa: BLE001 - as said above
            response = respond_to(error)
        if not response.prepared:
            response.headers.update(headers)
        return response

    handle.__doc__ = inner.__doc__
    return handle


async def preflight(request: web.Request) -> web.StreamResponse:
    """``OPTIONS /chat/v1/{channel}/…``: a browser asks whether the shop's page may."""
    state = request.app[STATE]
    origin = allowed_origin(request, state, channel_of(request, state))
    return web.Response(status=204, headers={**cors(origin), **_PREFLIGHT})


def channel_of(request: web.Request, state: WebState) -> Channel:
    """The web chat in the address. Raises Refusal 404."""
    channel = state.chats.get(request.match_info["channel"])
    if channel is None:
        raise not_found()
    return channel


def allowed_origin(request: web.Request, state: WebState, channel: Channel) -> str:
    """The page's origin, if it may show this chat. Raises Refusal 403."""
    origin = request.headers.get("Origin", "")
    # Of a page on the gateway's own origin browsers send no Origin with a GET.
    if not origin and request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "same-origin":
        origin = state.origin
    allowed = {*channel.settings.origins, *([state.origin] if state.demo else [])}
    if not origin or origin not in allowed:
        raise Refusal(403, "bad_origin", "This page may not show the chat; the operator lists those that may in the channel's origins.")
    return origin


def cors(origin: str) -> dict[str, str]:
    """Headers by which the page may read the answer."""
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def visitor_of(state: WebState, channel: Channel, token: str) -> Visitor | None:
    """Whom the token names; None if it is not ours, not for this channel, or too old."""
    return read_token(token, channel.settings.secret, channel.id, state.services.clock().timestamp())


def bearer(request: web.Request, state: WebState, channel: Channel) -> tuple[str, Visitor]:
    """The visitor by the Authorization header: the token, and whom it names. Raises Refusal 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    visitor = visitor_of(state, channel, token.strip()) if scheme.lower() == "bearer" else None
    if visitor is None:
        raise Refusal(
            401, "bad_token", "This needs a visitor's token of this chat: Authorization: Bearer …", headers={"WWW-Authenticate": "Bearer"}
        )
    return token.strip(), visitor


def address_of(request: web.Request, state: WebState) -> str:
    """Where the request comes from, for counting."""
    return client_address(request, state.services.config.server.trusted_proxies)
