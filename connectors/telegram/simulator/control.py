"""The control API: play the shopper, look at the phone, break things. JSON in, JSON out."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from connectors.telegram.simulator.call import Uploaded
from connectors.telegram.simulator.faults import KINDS, Fault, Faults
from connectors.telegram.simulator.limits import FILE_BYTES, TEXT
from connectors.telegram.simulator.state import Chat, Json, Kept, World, view
from connectors.telegram.simulator.updates import Updates
from connectors.telegram.simulator.upload import file_content

#: Longest wait of ``GET events``, in seconds.
EVENTS_WAIT: Final = 25.0
#: A body holds base64.
_BODY_BYTES: Final = FILE_BYTES * 4 // 3 + 4096


class _NewUser(Struct, forbid_unknown_fields=True):
    first_name: str
    last_name: str = ""
    language_code: str = ""


class _Point(Struct, forbid_unknown_fields=True):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class _AlbumItem(Struct, forbid_unknown_fields=True):
    photo: str
    caption: str = ""


class _NewMessage(Struct, forbid_unknown_fields=True):
    """Exactly one of text, photo, document, location, contact_own, sticker, album."""

    text: Annotated[str, Meta(max_length=TEXT)] = ""
    photo: str = ""
    document: str = ""
    #: Of a document.
    name: str = ""
    mime: str = ""
    caption: str = ""
    location: _Point | None = None
    contact_own: str = ""
    sticker: str = ""
    album: list[_AlbumItem] = []
    reply_to_message_id: int = 0


class _Edit(Struct, forbid_unknown_fields=True):
    message_id: int
    text: str


class _Press(Struct, forbid_unknown_fields=True):
    message_id: int
    data: str


class _React(Struct, forbid_unknown_fields=True):
    message_id: int
    #: Empty takes the reaction back.
    emoji: str = ""


class _Moved(Struct, forbid_unknown_fields=True):
    to_chat_id: int


class _NewFault(Struct, forbid_unknown_fields=True):
    kind: str
    method: str = ""
    count: int = 1
    seconds: float = 1.0


class _Limits(Struct, forbid_unknown_fields=True):
    enabled: bool


class Control:
    """Handlers of the control API over one world."""

    def __init__(self, world: World, updates: Updates, faults: Faults) -> None:
        self._world = world
        self._updates = updates
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """All of it, below ``/control``."""
        user = "/control/users/{id}"
        return [
            web.get("/control/state", self._state),
            web.get("/control/events", self._events),
            web.get("/control/ledger", self._ledger),
            web.get("/control/file/{file_id}", self._file),
            web.post("/control/users", self._add_user),
            web.post(f"{user}/message", self._message),
            web.post(f"{user}/edit", self._edit),
            web.post(f"{user}/press", self._press),
            web.post(f"{user}/react", self._react),
            web.post(f"{user}/block", self._consent(blocked=True)),
            web.post(f"{user}/unblock", self._consent(blocked=False)),
            web.post(f"{user}/deactivate", self._deactivate),
            web.post(f"{user}/migrate", self._migrate),
            web.post("/control/faults", self._add_fault),
            web.delete("/control/faults", self._clear_faults),
            web.post("/control/limits", self._limits),
        ]

    # --- looking --------------------------------------------------------------------------------------------------------

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(self._world.snapshot())

    async def _events(self, request: web.Request) -> web.Response:
        after = _integer(request.query.get("after", "0"), "after")
        wait = min(_integer(request.query.get("wait", str(int(EVENTS_WAIT))), "wait"), EVENTS_WAIT)
        items = await self._world.changes(after, wait)
        return web.json_response({"pos": items[-1]["pos"] if items else self._world.pos, "items": items})

    async def _ledger(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self._world.ledger.entries()})

    async def _file(self, request: web.Request) -> web.Response:
        file = self._world.file(request.match_info["file_id"])
        if file is None:
            raise _refused(404, "there is no such file")
        shown = file.mime if file.mime in _SHOWN_INLINE else "application/octet-stream"
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return web.Response(body=file.data, content_type=shown, headers=headers)

    # --- being the shopper ----------------------------------------------------------------------------------------------

    async def _add_user(self, request: web.Request) -> web.Response:
        new = await _body(request, _NewUser)
        if not new.first_name.strip():
            raise _refused(400, "first_name is empty")
        chat = self._world.add_user(new.first_name, new.last_name, new.language_code)
        return web.json_response({"user_id": chat.id}, status=201)

    async def _message(self, request: web.Request) -> web.Response:
        chat = self._chat(request)
        new = await _body(request, _NewMessage)
        if chat.blocked:
            raise _refused(409, "the user has blocked the bot; unblock first")
        quoted = self._kept(chat, new.reply_to_message_id) if new.reply_to_message_id else None
        ids = []
        for content in self._contents(new, chat):
            if quoted is not None:
                content["reply_to_message"] = {name: value for name, value in quoted.api.items() if name != "reply_to_message"}
            kept = self._world.add_message(chat, from_bot=False, content=content)
            self._updates.add("message", chat.id, kept.api)
            ids.append(kept.api["message_id"])
        return web.json_response({"message_id": ids[-1], "message_ids": ids}, status=201)

    def _contents(self, new: _NewMessage, chat: Chat) -> list[Json]:
        caption = {"caption": new.caption} if new.caption else {}
        choices: list[Json] = []
        if new.text:
            choices.append({"text": new.text})
        if new.photo:
            choices.append(self._photo(new.photo) | caption)
        if new.document:
            uploaded = Uploaded(new.name or "file.bin", new.mime or "application/octet-stream", _bytes(new.document))
            choices.append(file_content(self._world, "document", "documents", "", uploaded) | caption)
        if new.location is not None:
            choices.append({"location": {"latitude": new.location.latitude, "longitude": new.location.longitude}})
        if new.contact_own:
            name = {key: chat.user[key] for key in ("first_name", "last_name") if key in chat.user}
            choices.append({"contact": {"phone_number": new.contact_own, **name, "user_id": chat.id}})
        if new.sticker:
            content = file_content(self._world, "sticker", "stickers", ".webp", Uploaded("", "image/webp", _STICKER))
            content["sticker"]["emoji"] = new.sticker
            choices.append(content)
        if bool(choices) + len(new.album) == 0 or len(choices) > 1 or (choices and new.album):
            raise _refused(400, "give exactly one of text, photo, document, location, contact_own, sticker, album")
        if new.album:
            group = str(13_000_000_000_000_000 + self._world.next_number())
            return [
                self._photo(item.photo) | ({"caption": item.caption} if item.caption else {}) | {"media_group_id": group}
                for item in new.album
            ]
        return choices

    def _photo(self, data: str) -> Json:
        return file_content(self._world, "photo", "photos", ".jpg", Uploaded("", "image/jpeg", _bytes(data)))

    async def _edit(self, request: web.Request) -> web.Response:
        chat = self._chat(request)
        edit = await _body(request, _Edit)
        kept = self._kept(chat, edit.message_id)
        name = "text" if "text" in kept.api else "caption"
        if kept.from_bot or name not in kept.api or not edit.text:
            raise _refused(409, "only the user's own text or caption can be edited")
        kept.api = {**kept.api, name: edit.text, "edit_date": int(self._world.now())}
        kept.edited = True
        self._updates.add("edited_message", chat.id, kept.api)
        return self._changed(chat, kept)

    async def _press(self, request: web.Request) -> web.Response:
        chat = self._chat(request)
        press = await _body(request, _Press)
        kept = self._kept(chat, press.message_id)
        buttons = [button for row in kept.api.get("reply_markup", {}).get("inline_keyboard", []) for button in row]
        if all(button.get("callback_data") != press.data for button in buttons):
            raise _refused(409, "the message has no such button")
        query = str(9_000_000_000_000_000_000 + self._world.next_number())
        self._world.callbacks[query] = chat.id
        if len(self._world.callbacks) > 1000:
            self._world.callbacks.popitem(last=False)
        content = {"id": query, "from": chat.user, "message": kept.api, "chat_instance": str(chat.id), "data": press.data}
        self._updates.add("callback_query", chat.id, content)
        return web.json_response({"callback_query_id": query})

    async def _react(self, request: web.Request) -> web.Response:
        chat = self._chat(request)
        react = await _body(request, _React)
        kept = self._kept(chat, react.message_id)
        old = kept.reactions.get("user", ())
        kept.reactions = {"user": (react.emoji,)} if react.emoji else {}

        def listed(emoji: tuple[str, ...]) -> list[Json]:
            return [{"type": "emoji", "emoji": one} for one in emoji]

        content = {
            "chat": chat.api(),
            "message_id": react.message_id,
            "user": chat.user,
            "date": int(self._world.now()),
            "old_reaction": listed(old),
            "new_reaction": listed(kept.reactions.get("user", ())),
        }
        self._updates.add("message_reaction", chat.id, content)
        return self._changed(chat, kept)

    def _consent(self, *, blocked: bool) -> Callable[[web.Request], Awaitable[web.Response]]:
        def member(status: str) -> Json:
            return {"user": self._world.bot, "status": status, **({"until_date": 0} if status == "kicked" else {})}

        async def handle(request: web.Request) -> web.Response:
            chat = self._chat(request)
            if chat.blocked != blocked:
                chat.blocked = blocked
                old, new = ("member", "kicked") if blocked else ("kicked", "member")
                content = {"chat": chat.api(), "from": chat.user, "date": int(self._world.now())}
                content |= {"old_chat_member": member(old), "new_chat_member": member(new)}
                self._updates.add("my_chat_member", chat.id, content)
                self._world.change("chat.blocked" if blocked else "chat.unblocked", chat.id)
            return web.json_response({"blocked": blocked})

        return handle

    async def _deactivate(self, request: web.Request) -> web.Response:
        self._chat(request).deactivated = True
        return web.json_response({})

    async def _migrate(self, request: web.Request) -> web.Response:
        self._chat(request).moved_to = (await _body(request, _Moved)).to_chat_id
        return web.json_response({})

    # --- breaking things ------------------------------------------------------------------------------------------------

    async def _add_fault(self, request: web.Request) -> web.Response:
        new = await _body(request, _NewFault)
        if new.kind not in KINDS:
            raise _refused(400, f"kind must be one of {', '.join(KINDS)}")
        if not (1 <= new.count <= 1_000_000 and 0 <= new.seconds <= 3600):
            raise _refused(400, "count must be 1 to 1000000, seconds 0 to 3600")
        self._faults.add(Fault(new.kind, new.method.lower(), new.count, new.seconds))
        return web.json_response({"due": self._faults.view()}, status=201)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({"due": []})

    async def _limits(self, request: web.Request) -> web.Response:
        self._world.limits.enabled = (await _body(request, _Limits)).enabled
        return web.json_response({})

    # --- helpers ------------------------------------------------------------------------------------------------------------

    def _chat(self, request: web.Request) -> Chat:
        chat = self._world.chats.get(_integer(request.match_info["id"], "id"))
        if chat is None:
            raise _refused(404, "there is no such user")
        return chat

    def _kept(self, chat: Chat, message_id: int) -> Kept:
        kept = chat.messages.get(message_id)
        if kept is None:
            raise _refused(404, f"there is no message {message_id} in this chat")
        return kept

    def _changed(self, chat: Chat, kept: Kept) -> web.Response:
        self._world.change("message.changed", chat.id, message=view(kept))
        return web.json_response({"message_id": kept.api["message_id"]})


#: What a browser may show as it is; all else is only bytes.
_SHOWN_INLINE: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: The smallest WebP: one pixel.
_STICKER: Final = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")


async def _body(request: web.Request, wanted: type[Any]) -> Any:
    # Another site's page can post forms to a local address, but not this type without asking first.
    if request.content_type != "application/json":
        raise _refused(415, "send application/json")
    data = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > _BODY_BYTES:
            raise _refused(413, "the body is too large")
    try:
        return msgspec.json.decode(bytes(data), type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(400, str(error)) from None


def _bytes(text: str) -> bytes:
    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)
    except binascii.Error:
        raise _refused(400, "a file must be base64") from None
    if not data:
        raise _refused(400, "a file must not be empty")
    return data


def _integer(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise _refused(400, f"{name} must be a number from 0")
    return int(text)


def _refused(status: int, detail: str) -> web.HTTPException:
    kinds: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
        415: web.HTTPUnsupportedMediaType,
    }
    body = msgspec.json.encode({"status": status, "detail": detail}).decode()
    if status == 413:
        return web.HTTPRequestEntityTooLarge(
            max_size=_BODY_BYTES, actual_size=_BODY_BYTES + 1, text=body, content_type="application/problem+json"
        )
    return kinds[status](text=body, content_type="application/problem+json")
