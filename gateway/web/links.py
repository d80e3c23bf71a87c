"""Links by which a shopper goes on elsewhere and is known there: for agents to hand out, and for visitors in their chat window."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from connectors.abilities import Linker
from connectors.event import Instant
from gateway.services import Channel, Services
from gateway.web.customers import visible_customer
from gateway.web.dispatch import read_json
from gateway.web.errors import Refusal
from gateway.web.route import Call, Input, Nothing
from gateway.web.state import WebState
from gateway.web.strict_json import decode
from gateway.web.visitor_door import address_of, bearer, for_pages
from routing.link import Links
from storage.protocol import Transaction
from storage.record import Conversation


class NewLink(Input, frozen=True, kw_only=True):
    #: Id of the channel where the shopper will go on.
    channel: Annotated[str, Meta(min_length=1, max_length=128)]


class LinkAnswer(Struct, frozen=True, kw_only=True):
    """Good once, for whoever follows it first: it is for the shopper alone."""

    url: str
    channel: str
    expires_at: Instant


class Way(Struct, frozen=True, kw_only=True):
    """A channel where a chat can go on."""

    channel: str
    kind: str
    title: str


def ways_on(services: Services) -> list[Way]:
    """The channels whose chats are opened by a link that brings a word of ours along."""
    return [Way(channel=one.id, kind=one.connector.kind, title=one.title) for one in services.channels.values() if _leads_on(one)]


async def new_link(call: Call[NewLink, Nothing]) -> LinkAnswer:
    """For the customer's newest conversation that the caller may see."""
    scope = call.principal.scope

    async def newest(tx: Transaction) -> Conversation | None:
        customer = await visible_customer(tx, call.path("id"), scope)
        return next(iter(await tx.conversations.of_customer(customer.id, scope)), None)

    return await _link(call.services, call.body.channel, await call.view(newest), call.now)


async def _go_on(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/links``."""
    throttle = f"visitor {address_of(request, state)}"
    if state.visitor_throttle.wait((throttle,)) > 0:
        raise Refusal(429, "too_many_visitors", "Too many requests from here. Try again in a moment.", headers={"Retry-After": "10"})
    state.visitor_throttle.count((throttle,))
    _, visitor = bearer(request, state, channel)
    body, services = decode(await read_json(request), NewLink), state.services
    chat = await services.store.view(lambda tx: tx.conversations.latest(channel.id, visitor.identity))
    answer = await _link(services, body.channel, chat, services.clock())
    return web.Response(status=201, body=msgspec.json.encode(answer), content_type="application/json")


go_on: Final = for_pages(_go_on)


async def _link(services: Services, to: str, conversation: Conversation | None, now: datetime) -> LinkAnswer:
    """Raises Refusal 409, 422, 503."""
    channel = services.channels.get(to)
    if channel is None or not _leads_on(channel):
        ways = ", ".join(way.channel for way in ways_on(services)) or "none"
        raise Refusal(422, "no_link", f"No link leads to this channel. Those that have links: {ways}.", field="$.channel")
    if conversation is None:
        raise Refusal(409, "nothing_said", "There is no conversation yet that could go on.")
    word, until = Links(services.config.server.secret_key).make(channel.id, conversation.id, now)
    client: Any = channel.client
    try:
        url = await client.start_link(word)
    except OSError as error:
        raise Refusal(503, "unavailable", f"No link can be made now: {error}", headers={"Retry-After": "10"}) from None
    return LinkAnswer(url=url, channel=channel.id, expires_at=until)


def _leads_on(channel: Channel) -> bool:
    return channel.enabled and isinstance(channel.client, Linker)
