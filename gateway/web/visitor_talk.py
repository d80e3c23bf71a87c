"""One open chat window: shows a visitor their own public messages, and takes in what they write."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from connectors.content import AnyPart
from connectors.contract import Request
from connectors.event import Instant
from connectors.webchat.inbound import TOKEN_HEADER, AnyFrame
from connectors.webchat.visitor import Visitor
from gateway.hub import CursorLost, Overrun
from gateway.intake import Outcome, take_in
from gateway.services import Channel, Services
from gateway.web.live import ABUSE, BAD_CREDENTIAL, Closing, Wire, encode
from gateway.web.strict_json import BadJson, convert, load
from gateway.web.throttle import Rate
from routing.command import Actor, VisitorSeen
from routing.errors import Refused
from storage.access import Scope
from storage.errors import StorageError
from storage.ids import random_id
from storage.protocol import Transaction
from storage.record import Message, MessageKind, Recorded, Role

SLOW: Final = 4408
_FRAMES_PER_SECOND: Final = 20.0
_FIRST_ITEMS: Final = 50
_READ: Final = 200
_MOST_ITEMS: Final = 1000
_PUBLIC: Final = frozenset({MessageKind.INBOUND, MessageKind.OUTBOUND})
_SHOWN: Final = {"message.added": "message", "message.changed": "changed"}


class VisitorMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as its shopper sees it: no statuses, no ids of agents."""

    id: str
    pos: int
    mine: bool
    #: Name to show.
    author: str
    parts: tuple[AnyPart, ...]
    at: Instant
    deleted: bool = False
    edited: bool = False


class SeenFrame(Struct, frozen=True, kw_only=True, tag_field="type", tag="seen", forbid_unknown_fields=True):
    """The page has shown everything up to ``pos``; ``read``: and the chat was open."""

    pos: int
    read: bool = False


class _Added(Struct):
    """What a visitor's window needs of the data of ``message.*``."""

    message: Message


class _Named(Struct):
    """The id in a frame that is otherwise wrong, so that the page knows which one."""

    id: str = ""


class Talk:
    """One socket of one visitor; several tabs are several talks with the same identity."""

    def __init__(self, services: Services, channel: Channel, visitor: Visitor, token: str, wire: Wire) -> None:
        self._services = services
        self._channel = channel
        self._visitor = visitor
        self._token = token
        self._wire = wire
        self._scope = Scope(identity=str(visitor.identity))

    async def show(self, after: int) -> None:
        """Say hello, send the history, then everything new, for ever. Raises Closing."""
        while True:
            pos, items, unread = await self._services.store.view(functools.partial(self._history, after=after))
            after = pos
            await self._send({"type": "hello", "visitor_id": self._visitor.visitor, "pos": pos, "unread": unread})
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

    async def listen(self, frames: AsyncIterator[bytes | None]) -> None:
        """Take in what the visitor sends, in order. Raises Closing."""
        loop = asyncio.get_running_loop()
        rate = Rate(_FRAMES_PER_SECOND, _FRAMES_PER_SECOND, loop.time())
        async for frame in frames:
            if not rate.take(loop.time()):
                raise Closing(ABUSE, f"more than {_FRAMES_PER_SECOND:.0f} frames per second")
            if frame is not None:
                await self._take(frame)

    async def _take(self, frame: bytes) -> None:
        try:
            document = load(frame)
            decoded: AnyFrame | SeenFrame = convert(document, AnyFrame | SeenFrame)  # type: ignore[arg-type]
        except BadJson as error:
            await self._refuse(_id_of(frame), "bad_frame", str(error))
            return
        try:
            if isinstance(decoded, SeenFrame):
                await self._seen(decoded)
            else:
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
        await self._send({"type": "ack", "id": frame_id, "pos": receipt.places[0].pos})

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
        if message.kind in _PUBLIC:
            await self._wire.send(b'{"type":%b,%b' % (encode(kind), encode(visitor_message(message))[1:]))

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
        public = [message for message in found if message.kind in _PUBLIC]
        shown = public if after else public[-_FIRST_ITEMS:]
        latest = await tx.conversations.latest(self._channel.id, self._visitor.identity)
        seen = latest.customer_seen_pos if latest else 0
        unread = sum(message.kind is MessageKind.OUTBOUND and message.pos > seen for message in public)
        return head, [visitor_message(message) for message in shown], unread

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


def visitor_message(message: Message) -> VisitorMessage:
    """Without anything that is not the shopper's business; a deleted message keeps its place only."""
    return VisitorMessage(
        id=message.id,
        pos=message.pos,
        mine=message.kind is MessageKind.INBOUND,
        author=message.author.name,
        parts=() if message.deleted else message.parts,
        at=message.at,
        deleted=message.deleted,
        edited=message.edited_at is not None,
    )


def _id_of(frame: bytes) -> str:
    try:
        return msgspec.json.decode(frame, type=_Named).id[:64]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
