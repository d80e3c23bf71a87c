"""A visitor has what was said in their chat sent to the address that they gave."""

from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from gateway.services import Channel
from gateway.web.dispatch import read_json
from gateway.web.errors import Refusal
from gateway.web.route import Input
from gateway.web.state import WebState
from gateway.web.strict_json import decode
from gateway.web.visitor_door import address_of, bearer, for_pages
from routing.command import Actor, MailTranscript
from routing.errors import NotNow
from storage.access import Scope
from storage.ids import random_id
from storage.record import Role


class WantTranscript(Input, frozen=True, kw_only=True):
    """Nothing to say: it goes to the address that the visitor gave before."""


class TranscriptUnderWay(Struct, frozen=True, kw_only=True):
    status: str = "queued"


async def _transcript(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/transcript``."""
    throttle = f"visitor {address_of(request, state)}"
    if state.visitor_throttle.wait((throttle,)) > 0:
        raise Refusal(429, "too_many_visitors", "Too many requests from here. Try again in a moment.", headers={"Retry-After": "10"})
    state.visitor_throttle.count((throttle,))
    _, visitor = bearer(request, state, channel)
    decode(await read_json(request), WantTranscript)
    by = channel.settings.mail_channel
    if not by:
        raise Refusal(409, "no_mail", "This chat cannot be sent by e-mail: it names no mail_channel.")
    services, identity = state.services, visitor.identity
    chat = await services.store.view(lambda tx: tx.conversations.latest(channel.id, identity))
    if chat is None:
        raise NotNow("nothing_said", "There is nothing to send yet: nobody has answered.")
    scope = Scope(identity=str(identity))
    command = MailTranscript(
        id=random_id("cmd", services.clock()),
        actor=Actor(agent_id="", name="", role=Role.BOT, scope=scope),
        conversation_id=chat.id,
        by=by,
        title=channel.settings.title or channel.title,
    )
    await services.router.handle(command)
    return web.Response(status=202, body=msgspec.json.encode(TranscriptUnderWay()), content_type="application/json")


transcript: Final = for_pages(_transcript)
