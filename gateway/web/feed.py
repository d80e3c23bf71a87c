"""The agents' live feed: events as they are committed, over a WebSocket or as Server-Sent Events, from any position.

A frame holds the stored JSON as it is. What an agent may see is decided for each event with the scope of that moment: an
event about their own membership or role changes it before the next event is looked at.
"""

import asyncio
import contextlib
from datetime import datetime
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct, structs

from config.address import origin_of
from gateway.credentials import CREDENTIAL_ENDED, SESSION_IDLE, Kind, spend
from gateway.hub import CursorLost, Overrun
from gateway.web import live
from gateway.web.access import Principal, authenticate, cookie_of, load_principal, principal_of, refuse_token_in_url
from gateway.web.errors import Refusal
from gateway.web.live import Closing, SocketWire, Wire
from gateway.web.state import STATE, WebState
from gateway.web.strict_json import BadJson, decode
from gateway.web.throttle import Rate
from storage.protocol import Transaction
from storage.record import Recorded

TOO_SLOW: Final = 4008
_MAX_FRAME: Final = 4096
_FRAMES_PER_SECOND: Final = 20.0
_MAX_POS: Final = 2**53
_MEMBER_ADDED: Final = "queue.member_added"
#: Events that may change what their agent may see.
_ACCESS_EVENTS: Final = frozenset({_MEMBER_ADDED, "queue.member_removed", "agent.changed", CREDENTIAL_ENDED})


class FirstFrame(Struct, frozen=True, forbid_unknown_fields=True):
    """A client without a cookie says first who it is: by a ticket, or an API token."""

    ticket: str = ""
    token: str = ""


class Ended(Struct):
    """Data of ``credential.ended``."""

    credential_id: str


async def feed(request: web.Request) -> web.StreamResponse:
    """``GET /api/v1/feed``."""
    state = request.app[STATE]
    refuse_token_in_url(request)
    _check_origin(request, state)
    after = _after(request)
    if live.is_upgrade(request):
        return await _socket(request, state, after)
    if "text/event-stream" not in request.headers.get("Accept", ""):
        raise Refusal(406, "not_acceptable", "Connect by WebSocket, or send Accept: text/event-stream.")
    return await _events(request, state, after, await authenticate(request, state))


class Feed:
    """One agent's view of the stream, going out on one wire."""

    def __init__(self, state: WebState, principal: Principal, wire: Wire) -> None:
        self._state = state
        self._principal = principal
        self._wire = wire

    async def run(self, after: int | None) -> None:
        """Send everything after ``after`` (None: from now on), for ever. Raises Closing."""
        services = self._state.services
        pos = after if after is not None else await services.hub.head()
        await self._wire.send(live.encode({"type": "hello", "pos": pos}))
        while True:
            try:
                async with contextlib.aclosing(services.hub.follow(pos)) as batches:
                    async for batch in batches:
                        for recorded in batch:
                            await self._show(recorded)
            except CursorLost as lost:
                # The client loads everything anew, at least as new as this position, and goes on from there.
                pos = await services.hub.head()
                await self._resync(str(lost))
            except Overrun:
                raise Closing(TOO_SLOW, "too slow") from None

    async def overhear(self) -> None:
        """Pass on who is typing in conversations that the agent may see; such a frame has no position."""
        with self._state.services.hub.whispers.listen() as listener:
            while True:
                whisper = await listener.next()
                if not whisper.identity and self._principal.scope.admits(queues=(whisper.queue,)):
                    frame = {"type": "typing", "conversation_id": whisper.conversation_id, "until": whisper.until}
                    await self._wire.send(live.encode(frame))

    async def check(self) -> None:
        """Now and then: is the credential still alive? Sessions end by time, too."""
        while True:
            await asyncio.sleep(live.PING_SECONDS)
            await self._refresh()

    async def _show(self, recorded: Recorded) -> None:
        entry = recorded.entry
        if entry.type in _ACCESS_EVENTS and entry.agent == self._principal.agent.id:
            await self._access_changed(recorded)
        if entry.type == CREDENTIAL_ENDED or entry.channel:
            return
        if self._principal.scope.admits(queues=entry.queues, identity=entry.identity, agent=entry.agent):
            await self._wire.send(frame_of(recorded), recorded.pos)

    async def _access_changed(self, recorded: Recorded) -> None:
        if recorded.entry.type == CREDENTIAL_ENDED:
            if msgspec.json.decode(recorded.entry.data, type=Ended).credential_id == self._principal.credential_id:
                raise Closing(live.BAD_CREDENTIAL, "logged out")
            return
        before = self._principal.scope
        await self._refresh()
        if recorded.entry.type == _MEMBER_ADDED or (self._principal.scope.everything and not before.everything):
            await self._resync("you see more than before")

    async def _refresh(self) -> None:
        now = self._state.services.clock()
        fresh = await self._state.services.looks(lambda tx: _reload(tx, self._principal, now))
        if fresh is None:
            raise Closing(live.BAD_CREDENTIAL, "not logged in any more")
        self._principal = fresh

    async def _resync(self, reason: str) -> None:
        await self._wire.send(live.encode({"type": "resync_required", "reason": reason}))


def frame_of(recorded: Recorded) -> bytes:
    """The frame of an event; its data are the bytes that are stored."""
    entry = recorded.entry
    head = b'{"type":%b,"pos":%d,"at":%b,"data":' % (live.encode(entry.type), recorded.pos, live.encode(entry.at))
    return head + entry.data + b"}"


