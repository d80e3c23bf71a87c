"""The web chat's own road: visitors get a signed token, and talk over a WebSocket that ends in the same intake as all webhooks."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Meta, Struct, structs

from config.secret import Secret
from connectors.webchat import Settings as WebchatSettings
from connectors.webchat.inbound import MAX_FRAME
from connectors.webchat.visitor import USER_PREFIX, Visitor, read_jwt, read_token, sign_token
from gateway.credentials import new_secret
from gateway.services import Channel, Services
from gateway.web import live
from gateway.web.access import client_address, refuse_token_in_url
from gateway.web.dispatch import read_json, refuse_encoded
from gateway.web.errors import Refusal, not_found, respond_to
from gateway.web.live import BAD_CREDENTIAL, Closing, SocketWire
from gateway.web.route import Input
from gateway.web.signing import derive_key
from gateway.web.state import STATE, WebState
from gateway.web.strict_json import BadJson, decode
from gateway.web.visitor_talk import SLOW, Talk

_KIND: Final = "webchat"
_MAX_POS: Final = 2**53
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type, idempotency-key",
    "Access-Control-Max-Age": "600",
}


class NewVisitor(Input, frozen=True, kw_only=True):
    """All optional: without anything a new anonymous visitor begins."""

    #: A JSON Web Token (HS256) by which the shop's own server says who its user is.
    jwt: Annotated[str, Meta(max_length=2048)] = ""


class Texts(Struct, frozen=True, kw_only=True):
    greeting: str = ""


class VisitorSession(Struct, frozen=True, kw_only=True):
    token: str
    visitor_id: str
    #: What stands at the top of the chat.
    title: str
    texts: Texts


class Hello(Input, frozen=True, kw_only=True):
    type: str
    token: Annotated[str, Meta(max_length=2048)]
    #: Newest position that the page has; 0: it has nothing.
    after: Annotated[int, Meta(ge=0, le=_MAX_POS)] = 0


async def new_session(request: web.Request) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/sessions``."""
    state = request.app[STATE]
    cors: dict[str, str] = {}
    try:
        channel = _channel(request, state)
        cors = _cors(_allowed_origin(request, state, channel))
        response = await _new_session(request, state, channel)
    except Exception as error:  # noqa: BLE001 - the answer needs its CORS headers, or the page could not read why
        response = respond_to(error)
    response.headers.update(cors)
    return response


async def preflight(request: web.Request) -> web.StreamResponse:
    """``OPTIONS /chat/v1/{channel}/sessions``: a browser asks whether the shop's page may."""
    state = request.app[STATE]
    origin = _allowed_origin(request, state, _channel(request, state))
    return web.Response(status=204, headers={**_cors(origin), **_PREFLIGHT})


async def socket(request: web.Request) -> web.StreamResponse:
    """``GET /chat/v1/{channel}/socket``."""
    state = request.app[STATE]
    refuse_token_in_url(request)
    if set(request.query) - {"after"}:
        raise Refusal(400, "bad_query", "Only after is known here.")
    channel = _channel(request, state)
    _allowed_origin(request, state, channel)
    upgraded = await live.upgrade(request, MAX_FRAME)
    wire = SocketWire(upgraded, SLOW)
    with state.services.metrics.feed_subscribers.labels("visitor").track_inprogress():
        try:
            hello = _read_hello(await live.first_frame(upgraded))
            visitor = _visitor(state, channel, hello.token)
            talk = Talk(state.services, channel, visitor, hello.token, wire)
            closing = await live.first_of(state, talk.show(hello.after), talk.listen(_messages(upgraded)), live.keep_alive(wire))
        except Closing as reason:
            closing = reason
    await live.close(upgraded, closing, SLOW)
    return upgraded


def with_secret(channel: Channel, secret_key: Secret) -> Channel:
    """A web chat without a secret of its own signs with one derived from the server's."""
    settings = channel.settings
    if not isinstance(settings, WebchatSettings) or settings.secret:
        return channel
    derived = Secret(derive_key(secret_key, f"webchat {channel.id}").hex())
    return Channel(
        id=channel.id,
        title=channel.title,
        enabled=channel.enabled,
        connector=channel.connector,
        settings=structs.replace(settings, secret=derived),
        client=channel.client,
    )


