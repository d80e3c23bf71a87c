"""Visitors' files, both ways: they upload with their token, and fetch by a signed link what is in their own conversations."""

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from connectors.identity import Identity
from connectors.webchat.inbound import KeptFile
from connectors.webchat.visitor import SCHEME
from gateway.screen import Withheld, keep_file
from gateway.services import Channel
from gateway.web import media
from gateway.web.access import refuse_token_in_url
from gateway.web.errors import not_found
from gateway.web.state import STATE, WebState
from gateway.web.visitor_door import address_of, bearer, channel_of, for_pages
from gateway.web.visitor_view import FileLinks
from routing.errors import Invalid
from storage.access import Scope
from storage.file import StoredFile, Verdict
from storage.ids import random_id
from storage.protocol import Transaction

#: Files in a minute, on all nodes together.
VISITOR_FILES: Final = 10
ADDRESS_FILES: Final = 100
_EVERYTHING: Final = Scope(everything=True)

FileId = Annotated[str, msgspec.Meta(pattern=r"^med_[0-9A-Za-z]{1,64}$")]


class UploadedFile(Struct, frozen=True, kw_only=True):
    """Name ``id`` in a message within the visitor's conversation; ``mime`` is what the bytes say."""

    id: str
    mime: str
    size: int
    name: str


async def _upload(request: web.Request, state: WebState, channel: Channel) -> web.StreamResponse:
    """``POST /chat/v1/{channel}/files``: the body is the file, ``X-File-Name`` its name, percent-encoded."""
    _, visitor = bearer(request, state, channel)
    limits = ((f"{channel.id} {visitor.visitor}", VISITOR_FILES, 60), (address_of(request, state), ADDRESS_FILES, 60))
    await media.refuse_too_many(state.services, limits)
    saved, name = await media.save_body(state.services, request)
    created = state.services.clock()
    file = StoredFile(
        id=random_id("med", created),
        sha256=saved.sha256,
        mime=saved.mime,
        name=name,
        size=saved.size,
        created_at=created,
        uploader=str(visitor.identity),
    )
    file = await state.services.screen.look(file)
    await state.services.store.transact(lambda tx: keep_file(tx, file, created))
    media.refuse_withheld(file)
    answer = UploadedFile(id=file.id, mime=file.mime, size=file.size, name=file.name)
    return web.Response(status=201, body=msgspec.json.encode(answer), content_type="application/json")


upload: Final = for_pages(_upload)


async def download(request: web.Request) -> web.StreamResponse:
    """``GET /chat/v1/{channel}/files/{id}?until=…&sig=…``: by link only, for images in a page know no headers. One 404 for all refusals."""
    state = request.app[STATE]
    refuse_token_in_url(request)
    channel = channel_of(request, state)
    file_id, query = request.match_info["id"], request.query
    found = await state.services.store.view(lambda tx: _owned(tx, channel.id, file_id))
    if found is None or set(query) - {media.ORIGINAL} != {"until", "sig"}:
        raise not_found()
    file, identity = found
    if not FileLinks(channel).genuine(identity, file_id, query["until"], query["sig"], state.services.clock()):
        raise not_found()
    response = await media.serve(state.services, file, original=media.wants_original(request))
    # The chat stands on the shop's page, which is another site than the gateway.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Cache-Control"] = "private, max-age=600"
    return response


async def own_files(tx: Transaction, ids: tuple[str, ...], identity: Identity) -> tuple[KeptFile, ...]:
    """The visitor's own uploads with these ids. Raises Invalid ``unknown_file`` for any other."""
    kept: list[KeptFile] = []
    for file_id in ids:
        file = await tx.files.get(file_id)
        if file is None or file.uploader != str(identity):
            raise Invalid("unknown_file", "There is no such upload of yours. Upload the file first.", "files")
        if file.verdict is Verdict.WITHHELD:
            raise Invalid("file_withheld", str(Withheld(file.finding)), "files")
        kept.append(KeptFile(id=file.id, mime=file.mime, name=file.name, size=file.size))
    return tuple(kept)


async def _owned(tx: Transaction, channel: str, file_id: str) -> tuple[StoredFile, Identity] | None:
    """A file in a visitor's conversation of this channel, and which visitor's."""
    if not file_id.isascii() or not file_id.isprintable():
        return None
    file = await tx.files.get(file_id)
    conversation = await tx.conversations.get(file.conversation_id, _EVERYTHING) if file and file.conversation_id else None
    if file is None or conversation is None or conversation.channel != channel or conversation.identity.scheme != SCHEME:
        return None
    return file, conversation.identity
