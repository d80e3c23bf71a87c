"""One click and no more of what goes to many: RFC 8058, ``/unsubscribe/{token}``.

The token names a conversation and is signed; whoever has it was sent one of its messages. Looking at the address changes nothing: scanners
of mail follow every link. Only the POST does, from a mail program or from the page that the GET shows; it counts as STOP does.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web
from msgspec import Struct

from gateway.web.access import client_address
from gateway.web.errors import Refusal, not_found
from gateway.web.signing import UNSUBSCRIBE, unseal
from gateway.web.state import STATE, WebState
from gateway.work.actor import GATEWAY, command_id
from routing.command import OptOut

_MOST_BYTES: Final = 4096
#: The one pair of RFC 8058, as ``multipart/form-data`` writes it.
_MULTIPART: Final = re.compile(rb'(?i)name="?List-Unsubscribe"?[^\r\n]*(?:\r?\n[^\r\n]+)*\r?\n\r?\nOne-Click[ \t]*\r?\n')


class _Words(Struct, frozen=True, kw_only=True):
    title: str
    question: str
    button: str
    done: str
    done_more: str


_WORDS: Final[Mapping[str, _Words]] = {
    "en": _Words(
        title="No more of these mails?",
        question="If you go on, we will not write to this address any more, until you write to us.",
        button="Stop these mails",
        done="Done.",
        done_more="We will not write to this address any more.",
    ),
    "it": _Words(
        title="Non vuoi più queste e-mail?",
        question="Se prosegui, non scriveremo più a questo indirizzo, finché non ci scriverai tu.",
        button="Ferma queste e-mail",
        done="Fatto.",
        done_more="Non scriveremo più a questo indirizzo.",
    ),
    "pl": _Words(
        title="Nie chcesz więcej tych wiadomości?",
        question="Jeśli przejdziesz dalej, nie napiszemy już na ten adres, dopóki sam nie napiszesz do nas.",
        button="Zatrzymaj te wiadomości",
        done="Gotowe.",
        done_more="Nie napiszemy już na ten adres.",
    ),
}


async def ask(request: web.Request) -> web.Response:
    """``GET|HEAD``: asks, and changes nothing."""
    _conversation(request, request.app[STATE])
    words = _words(request)
    form = (
        f"<p>{escape(words.question)}</p>"
        '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
        f'<button type="submit">{escape(words.button)}</button></form>'
    )
    return _page(request, words.title, form)


async def confirm(request: web.Request) -> web.Response:
    """``POST``: no more of it, from now on. Raises Refusal 400 for a body that is none of a mail program's."""
    state = request.app[STATE]
    conversation_id = _conversation(request, state)
    if not _is_one_click(request, await _body(request)):
        raise Refusal(400, "not_one_click", "The body must be List-Unsubscribe=One-Click, as a form.")
    services = state.services
    await services.router.handle(OptOut(id=command_id(services.clock()), actor=GATEWAY, conversation_id=conversation_id))
    words = _words(request)
    return _page(request, words.done, f"<p>{escape(words.done_more)}</p>")


def _conversation(request: web.Request, state: WebState) -> str:
    """Raises Refusal 404, 429."""
    services = state.services
    who = client_address(request, services.config.server.trusted_proxies)
    if not state.unsubscribes.take(who, services.clock().timestamp()):
        raise Refusal(429, "rate_limited", "Too many requests from here. Try again in a minute.", headers={"Retry-After": "60"})
    found = unseal(services.config.server.secret_key, UNSUBSCRIBE, request.match_info["token"])
    if not found:
        raise not_found()
    return found


async def _body(request: web.Request) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_chunked(_MOST_BYTES):
        data += chunk
        if len(data) > _MOST_BYTES:
            raise Refusal(413, "too_large", f"The body may have at most {_MOST_BYTES} bytes.")
    return bytes(data)


def _is_one_click(request: web.Request, body: bytes) -> bool:
    match request.content_type:
        case "application/x-www-form-urlencoded":
            return parse_qs(body.decode("latin-1")).get("List-Unsubscribe") == ["One-Click"]
        case "multipart/form-data":
            return _MULTIPART.search(body) is not None
        case _:
            return False


def _language(request: web.Request) -> str:
    """The first of the browser's languages that we speak."""
    said = request.headers.get("Accept-Language", "")[:200]
    wanted = (one.partition(";")[0].strip().partition("-")[0].lower() for one in said.split(","))
    return next((one for one in wanted if one in _WORDS), "en")


def _words(request: web.Request) -> _Words:
    return _WORDS[_language(request)]


def _page(request: web.Request, title: str, body: str) -> web.Response:
    text = (
        f'<!doctype html>\n<html lang="{_language(request)}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><h1>{escape(title)}</h1>{body}</html>\n"
    )
    headers = {"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/html", headers=headers)
