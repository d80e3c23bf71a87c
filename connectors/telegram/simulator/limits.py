"""Telegram's limits and the words with which it refuses (core.telegram.org/bots/api and /bots/faq, read 2026-11)."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from connectors.text import Unit, length

TEXT: Final = 4096
CAPTION: Final = 1024
CALLBACK_DATA: Final = 64
BUTTONS: Final = 100
ALBUM_FILES: Final = 10
PHOTO_BYTES: Final = 10_000_000
FILE_BYTES: Final = 50_000_000
DOWNLOAD_BYTES: Final = 20_000_000


class ApiError(Exception):
    """A refusal, as the Bot API gives it."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad(description: str) -> ApiError:
    """400 with Telegram's prefix."""
    return ApiError(400, f"Bad Request: {description}")


def too_many(seconds: int) -> ApiError:
    """429, which says when to come back."""
    return ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


def check_text(text: Any) -> str:
    """A message's text: 1 … 4096 UTF-16 units, with something to see."""
    if not isinstance(text, str) or not text.strip():
        raise bad("message text is empty")
    if length(text, Unit.UTF16) > TEXT:
        raise bad("message is too long")
    return text


def check_caption(caption: Any) -> str:
    """A file's caption: at most 1024 UTF-16 units."""
    if not isinstance(caption, str):
        raise bad("can't parse caption: it must be a string")
    if length(caption, Unit.UTF16) > CAPTION:
        raise bad("message caption is too long")
    return caption


def check_keyboard(markup: Any) -> dict[str, Any]:
    """An inline keyboard; other kinds are not simulated."""
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    if not isinstance(rows, list):
        raise bad("object expected as reply markup")
    buttons = [button for row in rows for button in row]
    if len(buttons) > BUTTONS:
        raise bad("reply markup is too long")
    for button in buttons:
        if not str(button.get("text", "")).strip():
            raise bad("can't parse inline keyboard button: text must be non-empty")
        if not 1 <= len(str(button.get("callback_data", "")).encode()) <= CALLBACK_DATA:
            raise bad("BUTTON_DATA_INVALID")
    return {"inline_keyboard": rows}


class _Bucket:
    __slots__ = ("_burst", "_rate", "_tokens", "_when")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._tokens, self._when = rate, burst, burst, now

    def take(self, now: float, count: int) -> int:
        """0 if ``count``, which go together, may go now; else whole seconds to wait. What they are too many is missing afterwards."""
        self._tokens = min(self._burst, self._tokens + (now - self._when) * self._rate)
        self._when = now
        if self._tokens >= 1:
            self._tokens -= count
            return 0
        return max(1, math.ceil((1 - self._tokens) / self._rate))


class RateLimits:
    """About one message a second per chat after a short burst, and thirty a second for the bot."""

    def __init__(self, *, enabled: bool, clock: Callable[[], float] = time.monotonic, chat_burst: int = 5) -> None:
        self.enabled = enabled
        self._clock = clock
        self._chat_burst = chat_burst
        self._bot = _Bucket(30, 30, clock())
        self._chats: OrderedDict[int, _Bucket] = OrderedDict()

    def check(self, chat_id: int, count: int = 1) -> None:
        """Counts one sending of so many messages; raises 429 when it is one too many."""
        if not self.enabled:
            return
        now = self._clock()
        bucket = self._chats.setdefault(chat_id, _Bucket(1, self._chat_burst, now))
        self._chats.move_to_end(chat_id)
        if len(self._chats) > 10_000:
            self._chats.popitem(last=False)
        if wait := bucket.take(now, count) or self._bot.take(now, count):
            raise too_many(wait)
