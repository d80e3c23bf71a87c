"""The visitor's line where WebSockets are blocked: the same frames, out as Server-Sent Events and in by POST."""

import asyncio
from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta

from connectors.webchat.inbound import MAX_FRAME
from gateway.services import Channel
from gateway.web import live
from gateway.web.dispatch import read_json, read_query
from gateway.web.errors import Refusal
from gateway.web.feed import TOO_SLOW, EventWire, say_restart
from gateway.web.live import Closing
from gateway.web.route import Input
from gateway.web.state import WebState
from gateway.web.visitor_door import allowed_origin, bearer, cors, for_pages
from gateway.web.visitor_talk import Talk

_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventsQuery(Input, frozen=True, kw_only=True):
    #: Newest position that the page has; 0: it has nothing.
    after: Annotated[int, Meta(ge=0, le=2**53)] = 0


class Gathered:
    """A wire into a list: what a frame is answered with."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    async def send(self, frame: bytes, pos: int = 0) -> None:  # noqa: ARG002 - the protocol's shape
        """Keep it."""
        self.frames.append(frame)


async def _events(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``GET /chat/v1/{channel}/events?after=<pos>``. Ends when the gateway stops or the page is too slow; the page comes back."""
    token, visitor = bearer(request, state, channel)
    query: EventsQuery = read_query(request.query, EventsQuery)
    response = web.StreamResponse(headers={**_HEADERS, **cors(allowed_origin(request, state, channel))})
    await response.prepare(request)
    wire = EventWire(response)
    talk = Talk(state.services, channel, visitor, token, wire)
    with state.services.metrics.feed_subscribers.labels("visitor").track_inprogress():
        closing = await live.first_of(state, talk.show(query.after), talk.overhear(), live.keep_alive(wire))
    await say_restart(response, closing)
    if closing.code == TOO_SLOW and request.transport is not None:
        request.transport.abort()
    return response


events: Final = for_pages(_events)


async def _frames(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/frames``: one frame; the answer holds the frames that a socket would have got for it."""
    token, visitor = bearer(request, state, channel)
    if not state.visitor_frames.take(f"{channel.id} {visitor.visitor}", asyncio.get_running_loop().time()):
        raise Refusal(429, "rate_limited", "Too many frames at once. Try again in a moment.", headers={"Retry-After": "1"})
    if (request.content_length or 0) > MAX_FRAME:
        raise _too_large()
    body = await read_json(request)
    if len(body) > MAX_FRAME:
        raise _too_large()
    gathered = Gathered()
    try:
        await Talk(state.services, channel, visitor, token, gathered).take(body)
    except Closing as closing:
        raise Refusal(401, "bad_token", closing.reason) from None
    return web.Response(body=b'{"items":[%b]}' % b",".join(gathered.frames), content_type="application/json")


frames: Final = for_pages(_frames)


def _too_large() -> Refusal:
    return Refusal(413, "too_large", f"A frame has at most {MAX_FRAME} bytes.")
