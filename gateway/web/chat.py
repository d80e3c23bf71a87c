"""The web chat's own road: visitors get a signed token, and talk over a WebSocket that ends in the same intake as all webhooks."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated, Final

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Meta, Struct, structs

from config.secret import Secret
from connectors.contract import Request
from connectors.webchat import Settings as WebchatSettings
from connectors.webchat.inbound import MAX_FRAME, TOKEN_HEADER, USER_HEADER
from connectors.webchat.visitor import USER_PREFIX, Claims, Visitor, read_jwt, sign_token
from gateway.credentials import new_secret
from gateway.intake import take_in
from gateway.services import Channel, Services
from gateway.web import live
from gateway.web.access import refuse_token_in_url
from gateway.web.dispatch import read_json
from gateway.web.errors import Refusal
from gateway.web.live import BAD_CREDENTIAL, Closing, SocketWire
from gateway.web.route import Input
from gateway.web.signing import derive_key
from gateway.web.state import STATE, WebState
from gateway.web.strict_json import BadJson, decode
from gateway.web.visitor_door import address_of, allowed_origin, bearer, channel_of, for_pages, visitor_of
from gateway.web.visitor_talk import SLOW, Talk

_KIND: Final = "webchat"
_MAX_POS: Final = 2**53
_NAME_CHARS: Final = 100


class NewVisitor(Input, frozen=True, kw_only=True):
    """All optional: without anything a new anonymous visitor begins."""

    #: A JSON Web Token (HS256) by which the shop's own server says who its user is.
    jwt: Annotated[str, Meta(max_length=2048)] = ""


class Identify(Input, frozen=True, kw_only=True):
    """Who the visitor is, by the shop's own server: a JSON Web Token (HS256)."""

    jwt: Annotated[str, Meta(min_length=1, max_length=2048)]


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


async def socket(request: web.Request) -> web.StreamResponse:
    """``GET /chat/v1/{channel}/socket``."""
    state = request.app[STATE]
    refuse_token_in_url(request)
    if set(request.query) - {"after"}:
        raise Refusal(400, "bad_query", "Only after is known here.")
    channel = channel_of(request, state)
    allowed_origin(request, state, channel)
    upgraded = await live.upgrade(request, MAX_FRAME)
    wire = SocketWire(upgraded, SLOW)
    with state.services.metrics.feed_subscribers.labels("visitor").track_inprogress():
        try:
            hello = _read_hello(await live.first_frame(upgraded))
            visitor = _introduced(state, channel, hello.token)
            talk = Talk(state.services, channel, visitor, hello.token, wire)
            heard = talk.listen(_messages(upgraded))
            closing = await live.first_of(state, talk.show(hello.after), talk.overhear(), heard, live.keep_alive(wire))
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


class Chats(Mapping[str, Channel]):
    """The enabled web chats, by id. The secret that one has to derive may not be known yet: then asking for it raises Unavailable."""

    def __init__(self, services: Services) -> None:
        self._key = services.config.server.secret_key
        self._plain = {one.id: one for one in services.channels.values() if one.enabled and one.connector.kind == _KIND}
        self._complete: dict[str, Channel] = {}

    def __getitem__(self, name: str) -> Channel:
        if name not in self._complete:
            self._complete[name] = with_secret(self._plain[name], self._key)
        return self._complete[name]

    def __contains__(self, name: object) -> bool:
        return name in self._plain

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)


def chat_channels(services: Services) -> Mapping[str, Channel]:
    """The enabled web chats, by id."""
    return Chats(services)


async def _new_session(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/sessions``."""
    _count(request, state)
    body = decode(await read_json(request), NewVisitor)
    settings, now = channel.settings, state.services.clock().timestamp()
    name = USER_PREFIX + _claims(body.jwt, settings, channel.id, now).sub if body.jwt else new_secret()
    return _session(channel, Visitor(visitor=name, channel=channel.id, iat=int(now)))


new_session: Final = for_pages(_new_session)


async def _identify(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/identify``: with the visitor's own token *and* the shop's word for who it is.

    What was said before is joined to the user's customer, once for ever: if an agent undoes that, saying it again changes nothing.
    """
    _count(request, state)
    token, visitor = bearer(request, state, channel)
    body = decode(await read_json(request), Identify)
    now = state.services.clock()
    claims = _claims(body.jwt, channel.settings, channel.id, now.timestamp())
    user = Visitor(visitor=USER_PREFIX + claims.sub, channel=channel.id, iat=int(now.timestamp()))
    if visitor.named and visitor.visitor != user.visitor:
        raise Refusal(409, "already_identified", "This token is another user's. Begin a new session with the signed user.")
    if not visitor.named:
        frame = {"type": "identify", "id": _frame_id(visitor, user), "name": claims.name.strip()[:_NAME_CHARS]}
        arrival = Request(
            method="POST",
            url=f"{state.services.config.public_url}/chat/v1/{channel.id}/identify",
            headers={TOKEN_HEADER: token, USER_HEADER: sign_token(user, channel.settings.secret)},
            body=msgspec.json.encode(frame),
            received_at=now,
        )
        await take_in(state.services, channel, arrival)
    return _session(channel, user)


identify: Final = for_pages(_identify)


def _frame_id(visitor: Visitor, user: Visitor) -> str:
    return hashlib.blake2b(f"{visitor.visitor}\x00{user.visitor}".encode(), digest_size=16).hexdigest()


def _session(channel: Channel, visitor: Visitor) -> web.Response:
    settings = channel.settings
    session = VisitorSession(
        token=sign_token(visitor, settings.secret),
        visitor_id=visitor.visitor,
        title=settings.title or channel.title,
        texts=Texts(greeting=settings.greeting),
    )
    return web.Response(status=201, body=msgspec.json.encode(session), content_type="application/json")


def _count(request: web.Request, state: WebState) -> None:
    """One more visitor from there. Raises Refusal 429."""
    address = f"visitor {address_of(request, state)}"
    if state.visitor_throttle.wait((address,)) > 0:
        raise Refusal(429, "too_many_visitors", "Too many new chats from here. Try again in a moment.", headers={"Retry-After": "10"})
    state.visitor_throttle.count((address,))


def _claims(jwt: str, settings: WebchatSettings, channel: str, now: float) -> Claims:
    """What the shop's server vouches for. Raises Refusal 401."""
    claims = read_jwt(jwt, settings.identity_secret, channel, now) if settings.identity_secret else "this channel knows no signed users"
    if isinstance(claims, str):
        raise Refusal(401, "bad_jwt", f"The signed user was not accepted: {claims}.", field="$.jwt")
    return claims


def _read_hello(frame: bytes) -> Hello:
    try:
        hello = decode(frame, Hello)
    except BadJson:
        raise Closing(BAD_CREDENTIAL, "the first frame must be hello with a token") from None
    if hello.type != "hello":
        raise Closing(BAD_CREDENTIAL, "the first frame must be hello with a token")
    return hello


def _introduced(state: WebState, channel: Channel, token: str) -> Visitor:
    visitor = visitor_of(state, channel, token)
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
