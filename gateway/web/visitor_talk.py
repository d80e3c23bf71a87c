"""One open chat window: shows a visitor their own public messages, and takes in what they write."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from connectors.contract import Request
from connectors.webchat.inbound import MAX_FILES, MAX_TEXT, TOKEN_HEADER, Address, ChosenFrame, Frame, ProfileFrame, StartFrame
from connectors.webchat.visitor import Visitor
from gateway.hub import CursorLost, Overrun
from gateway.intake import Outcome, take_in
from gateway.services import Channel, Services
from gateway.web.links import ways_on
from gateway.web.live import ABUSE, BAD_CREDENTIAL, Closing, Wire, encode
from gateway.web.strict_json import BadJson, convert, load
from gateway.web.throttle import Rate
from gateway.web.visitor_files import FileId, own_files
from gateway.web.visitor_view import PUBLIC, FileLinks, VisitorMessage, client_id_of, visitor_message
from gateway.whisper import TTL, Whisper
from routing.command import Actor, VisitorSeen
from routing.errors import Refused, Unknown
from storage.access import Scope
from storage.errors import StorageError
from storage.ids import random_id
from storage.protocol import Transaction
from storage.record import Gathered, Message, MessageKind, Recorded, Role, Spooled

SLOW: Final = 4408
_FRAMES_PER_SECOND: Final = 20.0
_FIRST_ITEMS: Final = 50
_READ: Final = 200
_MOST_ITEMS: Final = 1000
_SHOWN: Final = {"message.added": "message", "message.changed": "changed"}


class SaidFrame(Frame, frozen=True, kw_only=True, tag="message"):
    """A text, files that were uploaded before, or both."""

    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    files: Annotated[tuple[FileId, ...], Meta(max_length=MAX_FILES)] = ()
    page: Address = ""
    referrer: Address = ""

    def __post_init__(self) -> None:
        """An empty message says nothing."""
        if not self.text and not self.files:
            raise ValueError("a message needs a text or a file")


class SeenFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="seen", forbid_unknown_fields=True):
    """The page has shown everything up to ``pos``; ``read``: and the chat was open."""

    pos: int
    read: bool = False


class TypingFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="typing", forbid_unknown_fields=True):
    """The visitor is typing, now."""


class RefreshFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="refresh", forbid_unknown_fields=True):
    """The links to the files of a message are too old: say it again with fresh ones."""

    message: Annotated[str, Meta(min_length=1, max_length=128)]


#: What a visitor may say.
Said = SaidFrame | ChosenFrame | StartFrame | ProfileFrame | SeenFrame | TypingFrame | RefreshFrame


class _Added(Struct):
    """What a visitor's window needs of the data of ``message.*``."""

    message: Message


class _Named(Struct):
    """The id in a frame that is otherwise wrong, so that the page knows which one."""

    id: str = ""


