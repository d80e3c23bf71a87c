"""Files with a public address, for providers that fetch what we send, and for who gets a link: ``GET /files/{token}``.

The token names one file and a time, and is signed; it lies in no list and no log, and no node has to remember it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from config import Config
from connectors.contract import FileLinker
from gateway.screen import Screen
from gateway.web.access import client_address
from gateway.web.errors import Refusal, not_found
from gateway.web.file_tokens import FOR_PEOPLE, FOR_PROVIDERS, make_token, open_token
from gateway.web.media import serve, wants_original
from gateway.web.state import STATE
from storage.protocol import Store

#: A provider fetches when it is told to send; each attempt gets a link of its own.
LIFE: Final = timedelta(minutes=10)
#: A link within an SMS is opened when somebody reads it.
READERS_LIFE: Final = timedelta(hours=24)


def file_linker(config: Config, store: Store, screen: Screen, clock: Callable[[], datetime]) -> FileLinker:
    """For connectors. Raises FileNotFoundError for a file that is not there, or that nobody may have."""

    async def link_file(stored: str, *, for_people: bool = False) -> str:
        file = await store.view(lambda tx: tx.files.get(stored))
        if file is None:
            raise FileNotFoundError(f"no stored file {stored}")
        await screen.clear(file)
        purpose, life = (FOR_PEOPLE, READERS_LIFE) if for_people else (FOR_PROVIDERS, LIFE)
        return f"{config.file_origin or config.public_url}/files/{make_token(config.server.secret_key, stored, clock() + life, purpose)}"

    return link_file


async def fetch(request: web.Request) -> web.StreamResponse:
    """``GET|HEAD /files/{token}``. One 404 for all refusals.

    A provider gets the bytes as what they are, as a download; a person what pages get.
    """
    state = request.app[STATE]
    services = state.services
    who = client_address(request, services.config.server.trusted_proxies)
    if not state.file_fetches.take(who, services.clock().timestamp()):
        raise Refusal(429, "rate_limited", "Too many files at once. Try again in a minute.", headers={"Retry-After": "60"})
    secret, token, now = services.config.server.secret_key, request.match_info["token"], services.clock()
    provided = open_token(secret, token, now)
    file_id = provided or open_token(secret, token, now, FOR_PEOPLE)
    file = await services.store.view(lambda tx: tx.files.get(file_id)) if file_id else None
    if file is None:
        raise not_found()
    response = await serve(services, file, original=bool(provided) or wants_original(request))
    if provided:
        response.headers["Content-Type"] = file.mime
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Robots-Tag"] = "noindex"
    return response
