"""Files with a public address, for providers that fetch what we send: ``GET /files/{token}``.

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
from gateway.web.file_tokens import make_token, open_token
from gateway.web.media import disposition
from gateway.web.state import STATE
from storage.protocol import Store

#: A provider may fetch late: it queues messages too, and asks again when we were away.
LIFE: Final = timedelta(hours=24)


def file_linker(config: Config, store: Store, screen: Screen, clock: Callable[[], datetime]) -> FileLinker:
    """For connectors. Raises FileNotFoundError for a file that is not there, or that nobody may have."""

    async def link_file(stored: str) -> str:
        file = await store.view(lambda tx: tx.files.get(stored))
        if file is None:
            raise FileNotFoundError(f"no stored file {stored}")
        await screen.clear(file)
        return f"{config.file_origin or config.public_url}/files/{make_token(config.server.secret_key, stored, clock() + LIFE)}"

    return link_file


async def fetch(request: web.Request) -> web.StreamResponse:
    """``GET|HEAD /files/{token}``: the bytes, as what they are. One 404 for all refusals."""
    state = request.app[STATE]
    services = state.services
    who = client_address(request, services.config.server.trusted_proxies)
    if not state.file_fetches.take(who, services.clock().timestamp()):
        raise Refusal(429, "rate_limited", "Too many files at once. Try again in a minute.", headers={"Retry-After": "60"})
    file_id = open_token(services.config.server.secret_key, request.match_info["token"], services.clock())
    file = await services.store.view(lambda tx: tx.files.get(file_id)) if file_id else None
    if file is None:
        raise not_found()
    await services.screen.clear(file)
    try:
        path = await services.files.locate(file.sha256)
    except FileNotFoundError:
        raise not_found() from None
    return web.FileResponse(
        path,
        headers={
            "Content-Type": file.mime,
            "Content-Disposition": disposition(file),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, no-store",
            "X-Robots-Tag": "noindex",
        },
    )
