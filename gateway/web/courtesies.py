"""What a shopper's app shows of an agent at work, where the channel can: "seen", "is typing". A courtesy: it never stands in the way."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog

from connectors.abilities import ReadMarker, Typist
from gateway.services import Services
from storage.interaction import InteractionKind
from storage.protocol import Transaction
from storage.record import Conversation, MessageKind

#: In one conversation "is typing" is told at most so often: providers show it for about as long, and some bill or limit it.
TYPING_PAUSE: Final = timedelta(seconds=20)
SECONDS: Final = 10.0
_REMEMBERED: Final = 10_000
_LOOK_BACK: Final = 50

T = TypeVar("T")


class Courtesies:
    """Of one node."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._typed: OrderedDict[str, datetime] = OrderedDict()
        self._seen: OrderedDict[str, str] = OrderedDict()

    async def seen(self, conversation: Conversation, pos: int) -> None:
        """An agent has read up to ``pos``: the shopper's app may show it. Never raises."""
        channel = self._services.channels.get(conversation.channel)
        if channel is None or not channel.enabled or not isinstance(channel.client, ReadMarker):
            return
        newest = await self._newest(conversation, pos)
        if newest and self._seen.get(conversation.id) != newest:
            _remember(self._seen, conversation.id, newest)
            await self._kindly(channel.id, "read", newest, channel.client.mark_read(conversation.thread, newest))

    async def typing(self, conversation: Conversation) -> None:
        """An agent is typing. Never raises."""
        channel = self._services.channels.get(conversation.channel)
        if channel is None or not channel.enabled or not isinstance(channel.client, Typist):
            return
        now = self._services.clock()
        last = self._typed.get(conversation.id)
        if last is not None and timedelta() <= now - last < TYPING_PAUSE:
            return
        _remember(self._typed, conversation.id, now)
        newest = await self._newest(conversation, conversation.last_pos)
        if newest:
            await self._kindly(channel.id, "typing", newest, channel.client.show_typing(conversation.thread, newest))

    async def _newest(self, conversation: Conversation, pos: int) -> str:
        """The provider's id of the shopper's newest private message up to ``pos``; empty if there is none nearby."""

        async def look(tx: Transaction) -> str:
            lines = await tx.messages.of_conversation(conversation.id, 0, pos + 1, _LOOK_BACK)
            for line in reversed(lines):
                if line.kind is MessageKind.INBOUND and not line.public:
                    ids = await tx.messages.provider_ids(conversation.channel, line.id)
                    return ids[-1] if ids else ""
            return ""

        try:
            return await self._services.store.view(look)
        except Exception as error:  # noqa: BLE001 - a courtesy
            structlog.get_logger("web").warning("a courtesy was left out", error=type(error).__name__)
            return ""

    async def _kindly(self, channel: str, what: str, about: str, work: Awaitable[None]) -> None:
        began, why = time.perf_counter(), ""
        try:
            async with asyncio.timeout(SECONDS):
                await work
        except Exception as error:  # noqa: BLE001 - a courtesy
            why = type(error).__name__
            structlog.get_logger("web").warning("a courtesy failed", channel=channel, what=what, error=why)
        seconds = time.perf_counter() - began
        self._services.journal.asked(channel, InteractionKind.COURTESY, what, seconds, ok=not why, detail=why, refs=(about,))


def _remember(of: OrderedDict[str, T], key: str, value: T) -> None:
    of.pop(key, None)
    of[key] = value
    while len(of) > _REMEMBERED:
        of.popitem(last=False)