class Talk:
    """One line to one visitor, whatever it is made of; several tabs are several talks with the same identity."""

    def __init__(self, services: Services, channel: Channel, visitor: Visitor, token: str, wire: Wire) -> None:
        self._services = services
        self._channel = channel
        self._visitor = visitor
        self._token = token
        self._wire = wire
        self._scope = Scope(identity=str(visitor.identity))
        self._links = FileLinks(channel)

    async def show(self, after: int) -> None:
        """Say hello, send the history, then everything new, for ever. Raises Closing."""
        while True:
            pos, items, unread = await self._services.looks(functools.partial(self._history, after=after))
            after = pos
            limit = self._services.config.media.max_bytes
            able = {"max_file": limit, "mail": bool(self._channel.settings.mail_channel), "links": ways_on(self._services)}
            await self._send({"type": "hello", "visitor_id": self._visitor.visitor, "pos": pos, "unread": unread, **able})
            await self._send({"type": "history", "items": items})
            try:
                async with contextlib.aclosing(self._services.hub.follow(pos)) as batches:
                    async for batch in batches:
                        for recorded in batch:
                            after = recorded.pos
                            await self._show(recorded)
            except CursorLost:
                continue
            except Overrun:
                raise Closing(SLOW, "too slow") from None

    async def overhear(self) -> None:
        """Pass on that an agent is typing. Raises Closing."""
        with self._services.hub.whispers.listen() as listener:
            while True:
                whisper = await listener.next()
                if whisper.identity == str(self._visitor.identity):
                    await self._send({"type": "typing", "author": whisper.author, "until": whisper.until})

    async def listen(self, frames: AsyncIterator[bytes | None]) -> None:
        """Take in what the visitor sends, in order. Raises Closing."""
        loop = asyncio.get_running_loop()
        rate = Rate(_FRAMES_PER_SECOND, _FRAMES_PER_SECOND, loop.time())
        async for frame in frames:
            if not rate.take(loop.time()):
                raise Closing(ABUSE, f"more than {_FRAMES_PER_SECOND:.0f} frames per second")
            if frame is not None:
                await self.take(frame)

    async def take(self, frame: bytes) -> None:
        """One frame of the visitor; whatever there is to say about it goes out on the wire. Raises Closing."""
        try:
            document = load(frame)
            decoded: Said = convert(document, Said)  # type: ignore[arg-type]
        except BadJson as error:
            await self._refuse(_id_of(frame), "bad_frame", str(error))
            return
        try:
            match decoded:
                case SeenFrame():
                    await self._seen(decoded)
                case TypingFrame():
                    await self._typing()
                case RefreshFrame():
                    await self._refresh(decoded.message)
                case SaidFrame() if decoded.files:
                    files = await self._services.store.view(lambda tx: own_files(tx, decoded.files, self._visitor.identity))
                    await self._keep(decoded.id, encode({**document, "files": files}))
                case _:
                    await self._keep(decoded.id, encode(document))
        except Refused as error:
            await self._refuse(_id_of(frame), error.code, str(error))
        except StorageError:
            await self._refuse(_id_of(frame), "unavailable", "The shop cannot take messages right now. Please try again.")

    async def _keep(self, frame_id: str, body: bytes) -> None:
        request = Request(
            method="POST",
            url=f"{self._services.config.public_url}/chat/v1/{self._channel.id}/socket",
            headers={TOKEN_HEADER: self._token},
            body=body,
            received_at=self._services.clock(),
        )
        receipt = await take_in(self._services, self._channel, request)
        if receipt.outcome is Outcome.REFUSED:
            raise Closing(BAD_CREDENTIAL, "the token is too old")
        self._services.hub.whispers.rested(str(self._visitor.identity))
        place = receipt.places[0]
        # What lies in the spool has no position yet; the page learns it from the feed.
        await self._send({"type": "ack", "id": frame_id} | ({} if isinstance(place, (Spooled, Gathered)) else {"pos": place.pos}))

    async def _typing(self) -> None:
        """Whisper it to the agents who see the conversation; before the first message there is none."""
        identity, now, whispers = self._visitor.identity, self._services.clock(), self._services.hub.whispers
        if not whispers.may(str(identity), now):
            return
        conversation = await self._services.store.view(lambda tx: tx.conversations.unresolved(self._channel.id, identity))
        if conversation is not None:
            whispers.say(Whisper(conversation_id=conversation.id, until=now + TTL, queue=conversation.queue_id))

    async def _refresh(self, message_id: str) -> None:
        shown = await self._services.store.view(lambda tx: self._again(tx, message_id))
        await self._wire.send(_frame("changed", shown))

    async def _again(self, tx: Transaction, message_id: str) -> VisitorMessage:
        message = await tx.messages.get(message_id)
        if message is None or message.kind not in PUBLIC or await tx.conversations.get(message.conversation_id, self._scope) is None:
            raise Unknown("not_found", "There is no such message of yours.")
        return await self._view(tx, message)

    async def _seen(self, frame: SeenFrame) -> None:
        actor = Actor(agent_id="", name="", role=Role.BOT, scope=self._scope)
        command = VisitorSeen(
            id=random_id("cmd", self._services.clock()),
            actor=actor,
            channel=self._channel.id,
            identity=self._visitor.identity,
            pos=max(0, frame.pos),
            read=frame.read,
        )
        await self._services.router.handle(command)

    async def _show(self, recorded: Recorded) -> None:
        entry = recorded.entry
        kind = _SHOWN.get(entry.type)
        if kind is None or not self._scope.admits(queues=entry.queues, identity=entry.identity, agent=entry.agent):
            return
        message = msgspec.json.decode(entry.data, type=_Added).message
        if message.kind in PUBLIC:
            shown = await self._services.store.view(lambda tx: self._view(tx, message)) if message.kind is MessageKind.INBOUND else None
            await self._wire.send(_frame(kind, shown or visitor_message(message, "", self._link)))

    async def _history(self, tx: Transaction, *, after: int) -> tuple[int, list[VisitorMessage], int]:
        """Where the stream stands, what the visitor sees, and how much of it is new to them."""
        head = await tx.stream.head()
        known = await tx.customers.find(self._visitor.identity)
        if known is None:
            return head, [], 0
        if after:
            found = await self._since(tx, known.customer_id, after)
        else:
            found = await tx.messages.of_customer(known.customer_id, self._scope, 0, 0, _READ)
        public = [message for message in found if message.kind in PUBLIC]
        shown = public if after else public[-_FIRST_ITEMS:]
        latest = await tx.conversations.latest(self._channel.id, self._visitor.identity)
        seen = latest.customer_seen_pos if latest else 0
        unread = sum(message.kind is MessageKind.OUTBOUND and message.pos > seen for message in public)
        return head, [await self._view(tx, message) for message in shown], unread

    async def _view(self, tx: Transaction, message: Message) -> VisitorMessage:
        return visitor_message(message, await client_id_of(tx, message, self._visitor), self._link)

    def _link(self, stored: str) -> str:
        path = self._links.make(self._visitor.identity, stored, self._services.clock())
        return self._services.config.file_origin + path

    async def _since(self, tx: Transaction, customer_id: str, after: int) -> list[Message]:
        found: list[Message] = []
        while len(found) < _MOST_ITEMS:
            page = await tx.messages.of_customer(customer_id, self._scope, found[-1].pos if found else after, 0, _READ)
            found += page
            if len(page) < _READ:
                break
        return found

    async def _send(self, frame: dict[str, Any]) -> None:
        await self._wire.send(encode(frame))

    async def _refuse(self, frame_id: str, code: str, detail: str) -> None:
        await self._send({"type": "error", "code": code, "detail": detail, **({"id": frame_id} if frame_id else {})})


def _frame(kind: str, message: VisitorMessage) -> bytes:
    return b'{"type":%b,%b' % (encode(kind), encode(message)[1:])


def _id_of(frame: bytes) -> str:
    try:
        return msgspec.json.decode(frame, type=_Named).id[:64]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
