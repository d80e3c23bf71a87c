"""Files: uploads by agents, and all that people sent. Their type is what their bytes say; a browser may show four kinds of pictures."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from aiohttp import web

from connectors.names import harmless_name
from gateway.files import INLINE_TYPES, Saved, TooLarge
from gateway.screen import Withheld, keep_file
from gateway.services import Services
from gateway.studio import StudioClosed
from gateway.web.dispatch import BODY_SECONDS
from gateway.web.errors import Refusal, not_found
from gateway.web.file_tokens import page_link
from gateway.web.idempotency import mismatch
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import FileView
from storage.file import StoredFile, Verdict
from storage.ids import derive_id
from storage.protocol import Transaction

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAME_HEADER: Final = "X-File-Name"
_CHUNK: Final = 64 * 1024
_UPLOAD_SECONDS: Final = 10 * BODY_SECONDS
#: Of one agent, on all nodes together.
AGENT_FILES: Final = 60
AGENT_FILES_PER_HOUR: Final = 600
#: In the query of a file's address.
ORIGINAL: Final = "original"


class FileWish(Input, frozen=True, kw_only=True):
    """How a file is wanted."""

    #: As it came, as a download; otherwise a picture is made anew, to be shown.
    original: bool = False


async def upload(call: Call[Nothing, Nothing]) -> FileView:
    """Keep a file, to be sent with a reply. The body is the file; its name comes percent-encoded in ``X-File-Name``."""
    await refuse_too_many(
        call.services,
        ((f"agent {call.principal.agent.id}", AGENT_FILES, 60), (f"agent {call.principal.agent.id} hourly", AGENT_FILES_PER_HOUR, 3600)),
    )
    saved, name = await save_body(call.services, call.request)
    file = StoredFile(
        # Without the time, so that a repeated Idempotency-Key means the same file.
        id=derive_id("med", _EPOCH, call.command_id),
        sha256=saved.sha256,
        mime=saved.mime,
        name=name,
        size=saved.size,
        created_at=call.now,
        uploader=call.principal.agent.id,
    )

    looked = await call.services.screen.look(file)

    async def keep(tx: Transaction) -> StoredFile:
        known = await tx.files.get(file.id)
        if known is None:
            await keep_file(tx, looked, call.now)
        return known or looked

    kept = await call.transact(keep)
    if kept.sha256 != file.sha256:
        raise mismatch()
    refuse_withheld(kept)
    return FileView(id=kept.id, mime=kept.mime, size=kept.size, name=kept.name, checking=kept.verdict is Verdict.WAITING)


async def refuse_too_many(services: Services, limits: Iterable[tuple[str, int, int]]) -> None:
    """Count one upload for each of them: (whose, how many, in so many seconds). Raises Refusal 429."""
    for who, most, seconds in limits:
        wait = await services.bus.take(f"files:{who}", most / seconds, most)
        if wait > 0:
            after = {"Retry-After": str(math.ceil(wait))}
            raise Refusal(429, "rate_limited", "Too many files at once. Try again later.", headers=after)


def refuse_withheld(file: StoredFile) -> None:
    """An upload is told at once. Raises Refusal 422."""
    if file.verdict is Verdict.WITHHELD:
        raise Refusal(422, "file_withheld", str(Withheld(file.finding)))


async def save_body(services: Services, request: web.Request) -> tuple[Saved, str]:
    """Keep the body of a request as a file; its name is in the header. Raises Refusal 400, 413."""
    limit = services.config.media.max_bytes
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            saved = await services.files.save_stream(_chunks(request), limit)
    except TooLarge as error:
        raise _too_large(error.limit) from None
    if not saved.size:
        raise Refusal(400, "empty", "The file is empty.")
    return saved, file_name(request.headers.get(_NAME_HEADER, ""))


async def download(call: Call[Nothing, FileWish]) -> web.StreamResponse:
    """The bytes of a file that the caller may see."""
    who = call.principal

    async def work(tx: Transaction) -> StoredFile:
        file = await tx.files.get(call.path("id"))
        if file is None:
            raise not_found()
        if file.conversation_id:
            seen = await tx.conversations.get(file.conversation_id, who.scope) is not None
        else:
            seen = file.uploader == who.agent.id
        if not seen:
            raise not_found()
        return file

    file = await call.view(work)
    if call.services.config.file_origin:
        await call.services.screen.clear(file)
        link = page_link(call.services.config, file.id, call.now)
        return web.Response(status=302, headers={"Location": f"{link}?{ORIGINAL}=1" if call.query.original else link})
    return await serve(call.services, file, original=call.query.original)


def wants_original(request: web.Request) -> bool:
    """Is the file asked for as it came?"""
    return request.query.get(ORIGINAL) in {"1", "true"}


async def serve(services: Services, file: StoredFile, *, original: bool) -> web.FileResponse:
    """A file as a response that no browser will take for a page. Raises Refusal 404, and what ``Screen.clear`` raises.

    In a page only a picture is shown, and only one that we made anew; everything else, and the ``original``, is a download.
    """
    await services.screen.clear(file)
    try:
        path = await services.files.locate(file.sha256)
        shown = None if original else await services.files.shown(file.sha256, file.mime)
    except StudioClosed:
        shown = None
    except FileNotFoundError:
        raise not_found() from None
    return web.FileResponse(
        shown or path,
        headers={
            "Content-Type": file.mime if shown else "application/octet-stream",
            "Content-Disposition": disposition(file, inline=shown is not None),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
            # What cannot be shown now may be later.
            "Cache-Control": "private, max-age=86400, immutable" if shown or file.mime not in INLINE_TYPES else "private, no-cache",
        },
    )


def disposition(file: StoredFile, *, inline: bool) -> str:
    """RFC 6266: whether a browser may show it in a page, and the name to save it under, percent-encoded as a whole."""
    shown = "inline" if inline else "attachment"
    return f"{shown}; filename*=UTF-8''{quote(harmless_name(file.name) or file.id, safe='')}"


def file_name(header: str) -> str:
    """A harmless name out of a percent-encoded header: no folders, no control or direction characters."""
    try:
        name = unquote(header, errors="strict")
        name.encode()
    except UnicodeError:
        return ""
    return harmless_name(name)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"A file may have at most {limit} bytes.")


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_chunked(_CHUNK):
        yield chunk
