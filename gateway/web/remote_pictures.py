"""Pictures that a mail would load from afar: blocked until an agent asks for them; then they come through here.

``GET …/messages/{message_id}/pictures`` gives signed addresses for those of one message, to who may see it. ``GET /pictures/{token}``
fetches one, with the guard that all strangers' addresses pass: no private host, few redirects, no cookie, no referrer; and shows it only if
it is a PNG, JPEG, GIF or WebP, made anew. The frame that a mail is shown in has no origin and so no cookie: the token stands for the
agent, whose rights are looked at again. Nothing is kept: each look is the sender's to see, and the page says so.
"""

import math
from datetime import datetime
from typing import Final

from aiohttp import web
from msgspec import Struct

from config import Config
from connectors.content import Html
from gateway.credentials import scope_of
from gateway.files import detect_type
from gateway.studio import StudioClosed
from gateway.web.conversations import visible
from gateway.web.errors import Refusal, not_found
from gateway.web.route import Call, Nothing
from gateway.web.shapes import Shape
from gateway.web.signing import seal, unseal
from gateway.web.state import STATE
from storage.protocol import Transaction
from storage.record import Message

#: An address works for five to ten minutes, and is the same within five: so a browser asks once.
_WINDOW_SECONDS: Final = 300
_PURPOSE: Final = "remote-picture"


class PictureLinks(Shape, frozen=True, kw_only=True):
    """Addresses for ``<img src="remote:0">``, ``remote:1``, …; they work for some minutes."""

    items: list[str]


class _Wanted(Struct, frozen=True, kw_only=True):
    agent: str
    message: str
    index: int


async def list_links(call: Call[Nothing, Nothing]) -> PictureLinks:
    """Addresses of one message's pictures from afar; nothing is fetched yet."""

    async def work(tx: Transaction) -> Message:
        conversation = await visible(tx, call.path("id"), call.principal.scope)
        message = await tx.messages.get(call.path("message_id"))
        if message is None or message.conversation_id != conversation.id:
            raise not_found()
        return message

    message = await call.view(work)
    until = (math.floor(call.now.timestamp() / _WINDOW_SECONDS) + 2) * _WINDOW_SECONDS
    agent, secret = call.principal.agent.id, call.services.config.server.secret_key
    tokens = (seal(secret, _PURPOSE, f"{until:x}.{agent}.{message.id}.{index}") for index in range(len(_addresses(message))))
    return PictureLinks(items=[f"{call.services.config.file_origin}/pictures/{token}" for token in tokens])


async def show(request: web.Request) -> web.Response:
    """``GET /pictures/{token}``. One 404 for all that the caller may not have; 502 for what is no picture, or cannot be had."""
    state = request.app[STATE]
    services = state.services
    wanted = _open(services.config, request.match_info["token"], services.clock())
    if wanted is None:
        raise not_found()
    if not state.remote_pictures.rates.take(wanted.agent, services.clock().timestamp()):
        raise Refusal(429, "rate_limited", "Too many pictures at once. Try again in a minute.", headers={"Retry-After": "60"})
    address = await services.store.view(lambda tx: _address(tx, wanted))
    found = await state.remote_pictures.fetch(address)
    mime = detect_type(found.data[:16])
    try:
        # What is none of the four kinds is no picture.
        made = None if found.problem else await services.files.studio.make(found.data, mime)
    except StudioClosed:
        raise Refusal(503, "busy", "Too many pictures at once. Try again in a minute.", headers={"Retry-After": "60"}) from None
    if made is None:
        raise Refusal(502, "no_picture", found.problem or "What is there is no PNG, JPEG, GIF or WebP that a browser can show.")
    return web.Response(
        body=made,
        content_type=mime,
        headers={
            "Content-Disposition": "inline",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            # The frame that shows it has no origin: to the browser every address is another's.
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Cache-Control": f"private, max-age={_WINDOW_SECONDS}",
            "X-Robots-Tag": "noindex",
        },
    )


def _open(config: Config, token: str, now: datetime) -> _Wanted | None:
    body = unseal(config.server.secret_key, _PURPOSE, token)
    if not body:
        return None
    until, agent, message, index = body.split(".")
    return _Wanted(agent=agent, message=message, index=int(index)) if now.timestamp() < int(until, 16) else None


async def _address(tx: Transaction, wanted: _Wanted) -> str:
    """Where the picture is, if the agent may see the message now. Raises Refusal 404."""
    agent, message = await tx.agents.get(wanted.agent), await tx.messages.get(wanted.message)
    if agent is None or agent.disabled or message is None:
        raise not_found()
    await visible(tx, message.conversation_id, await scope_of(tx, agent))
    return _addresses(message)[wanted.index]


def _addresses(message: Message) -> tuple[str, ...]:
    """Of the part that holds the mail as it was sent: there is one at most."""
    return next((part.remote for part in message.parts if isinstance(part, Html)), ())