def chat_channels(services: Services) -> dict[str, Channel]:
    """The enabled web chats, by id."""
    key = services.config.server.secret_key
    return {
        channel.id: with_secret(channel, key)
        for channel in services.channels.values()
        if channel.enabled and channel.connector.kind == _KIND
    }


async def _new_session(request: web.Request, state: WebState, channel: Channel) -> web.Response:
    refuse_token_in_url(request)
    refuse_encoded(request)
    address = f"visitor {client_address(request, state.services.config.server.trusted_proxies)}"
    if state.visitor_throttle.wait((address,)) > 0:
        raise Refusal(429, "too_many_visitors", "Too many new chats from here. Try again in a moment.", headers={"Retry-After": "10"})
    state.visitor_throttle.count((address,))
    body = decode(await read_json(request), NewVisitor)
    settings, now = channel.settings, state.services.clock().timestamp()
    name = _named(body.jwt, settings, channel.id, now) if body.jwt else new_secret()
    visitor = Visitor(visitor=name, channel=channel.id, iat=int(now))
    session = VisitorSession(
        token=sign_token(visitor, settings.secret),
        visitor_id=visitor.visitor,
        title=settings.title or channel.title,
        texts=Texts(greeting=settings.greeting),
    )
    return web.Response(status=201, body=msgspec.json.encode(session), content_type="application/json")


def _named(jwt: str, settings: WebchatSettings, channel: str, now: float) -> str:
    """The visitor whom the shop's server vouches for. Raises Refusal 401."""
    claims = read_jwt(jwt, settings.identity_secret, channel, now) if settings.identity_secret else "this channel knows no signed users"
    if isinstance(claims, str):
        raise Refusal(401, "bad_jwt", f"The signed user was not accepted: {claims}.", field="$.jwt")
    return USER_PREFIX + claims.sub


def _channel(request: web.Request, state: WebState) -> Channel:
    channel = state.chats.get(request.match_info["channel"])
    if channel is None:
        raise not_found()
    return channel


def _allowed_origin(request: web.Request, state: WebState, channel: Channel) -> str:
    """The page's origin, if it may show this chat. Raises Refusal 403."""
    origin = request.headers.get("Origin", "")
    allowed = {*channel.settings.origins, *([state.origin] if state.demo else [])}
    if not origin or origin not in allowed:
        raise Refusal(403, "bad_origin", "This page may not show the chat; the operator lists those that may in the channel's origins.")
    return origin


def _cors(origin: str) -> dict[str, str]:
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def _read_hello(frame: bytes) -> Hello:
    try:
        hello = decode(frame, Hello)
    except BadJson:
        raise Closing(BAD_CREDENTIAL, "the first frame must be hello with a token") from None
    if hello.type != "hello":
        raise Closing(BAD_CREDENTIAL, "the first frame must be hello with a token")
    return hello


def _visitor(state: WebState, channel: Channel, token: str) -> Visitor:
    visitor = read_token(token, channel.settings.secret, channel.id, state.services.clock().timestamp())
    if visitor is None:
        raise Closing(BAD_CREDENTIAL, "bad token")
    return visitor


async def _messages(upgraded: web.WebSocketResponse) -> AsyncIterator[bytes | None]:
    """Text frames; None for a ping, which counts against the rate. Ends when the visitor hangs up."""
    while True:
        message = await upgraded.receive()
        match message.type:
            case WSMsgType.TEXT:
                yield str(message.data).encode("utf-8", "surrogatepass")
            case WSMsgType.BINARY:
                raise Closing(live.NO_BINARY, "text frames only")
            case WSMsgType.PING:
                with contextlib.suppress(ConnectionError):
                    await upgraded.pong(message.data)
                yield None
            case WSMsgType.PONG:
                continue
            case _:
                return