class EventWire:
    """A stream of Server-Sent Events."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def send(self, frame: bytes, pos: int = 0) -> None:
        """Send one event; what has no position carries no id, so that a browser keeps the last one."""
        identifier = b"id: %d\n" % pos if pos else b""
        try:
            async with asyncio.timeout(live.SEND_SECONDS):
                await self._response.write(b"%bdata: %b\n\n" % (identifier, frame))
        except TimeoutError:
            raise Closing(TOO_SLOW, "too slow") from None
        except ConnectionError:
            raise Closing(int(WSCloseCode.GOING_AWAY), "gone") from None


async def say_restart(response: web.StreamResponse, closing: Closing) -> None:
    """Tell an EventSource when to come back, in its own words; its next pause is that long."""
    if closing.retry_after:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(live.HELLO_SECONDS):
                await response.write(b"retry: %d\n\n" % round(closing.retry_after * 1000))


async def _socket(request: web.Request, state: WebState, after: int | None) -> web.StreamResponse:
    known: Principal | None = None
    refused = False
    if "Authorization" in request.headers or cookie_of(request, state):
        try:
            known = await authenticate(request, state)
        except Refusal:
            # Told after the upgrade: a browser cannot see why one was refused.
            refused = True
    socket = await live.upgrade(request, _MAX_FRAME)
    wire = SocketWire(socket, TOO_SLOW)
    with state.services.metrics.feed_subscribers.labels("agent").track_inprogress():
        try:
            principal = known or await _introduce(socket, state, refused=refused)
            stream = Feed(state, principal, wire)
            async with state.services.attendance.here(principal.agent.id):
                closing = await live.first_of(
                    state, stream.run(after), stream.overhear(), stream.check(), live.keep_alive(wire), _listen(socket, wire)
                )
        except Closing as reason:
            closing = reason
    await live.close(socket, closing, TOO_SLOW)
    return socket


async def _events(request: web.Request, state: WebState, after: int | None, principal: Principal) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    wire = EventWire(response)
    stream = Feed(state, principal, wire)
    attendance, metrics = state.services.attendance, state.services.metrics
    with metrics.feed_subscribers.labels("agent").track_inprogress():
        async with attendance.here(principal.agent.id):
            closing = await live.first_of(state, stream.run(after), stream.overhear(), stream.check(), live.keep_alive(wire))
    await say_restart(response, closing)
    if closing.code == TOO_SLOW and request.transport is not None:
        request.transport.abort()
    return response


async def _introduce(socket: web.WebSocketResponse, state: WebState, *, refused: bool) -> Principal:
    """Who is it, by the first frame? Raises Closing 4401."""
    if refused:
        raise Closing(live.BAD_CREDENTIAL, "bad credential")
    try:
        frame = decode(await live.first_frame(socket), FirstFrame)
        if frame.token:
            return await principal_of(state, frame.token, frozenset({Kind.TOKEN}))
    except (BadJson, Refusal):
        raise Closing(live.BAD_CREDENTIAL, "bad credential") from None
    now = state.services.clock()
    found = await state.services.notes(lambda tx: _by_ticket(tx, frame.ticket, now))
    if found is None:
        raise Closing(live.BAD_CREDENTIAL, "bad credential")
    return found


async def _by_ticket(tx: Transaction, ticket: str, now: datetime) -> Principal | None:
    credential = await spend(tx, ticket, Kind.TICKET, now)
    if credential is None:
        return None
    # The feed lives as long as the session or token that asked for the ticket.
    principal = await load_principal(tx, credential)
    return await _reload(tx, structs.replace(principal, credential_id=credential.label), now) if principal else None


async def _reload(tx: Transaction, principal: Principal, now: datetime) -> Principal | None:
    """The principal as things are now; None when the credential or the agent has ended."""
    for kind in (Kind.SESSION, Kind.TOKEN):
        for credential in await tx.agents.credentials(principal.agent.id, kind):
            if credential.id == principal.credential_id:
                idle = kind is Kind.SESSION and credential.used_at + SESSION_IDLE <= now
                return None if idle or credential.expires_at <= now else await load_principal(tx, credential)
    return None


async def _listen(socket: web.WebSocketResponse, wire: Wire) -> None:
    """There is nothing to say to a feed: it cannot be steered, only closed."""
    loop = asyncio.get_running_loop()
    rate = Rate(_FRAMES_PER_SECOND, _FRAMES_PER_SECOND, loop.time())
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return
        if not rate.take(loop.time()):
            raise Closing(live.ABUSE, "too many frames")
        match message.type:
            case WSMsgType.PING:
                await socket.pong(message.data)
            case WSMsgType.BINARY:
                raise Closing(live.NO_BINARY, "text frames only")
            case WSMsgType.TEXT:
                await wire.send(live.encode({"type": "error", "code": "read_only", "detail": "A feed takes no commands."}))


def _check_origin(request: web.Request, state: WebState) -> None:
    """A browser's page must be ours; a program without a cookie needs no Origin. Raises Refusal 403."""
    origin = request.headers.get("Origin")
    if origin is None and live.is_upgrade(request) and not request.cookies:
        return
    if origin is None and not live.is_upgrade(request):
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site in ("same-origin", "none"):
            return
    if origin is None or origin_of(origin) != state.origin:
        raise Refusal(403, "bad_origin", "Feeds are for the gateway's own pages, and for programs with a token.")


def _after(request: web.Request) -> int | None:
    unknown = set(request.query) - {"after"}
    text = request.headers.get("Last-Event-ID", "") or request.query.get("after", "")
    if unknown or (text and not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= _MAX_POS)):
        raise Refusal(400, "bad_query", "after must be a position, a whole number from 0.", field="after")
    return int(text) if text else None
