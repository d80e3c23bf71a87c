"""The Bot API's methods, as far as the gateway uses them."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from connectors.telegram.simulator.album import album_contents
from connectors.telegram.simulator.call import ApiCall, Uploaded
from connectors.telegram.simulator.limits import (
    DOWNLOAD_BYTES,
    ApiError,
    bad,
    check_caption,
    check_keyboard,
    check_text,
)
from connectors.telegram.simulator.state import Chat, Json, World
from connectors.telegram.simulator.updates import Updates, Webhook
from connectors.telegram.simulator.upload import FILES, checked_content

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
#: What Telegram says of a picture that it cannot read.
_REFUSED: Final = "IMAGE_PROCESS_FAILED"


class BotApi:
    """Carries calls out on one world."""

    def __init__(self, world: World, updates: Updates) -> None:
        self._world = world
        self._updates = updates
        self._methods: dict[str, Callable[[ApiCall], Awaitable[Any]]] = {
            "getme": self._get_me,
            "getupdates": self._get_updates,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._get_webhook_info,
            "getfile": self._get_file,
            "answercallbackquery": self._answer_callback,
            "sendchataction": self._send_chat_action,
            "sendmessage": self._send,
            "sendlocation": self._send,
            "sendvenue": self._send,
            "sendcontact": self._send,
            "sendmediagroup": self._send_group,
            **dict.fromkeys(FILES, self._send),
        }

    async def perform(self, call: ApiCall) -> Any:
        """The call's result. Raises :class:`ApiError`."""
        method = self._methods.get(call.method)
        if method is None:
            raise ApiError(404, "Not Found: method not found")
        return await method(call)

    # --- updates ------------------------------------------------------------------------------------------------------

    async def _get_me(self, _call: ApiCall) -> Json:
        return {**self._world.bot, "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}

    async def _get_updates(self, call: ApiCall) -> list[Json]:
        self._allow(call)
        limit = min(max(call.integer("limit", 100), 1), 100)
        return await self._updates.get(call.integer("offset"), limit, min(max(call.integer("timeout"), 0), 50))

    def _allow(self, call: ApiCall) -> None:
        allowed = call.structure("allowed_updates")
        if allowed is None:
            return
        if not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed):
            raise bad("can't parse allowed updates")
        self._updates.allowed = frozenset(allowed)

    async def _set_webhook(self, call: ApiCall) -> bool:
        url = str(call.parameters.get("url", ""))
        secret = str(call.parameters.get("secret_token", ""))
        if url and not url.startswith(("http://", "https://")):
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        if secret and not _SECRET.fullmatch(secret):
            raise bad("secret token contains unallowed characters")
        connections = call.integer("max_connections", 40)
        if not 1 <= connections <= 100:
            raise bad("max_connections must be 1 to 100")
        self._allow(call)
        self._drop_if_asked(call)
        self._updates.set_webhook(Webhook(url, secret, connections))
        return True

    async def _delete_webhook(self, call: ApiCall) -> bool:
        self._drop_if_asked(call)
        self._updates.set_webhook(Webhook())
        return True

    def _drop_if_asked(self, call: ApiCall) -> None:
        if str(call.parameters.get("drop_pending_updates", "")).lower() in {"true", "1"}:
            self._updates.drop()

    async def _get_webhook_info(self, _call: ApiCall) -> Json:
        webhook = self._updates.webhook
        info: Json = {
            "url": webhook.url,
            "has_custom_certificate": False,
            "pending_update_count": self._updates.pending,
            "max_connections": webhook.max_connections,
        }
        if self._updates.allowed:
            info["allowed_updates"] = sorted(self._updates.allowed)
        if webhook.last_error_date:
            info |= {"last_error_date": webhook.last_error_date, "last_error_message": webhook.last_error_message}
        return info

    # --- files, courtesies --------------------------------------------------------------------------------------------------

    async def _get_file(self, call: ApiCall) -> Json:
        file = self._world.file(str(call.parameters.get("file_id", "")))
        if file is None:
            raise bad("wrong file_id or the file is temporarily unavailable")
        if len(file.data) > DOWNLOAD_BYTES:
            raise bad("file is too big")
        return {"file_id": file.id, "file_unique_id": file.id[-8:], "file_size": len(file.data), "file_path": file.path}

    async def _answer_callback(self, call: ApiCall) -> bool:
        query = str(call.parameters.get("callback_query_id", ""))
        chat_id = self._world.callbacks.pop(query, None)
        if chat_id is None:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        text = str(call.parameters.get("text", ""))
        if len(text) > 200:
            raise bad("MESSAGE_TOO_LONG")
        self._world.change("callback.answered", chat_id, callback_query_id=query, text=text)
        return True

    async def _send_chat_action(self, call: ApiCall) -> bool:
        chat = self._chat(call)
        self._world.change("chat.action", chat.id, action=str(call.parameters.get("action", "")))
        return True

    # --- sending ----------------------------------------------------------------------------------------------------------------

    async def _send(self, call: ApiCall) -> Json:
        chat = self._chat(call)
        content, text = self._content(call)
        if markup := call.structure("reply_markup"):
            content["reply_markup"] = check_keyboard(markup)
        if quoted := self._quoted(call, chat):
            content["reply_to_message"] = quoted
        self._world.limits.check(chat.id)
        if call.refused_file:
            raise bad(_REFUSED)
        return self._added(call, chat, content, text)

    async def _send_group(self, call: ApiCall) -> list[Json]:
        chat = self._chat(call)
        contents = album_contents(self._world, call)
        quoted = self._quoted(call, chat)
        shared: Json = {"reply_to_message": quoted} if quoted else {}
        if len(contents) > 1:
            shared["media_group_id"] = str(14_000_000_000_000_000 + self._world.next_number())
        self._world.limits.check(chat.id, len(contents))
        taken = [content for number, content in enumerate(contents, 1) if number != call.refused_file]
        sent = [self._added(call, chat, content | shared, text) for content, text in taken]
        if len(taken) < len(contents):
            raise bad(f'failed to send message #{call.refused_file} with the error message "{_REFUSED}"')
        return sent

    def _added(self, call: ApiCall, chat: Chat, content: Json, text: str) -> Json:
        kept = self._world.add_message(chat, from_bot=True, content=content)
        self._world.ledger.add(chat_id=chat.id, method=call.method, text=text, message_id=kept.api["message_id"], at=self._world.now())
        return kept.api

    def _chat(self, call: ApiCall) -> Chat:
        if call.parameters.get("chat_id") in (None, ""):
            raise bad("chat_id is empty")
        chat = self._world.chats.get(call.integer("chat_id"))
        if chat is None:
            raise bad("chat not found")
        if chat.moved_to:
            raise ApiError(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to)
        if chat.deactivated:
            raise ApiError(403, "Forbidden: user is deactivated")
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return chat

    def _quoted(self, call: ApiCall, chat: Chat) -> Json | None:
        wanted = call.structure("reply_parameters")
        if not isinstance(wanted, dict):
            return None
        kept = chat.messages.get(wanted.get("message_id", 0))
        if kept is None:
            if wanted.get("allow_sending_without_reply"):
                return None
            raise bad("message to be replied not found")
        return {name: value for name, value in kept.api.items() if name != "reply_to_message"}

    def _content(self, call: ApiCall) -> tuple[Json, str]:
        """What the message holds, and the words of it for the ledger."""
        match call.method:
            case "sendmessage":
                text = check_text(call.parameters.get("text"))
                return {"text": text}, text
            case "sendlocation":
                return {"location": _point(call)}, ""
            case "sendvenue":
                title = check_text(call.parameters.get("title"))
                point = _point(call)
                return {
                    "venue": {"location": point, "title": title, "address": str(call.parameters.get("address", ""))},
                    "location": point,
                }, title
            case "sendcontact":
                phone = check_text(call.parameters.get("phone_number"))
                return {"contact": {"phone_number": phone, "first_name": check_text(call.parameters.get("first_name"))}}, phone
            case _:
                return self._file_content(call)

    def _file_content(self, call: ApiCall) -> tuple[Json, str]:
        name, folder, suffix = FILES[call.method]
        caption = check_caption(call.parameters.get("caption", ""))
        uploaded = call.files.get(name)
        if uploaded is None:
            known = self._world.file(str(call.parameters.get(name, "")))
            if known is None:
                raise bad(f"there is no {name} in the request")
            uploaded = Uploaded("", known.mime, known.data)
        content = checked_content(self._world, name, folder, suffix, uploaded)
        return content | ({"caption": caption} if caption else {}), caption


def _point(call: ApiCall) -> Json:
    latitude, longitude = call.number("latitude"), call.number("longitude")
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise bad("invalid location")
    return {"latitude": latitude, "longitude": longitude}
