"""What the simulator knows: people, chats, messages, files. One per application; bounded."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from connectors.telegram.simulator.ledger import Ledger
from connectors.telegram.simulator.limits import RateLimits

MESSAGES_PER_CHAT: Final = 1000
CHANGES_KEPT: Final = 10_000
#: Bytes of all files together.
FILES_KEPT: Final = 256 << 20
#: Beyond 32 bits, as real ids are.
FIRST_USER: Final = 7_000_000_001

Json = dict[str, Any]


@dataclass(slots=True)
class Kept:
    """A message as the Bot API shows it, and what became of it."""

    api: Json
    from_bot: bool
    edited: bool = False
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Chat:
    """A private chat between one person and the bot."""

    user: Json
    blocked: bool = False
    deactivated: bool = False
    #: Where the chat has gone; for tests of migrations.
    moved_to: int = 0
    messages: OrderedDict[int, Kept] = field(default_factory=OrderedDict)
    last_message: int = 0

    @property
    def id(self) -> int:
        """In a private chat it is the person's."""
        number: int = self.user["id"]
        return number

    def api(self) -> Json:
        """As the Bot API shows the chat."""
        return {"type": "private", **{name: self.user[name] for name in ("id", "first_name", "last_name") if name in self.user}}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file at Telegram."""

    id: str
    path: str
    data: bytes
    mime: str


class World:
    """Everything that one simulator remembers."""

    def __init__(
        self,
        token: str,
        username: str,
        ledger: Ledger,
        limits: RateLimits,
        now: Callable[[], float] = time.time,
        first_user: int = FIRST_USER,
    ) -> None:
        self.token = token
        title = username.removesuffix("_bot").replace("_", " ").title()
        self.bot: Json = {"id": int(token.partition(":")[0]), "is_bot": True, "first_name": title, "username": username}
        self.chats: dict[int, Chat] = {}
        self.ledger = ledger
        self.limits = limits
        self.now = now
        #: Callback queries that wait for an answer: id -> chat.
        self.callbacks: OrderedDict[str, int] = OrderedDict()
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._file_bytes = 0
        self._changes: deque[Json] = deque(maxlen=CHANGES_KEPT)
        self._changed = asyncio.Event()
        self.pos = 0
        self._users = count(first_user)
        self._numbers = count(1)

    # --- people and messages ----------------------------------------------------------------------------------------

    def add_user(self, first_name: str, last_name: str, language_code: str) -> Chat:
        """A new person, and their chat with the bot."""
        user: Json = {"id": next(self._users), "is_bot": False, "first_name": first_name}
        user |= {name: value for name, value in (("last_name", last_name), ("language_code", language_code)) if value}
        chat = self.chats[user["id"]] = Chat(user=user)
        self.change("user.added", chat.id, user=user)
        return chat

    def add_message(self, chat: Chat, *, from_bot: bool, content: Json) -> Kept:
        """A new message at the end of ``chat``; the oldest beyond the bound is forgotten."""
        chat.last_message += 1
        sender = self.bot if from_bot else chat.user
        api = {"message_id": chat.last_message, "from": sender, "chat": chat.api(), "date": int(self.now()), **content}
        kept = chat.messages[chat.last_message] = Kept(api=api, from_bot=from_bot)
        if len(chat.messages) > MESSAGES_PER_CHAT:
            chat.messages.popitem(last=False)
        self.change("message.added", chat.id, message=view(kept))
        return kept

    def next_number(self) -> int:
        """For ids of callback queries and albums."""
        return next(self._numbers)

    # --- files --------------------------------------------------------------------------------------------------------

    def add_file(self, data: bytes, mime: str, folder: str, suffix: str) -> StoredFile:
        """Keeps ``data``; forgets the oldest files beyond the bound."""
        number = next(self._numbers)
        file = StoredFile(f"AgAC-{number:08d}", f"{folder}/file_{number}{suffix}", data, mime)
        self._files[file.id] = file
        self._file_bytes += len(data)
        while self._file_bytes > FILES_KEPT and len(self._files) > 1:
            self._file_bytes -= len(self._files.popitem(last=False)[1].data)
        return file

    def file(self, file_id: str) -> StoredFile | None:
        """By the id that the Bot API gives out."""
        return self._files.get(file_id)

    def file_at(self, path: str) -> StoredFile | None:
        """By the path that ``getFile`` gives out."""
        return next((file for file in self._files.values() if file.path == path), None)

    # --- what the phone page follows --------------------------------------------------------------------------------------

    def change(self, kind: str, chat_id: int, **what: Any) -> None:
        """Something that a phone would show."""
        self.pos += 1
        self._changes.append({"pos": self.pos, "type": kind, "chat_id": chat_id, **what})
        self._changed.set()

    async def changes(self, after: int, timeout: float) -> list[Json]:  # noqa: ASYNC109  a long poll's length
        """Changes after ``after``; waits up to ``timeout`` seconds for the first."""
        deadline = time.monotonic() + timeout
        while self.pos <= after:
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return []
        return [item for item in self._changes if item["pos"] > after]

    def snapshot(self) -> Json:
        """Everything that the control API shows."""
        chats = [
            {"chat_id": chat.id, "user": chat.user, "blocked": chat.blocked, "messages": [view(kept) for kept in chat.messages.values()]}
            for chat in self.chats.values()
        ]
        return {"bots": [self.bot], "chats": chats, "pos": self.pos}


#: Fields of a message that a phone shows as they are.
_SHOWN: Final = (
    "message_id",
    "date",
    "text",
    "caption",
    "reply_markup",
    "location",
    "venue",
    "contact",
    "media_group_id",
)
_FILES: Final = ("photo", "video", "audio", "voice", "document", "sticker")


def view(kept: Kept) -> Json:
    """A message as the control API shows it."""
    api = kept.api
    shown: Json = {name: api[name] for name in _SHOWN if name in api} | {"from_bot": kept.from_bot}
    for name in _FILES:
        if name in api:
            largest = api[name][-1] if name == "photo" else api[name]
            shown |= {name: True, "file_id": largest["file_id"]}
            if "file_name" in largest:
                shown["file_name"] = largest["file_name"]
            if name == "sticker":
                shown["emoji"] = largest.get("emoji", "")
    if "reply_to_message" in api:
        shown["reply_to_message_id"] = api["reply_to_message"]["message_id"]
    if kept.edited:
        shown["edited"] = True
    if kept.reactions:
        shown["reactions"] = kept.reactions
    return shown
