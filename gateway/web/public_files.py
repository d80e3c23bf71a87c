"""Files with a public address, for providers that fetch what we send: ``GET /files/{token}``.

The token names one file and a time, and is signed; it lies in no list and no log, and no node has to remember it.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from config import Config
from config.secret import Secret
from connectors.contract import FileLinker
from gateway.web.access import client_address
from gateway.web.errors import Refusal, not_found
from gateway.web.media import disposition
from gateway.web.signing import derive_key
from gateway.web.state import STATE
from storage.protocol import Store

#: A provider may fetch late: it queues messages too, and asks again when we were away.
LIFE: Final = timedelta(hours=24)
_TAG_BYTES: Final = 20
_TOKEN_CHARS: Final = 200


def make_token(secret: Secret, file_id: str, until: datetime) -> str:
    """A token for ``file_id`` that :func:`open_token` knows until then."""
    body = f"{int(until.timestamp()):x}.{file_id}".encode()
    return base64.urlsafe_b64encode(_tag(secret, body) + body).rstrip(b"=").decode()


def open_token(secret: Secret, token: str, now: datetime) -> str:
    """The file's id; empty for anything that we did not sign, or not for now."""
    if len(token) > _TOKEN_CHARS or not token.isascii():
        return ""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return ""
    tag, body = data[:_TAG_BYTES], data[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(secret, body)):
        return ""
    until, _, file_id = body.decode().partition(".")
    return file_id if now.timestamp() < int(until, 16) else ""


def file_linker(config: Config, store: Store, clock: Callable[[], datetime]) -> FileLinker:
    """For connectors. Raises FileNotFoundError for a file that is not there."""

    async def link_file(stored: str) -> str:
        if await store.view(lambda tx: tx.files.get(stored)) is None:
            raise FileNotFoundError(f"no stored file {stored}")
        return f"{config.public_url}/files/{make_token(config.server.secret_key, stored, clock() + LIFE)}"

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


def _tag(secret: Secret, body: bytes) -> bytes:
    return hmac.digest(derive_key(secret, "file-link"), body, "sha256")[:_TAG_BYTES]
