"""Telegram's updates as events. Pure.

Groups and channels are ignored on purpose: an answer there is read by everybody in it, while an agent believes to write
to one shopper. Only private chats, with the bot or with a connected business account, are conversations of a shop.

Source: core.telegram.org/bots/api#update, Bot API 10.0, read 2026-11.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from connectors.content import AnyPart, Chosen
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import (
    AddressMoved,
    AnyEvent,
    ChatStarted,
    ConsentChanged,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    ReactionChanged,
    Sender,
)
from connectors.identity import Evidence, Identity
from connectors.signature import any_matches
from connectors.telegram.parts import own_phone, parts_of, unknown_content, unsupported
from connectors.telegram.payload import (
    AskedMessage,
    BusinessConnection,
    CallbackQuery,
    Chat,
    DeletedMessages,
    MemberChange,
    Message,
    Reaction,
    Update,
    User,
    keys_decoder,
    update_decoder,
)
from connectors.telegram.settings import Settings, accepted_secrets, bot_id

#: Where Telegram shows the secret; nowhere else is looked at.
SECRET_HEADER: Final = "x-telegram-bot-api-secret-token"  # noqa: S105  the header's name

_START: Final = re.compile(r"/start(?:@[A-Za-z0-9_]{1,64})?(?: +([A-Za-z0-9_-]{1,64}))?\s*")
#: Times outside are nonsense, and year 9999 leaves no room for time zones.
_EARLIEST, _LATEST = 0, 253_370_764_800


def verify(request: Request, settings: Settings) -> bool:
    """Does the request carry this bot's secret in the header? Constant time; without a configured secret nobody is right."""
    return any_matches(accepted_secrets(settings), request.headers.get(SECRET_HEADER, ""))


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The events of one update, at least one. Raises :class:`BadPayload` on what cannot be read, and nothing else."""
    body = request.body
    try:
        update = _decode(body)
        return _Reading(update.update_id, body, bot_id(settings)).events(update)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadPayload(f"not an update of Telegram's: {error}") from None
    except RecursionError:
        raise BadPayload("not an update of Telegram's: nested too deeply") from None


def _decode(body: bytes) -> Update:
    if b"\\u0000" not in body:
        return update_decoder.decode(body)
    # NUL cannot be stored by PostgreSQL. The detour is for the one in a million that has it.
    return msgspec.convert(_without_nul(msgspec.json.decode(body)), Update)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


class _Reading:
    """One update being read: what all of its events have in common.

    Keys begin with the update's number, and say what it is about: Telegram restarts the numbers at random after a quiet
    week, and a new message must not look like the redelivery of an old one.
    """

    def __init__(self, update_id: int, body: bytes, bot: str) -> None:
        self._update_id = update_id
        self._raw = body
        self._bot = bot

    def events(self, update: Update) -> tuple[AnyEvent, ...]:
        """The events of the one kind of update that is in it."""
        if update.message is not None:
            return self._message(update.message)
        readers: tuple[tuple[Any, Callable[[Any], tuple[AnyEvent, ...]]], ...] = (
            (update.edited_message, self._edit),
            (update.callback_query, self._callback),
            (update.my_chat_member, self._member),
            (update.message_reaction, self._reaction),
            (update.business_message, self._business_message),
            (update.edited_business_message, self._edit),
            (update.deleted_business_messages, self._deleted),
            (update.business_connection, self._connection),
        )
        for content, read in readers:
            if content is not None:
                return read(content)
        kinds = sorted(keys_decoder.decode(self._raw).keys() - {"update_id"} - set(Update.__struct_fields__))
        return self._ignored("update", f"update {kinds[0][:64]} is not used" if kinds else "an update without content")

    # --- messages -----------------------------------------------------------------------------------------------------

    def _message(self, message: Message) -> tuple[AnyEvent, ...]:
        about = f"message:{message_id(message)}"
        if (moved := _move(message)) is not None:
            old, new = moved
            return (AddressMoved(key=self._key(about), at=_time(message.date), raw=self._raw, old_thread=str(old), new_thread=str(new)),)
        if why := _not_for_us(message.chat, message.from_):
            return self._ignored(about, why)
        if message.text.startswith("/start") and (start := _START.fullmatch(message.text)):
            return (ChatStarted(**self._common(about, message), payload=start[1] or ""),)
        return self._spoken(message, about, "message")

    def _spoken(self, message: Message, about: str, field: str) -> tuple[AnyEvent, ...]:
        parts, why = self._parts(message, field)
        if not parts:
            return self._ignored(about, why)
        quoted = message.reply_to_message
        return (
            MessageReceived(
                **self._common(about, message),
                message_id=message_id(message),
                parts=parts,
                reply_to=f"{thread(message)}:{quoted.message_id}" if quoted is not None else "",
                group=message.media_group_id,
                forwarded_from=_forwarded_from(message),
            ),
        )

    def _edit(self, message: Message) -> tuple[AnyEvent, ...]:
        about = f"edit:{message_id(message)}:{message.edit_date}"
        if why := _not_for_us(message.chat, message.from_):
            return self._ignored(about, why)
        if message.location is not None:
            # A shared live location is edited every few seconds, for hours.
            return self._ignored(about, "a live location moved")
        if _by_owner(message):
            return self._ignored(about, "the business account's owner edited a message of theirs")
        parts, why = self._parts(message, "edited_business_message" if message.business_connection_id else "edited_message")
        if not parts:
            return self._ignored(about, why)
        common = self._common(about, message) | {"at": _time(message.edit_date or message.date)}
        return (MessageEdited(**common, message_id=message_id(message), parts=parts),)

    def _business_message(self, message: Message) -> tuple[AnyEvent, ...]:
        about = f"message:{message_id(message)}"
        if not _by_owner(message):
            why = _not_for_us(message.chat, message.from_)
            return self._ignored(about, why) if why else self._spoken(message, about, "business_message")
        if message.sender_business_bot is not None and str(message.sender_business_bot.id) == self._bot:
            return self._ignored(about, "our own message")
        parts, why = self._parts(message, "business_message")
        if not parts:
            return self._ignored(about, why)
        return (
            MessageEchoed(
                key=self._key(about),
                at=_time(message.date),
                raw=self._raw,
                sender=Sender(identity=Identity("telegram", self._bot, str(message.chat.id)), name=_name(message.chat)),
                thread=thread(message),
                message_id=message_id(message),
                parts=parts,
            ),
        )

    def _parts(self, message: Message, field: str) -> tuple[tuple[AnyPart, ...], str]:
        """The parts, or none and why not."""
        if parts := parts_of(message):
            return parts, ""
        content = keys_decoder.decode(bytes(keys_decoder.decode(self._raw)[field]))
        kind, why = unknown_content(frozenset(content))
        return (unsupported(kind.replace("\0", "\ufffd")), "") if kind else ((), why)

    # --- everything else ------------------------------------------------------------------------------------------------

    def _callback(self, query: CallbackQuery) -> tuple[AnyEvent, ...]:
        about = f"callback:{query.id[:128]}"
        asked = query.message
        if asked is not None and (why := _not_for_us(asked.chat, query.from_)):
            return self._ignored(about, why)
        if not query.data:
            return self._ignored(about, "a button without data")
        keyboard = asked.reply_markup if asked is not None else None
        rows = keyboard.inline_keyboard if keyboard is not None else ()
        label = next((button.text for row in rows for button in row if button.callback_data == query.data), "")
        return (
            MessageReceived(
                key=self._key(about),
                raw=self._raw,
                sender=self._sender(query.from_),
                thread=thread(asked) if asked is not None else str(query.from_.id),
                message_id=about,
                parts=(Chosen(id=query.data, label=label),),
                reply_to=message_id(asked) if asked is not None else "",
            ),
        )

    def _member(self, change: MemberChange) -> tuple[AnyEvent, ...]:
        about = f"member:{change.chat.id}:{change.date}"
        if why := _not_for_us(change.chat, change.from_):
            return self._ignored(about, why)
        status = change.new_chat_member.status
        if status not in {"kicked", "member"}:
            return self._ignored(about, f"the bot's membership became {status[:32]}")
        return (
            ConsentChanged(
                key=self._key(about),
                at=_time(change.date),
                raw=self._raw,
                sender=self._sender(change.from_),
                thread=str(change.chat.id),
                opted_in=status == "member",
            ),
        )

    def _reaction(self, reaction: Reaction) -> tuple[AnyEvent, ...]:
        about = f"reaction:{reaction.chat.id}:{reaction.message_id}:{reaction.date}"
        if reaction.user is None or (why := _not_for_us(reaction.chat, reaction.user)):
            return self._ignored(about, "a reaction without a person" if reaction.user is None else why)
        # A custom emoji has only an id, which nobody else can draw.
        emoji = tuple(item.emoji or ("⭐" if item.type == "paid" else "❔") for item in reaction.new_reaction)
        return (
            ReactionChanged(
                key=self._key(about),
                at=_time(reaction.date),
                raw=self._raw,
                sender=self._sender(reaction.user),
                thread=str(reaction.chat.id),
                message_id=f"{reaction.chat.id}:{reaction.message_id}",
                emoji=emoji,
            ),
        )

    def _deleted(self, deleted: DeletedMessages) -> tuple[AnyEvent, ...]:
        where = f"{deleted.chat.id}@{deleted.business_connection_id}"
        ids = dict.fromkeys(deleted.message_ids)
        return tuple(
            MessageDeleted(key=self._key(f"deleted:{where}:{number}"), raw=self._raw, message_id=f"{where}:{number}") for number in ids
        ) or self._ignored("deleted", "nothing was deleted")

    def _connection(self, connection: BusinessConnection) -> tuple[AnyEvent, ...]:
        may = connection.is_enabled and connection.rights is not None and connection.rights.can_reply
        state = "enabled" if connection.is_enabled else "disabled"
        return self._ignored("connection", f"business connection {state}, {'may' if may else 'may not'} reply")

    # --- what they share --------------------------------------------------------------------------------------------------

    def _key(self, about: str) -> str:
        return f"{self._update_id}:{about}"[:512]

    def _ignored(self, about: str, why: str) -> tuple[AnyEvent, ...]:
        return (PayloadIgnored(key=self._key(about), raw=self._raw, why=why),)

    def _common(self, about: str, message: Message) -> dict[str, Any]:
        assert message.from_ is not None
        phone = own_phone(message) if message.contact is not None else ""
        return {
            "key": self._key(about),
            "at": _time(message.date),
            "raw": self._raw,
            "sender": self._sender(message.from_, phone),
            "thread": thread(message),
        }

    def _sender(self, user: User, phone: str = "") -> Sender:
        aliases = ((Identity("tel", "", phone), Evidence.PROVIDER),) if phone else ()
        identity = Identity("telegram", self._bot, str(user.id))
        return Sender(identity=identity, name=_name(user), language=user.language_code[:35], aliases=aliases)


def thread(message: Message | AskedMessage) -> str:
    """Where an answer goes: ``<chat>``, or ``<chat>@<business connection>``."""
    return f"{message.chat.id}@{message.business_connection_id}" if message.business_connection_id else str(message.chat.id)


def message_id(message: Message | AskedMessage) -> str:
    """``<thread>:<number>``; Telegram's numbers are unique within a chat only."""
    return f"{thread(message)}:{message.message_id}"


def _not_for_us(chat: Chat, user: User | None) -> str:
    if chat.type != "private":
        return f"a {chat.type[:32]} chat; only private chats are served"
    if user is None:
        return "a message without a sender"
    return "a message by a bot" if user.is_bot else ""


def _by_owner(message: Message) -> bool:
    """In a business chat the chat's id is the customer's: whoever else writes there is the account's owner."""
    return bool(message.business_connection_id) and message.from_ is not None and message.from_.id != message.chat.id


def _move(message: Message) -> tuple[int, int] | None:
    if message.migrate_to_chat_id is not None:
        return message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id is not None:
        return message.migrate_from_chat_id, message.chat.id
    return None


def _name(person: User | Chat) -> str:
    return f"{person.first_name} {person.last_name}".strip() or person.username


def _forwarded_from(message: Message) -> str:
    origin = message.forward_origin
    if origin is None:
        return ""
    if origin.sender_user is not None:
        return _name(origin.sender_user) or "somebody"
    source = origin.sender_chat or origin.chat
    return origin.sender_user_name or (source.title if source is not None else "") or "somebody"


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, _EARLIEST), _LATEST), UTC)
