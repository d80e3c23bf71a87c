"""What is said between open windows and never kept: somebody is typing.

A whisper reaches those who are listening at that moment, on whatever node, and means nothing some seconds later. It has no
position, and losing one harms nobody; so each listener holds a few only.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from storage.bus import Bus

TOPIC: Final = "whisper"
#: How long "is typing" is shown after the last sign of it.
TTL: Final = timedelta(seconds=6)
#: Of one person in one conversation, at most one whisper in this time is passed on.
PAUSE: Final = timedelta(seconds=3)
_WAITING: Final = 100
_REMEMBERED: Final = 10_000


class Whisper(Struct, frozen=True, kw_only=True):
    """Somebody is typing in a conversation, until a time."""

    conversation_id: str
    until: datetime
    #: To agents who see this queue …
    queue: str = ""
    #: … or to this visitor, as ``str(Identity)``, from the agent of this name.
    identity: str = ""
    author: str = ""


class Listener:
    """Made by :meth:`Whispers.listen`."""

    def __init__(self) -> None:
        self._waiting: deque[Whisper] = deque(maxlen=_WAITING)
        self._wake = asyncio.Event()

    def offer(self, whisper: Whisper) -> None:
        """Take it, forgetting the oldest one if nobody comes for them."""
        self._waiting.append(whisper)
        self._wake.set()

    async def next(self) -> Whisper:
        """Wait for the next one."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


class Whispers:
    """All who listen on this node; ``bus`` brings what is said on others."""

    def __init__(self, bus: Bus | None = None) -> None:
        self._bus = bus
        if bus is not None:
            bus.hear(TOPIC, self.hear)
        self._listeners: set[Listener] = set()
        self._last: OrderedDict[str, datetime] = OrderedDict()

    def may(self, speaker: str, now: datetime) -> bool:
        """Has ``speaker`` (a person and where) been quiet for long enough? If so, a new pause begins."""
        last = self._last.get(speaker)
        if last is not None and now - last < PAUSE:
            return False
        self._last[speaker] = now
        self._last.move_to_end(speaker)
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return True

    def rested(self, speaker: str) -> None:
        """``speaker`` has said what they were typing; the next sign is of something new."""
        self._last.pop(speaker, None)

    def say(self, whisper: Whisper) -> None:
        """Pass it to all; each listener picks what is meant for them."""
        if self._bus is None:
            self._pass(whisper)
        else:
            self._bus.tell(TOPIC, msgspec.json.encode(whisper))

    def hear(self, data: bytes) -> None:
        """What was said here or on another node. What cannot be read comes from another version, and is no loss."""
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            self._pass(msgspec.json.decode(data, type=Whisper))

    def _pass(self, whisper: Whisper) -> None:
        for listener in self._listeners:
            listener.offer(whisper)

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Whispers from now on."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
