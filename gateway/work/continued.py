"""Mails visitors who have gone what they were answered: reads the stream for answers in chats, and asks the router once one is old enough.

Nothing here can be lost: where the reading stands is noted only up to the first answer that is still to be asked about, and to ask about
one twice mails it once. What is mailed, and to whom, is for :mod:`routing.continued` to say.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from connectors.email import Settings as MailSettings
from connectors.webchat import Settings as ChatSettings
from gateway.services import Channel, Services
from gateway.work.actor import GATEWAY, command_id
from gateway.work.follower import Follower
from routing.command import MailUnseen
from storage.errors import StorageError
from storage.record import MessageKind, Recorded

#: The name of the duty, and of the setting that says how far it has come.
CONSUMER: Final = "continue"
EVERY_SECONDS: Final = 2.0
_VISITOR: Final = "visitor:"


class _Line(Struct):
    kind: MessageKind
    channel: str
    conversation_id: str


class _Added(Struct):
    """What is needed of the data of ``message.added``."""

    message: _Line


class _Pending(Struct):
    """A chat to ask about, because of the answer at ``pos``."""

    pos: int
    channel: str
    due: datetime


def continuing(channels: Iterable[Channel]) -> dict[str, ChatSettings]:
    """The enabled web chats that go on by mail, with their settings."""
    return {
        one.id: one.settings for one in channels if one.enabled and isinstance(one.settings, ChatSettings) and one.settings.mail_channel
    }


class ContinueWorker:
    """One at a time, by its lease."""

    def __init__(self, services: Services, *, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._every = every
        self._chats = continuing(services.channels.values())
        self._decoder = msgspec.json.Decoder(_Added)
        self._pending: dict[str, _Pending] = {}
        self._follower = Follower(services.store, CONSUMER)
        self._log = structlog.get_logger("continue")

    async def run(self) -> None:
        """Look until cancelled. Raises StorageError; then the supervisor starts it again."""
        self._pending.clear()
        self._follower.rewind()
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Once. Raises StorageError."""
        async for recorded in self._follower.fresh():
            self._consider(recorded)
        now = self._services.clock()
        for conversation_id, pending in list(self._pending.items()):
            if pending.due <= now:
                await self._ask(conversation_id, pending, now)
        await self._follower.note(one.pos for one in self._pending.values())

    def _consider(self, recorded: Recorded) -> None:
        entry = recorded.entry
        if entry.type != "message.added" or not entry.identity.startswith(_VISITOR):
            return
        line = self._decoder.decode(entry.data).message
        chat = self._chats.get(line.channel)
        if chat is not None and line.kind is MessageKind.OUTBOUND:
            due = entry.at + timedelta(seconds=chat.mail_after)
            self._pending.setdefault(line.conversation_id, _Pending(recorded.pos, line.channel, due))

    async def _ask(self, conversation_id: str, pending: _Pending, now: datetime) -> None:
        again = 0
        try:
            result = await self._services.router.handle(self._command(conversation_id, pending.channel))
            again = result if isinstance(result, int) else 0
        except StorageError:
            raise
        except Exception:  # noqa: BLE001 - one chat's trouble must not keep the others from going on
            self._log.exception("a chat could not go on by mail", conversation=conversation_id)
        if again:
            pending.due = now + timedelta(seconds=again)
        else:
            del self._pending[conversation_id]

    def _command(self, conversation_id: str, channel: str) -> MailUnseen:
        chat, mail = self._chats[channel], self._services.channels[self._chats[channel].mail_channel]
        assert isinstance(mail.settings, MailSettings)
        return MailUnseen(
            id=command_id(self._services.clock()),
            actor=GATEWAY,
            conversation_id=conversation_id,
            by=mail.id,
            after=timedelta(seconds=chat.mail_after),
            title=chat.title or self._services.channels[channel].title,
            origins=chat.origins,
        )
