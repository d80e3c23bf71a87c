"""Files: uploads by agents, and all that people sent. Their type is what their bytes say; a browser may show four kinds of pictures."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from aiohttp import web

from connectors.names import harmless_name
from gateway.files import INLINE_TYPES, Saved, TooLarge
from gateway.screen import Withheld, keep_file
from gateway.services import Services
from gateway.web.dispatch import BODY_SECONDS
from gateway.web.errors import Refusal, not_found
from gateway.web.file_tokens import page_link
from gateway.web.idempotency import mismatch
from gateway.web.route import Call, Nothing
from gateway.web.shapes import FileView
from storage.file import StoredFile, Verdict
from storage.ids import derive_id
from storage.protocol import Transaction

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAME_HEADER: Final = "X-File-Name"
_CHUNK: Final = 64 * 1024
_UPLOAD_SECONDS: Final = 10 * BODY_SECONDS


async def upload(call: Call[Nothing, Nothing]) -> FileView:
    """Keep a file, to be sent with a reply. The body is the file; its name comes percent-encoded in ``X-File-Name``."""
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


def refuse_withheld(file: StoredFile) -> None:
    """An upload is told at once. Raises Refusal 422."""
    if file.verdict is Verdict.WITHHELD:
        raise Refusal(422, "file_withheld", str(Withheld(file.finding)))


async def save_body(services: Services, request: web.Request) -> tuple[Saved, str]:
    """Keep the body of a request as a file; its name is in the header. Raises Refusal 413, 422."""
    limit = services.config.media.max_bytes
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            saved = await services.files.save_stream(_chunks(request), limit)
    except TooLarge as error:
        raise _too_large(error.limit) from None
    if not saved.size:
        raise Refusal(422, "empty", "The file is empty.")
    return saved, file_name(request.headers.get(_NAME_HEADER, ""))


async def download(call: Call[Nothing, Nothing]) -> web.StreamResponse:
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
        return web.Response(status=302, headers={"Location": page_link(call.services.config, file.id, call.now)})
    return await serve(call.services, file)


async def serve(services: Services, file: StoredFile) -> web.FileResponse:
    """A file as a response that no browser will take for a page. Raises Refusal 404, and what ``Screen.clear`` raises."""
    await services.screen.clear(file)
    try:
        path = await services.files.locate(file.sha256)
    except FileNotFoundError:
        raise not_found() from None
    inline = file.mime in INLINE_TYPES
    return web.FileResponse(
        path,
        headers={
            "Content-Type": file.mime if inline else "application/octet-stream",
            "Content-Disposition": disposition(file),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, max-age=86400, immutable",
        },
    )


def disposition(file: StoredFile) -> str:
    """RFC 6266: whether a browser may show it in a page, and the name to save it under, percent-encoded as a whole."""
    shown = "inline" if file.mime in INLINE_TYPES else "attachment"
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
