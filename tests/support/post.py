"""A made-up channel whose provider does what a test says, and a standing gateway around it."""

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from config import Config, Secret
from config.model import Media, Storage
from connectors.abilities import FetchedMedia
from connectors.capabilities import Capabilities, Limits
from connectors.content import Media as MediaPart
from connectors.content import MediaKind, Text
from connectors.contract import Call, ClientContext, Connector, Failure, Outbound, Outcome, Reply, Request, Sent
from connectors.errors import BadPayload, FailureKind, Inexpressible
from connectors.event import AnyEvent, MessageReceived, Sender
from connectors.identity import Identity
from gateway.crashpoint import CrashPoints
from gateway.intake import Receipt, take_in
from gateway.services import Channel, Services
from gateway.wiring import open_gateway
from gateway.work.actor import GATEWAY, command_id
from routing.command import Reply as ReplyCommand
from storage.interaction import Interaction, InteractionKind, LogFilter
from storage.protocol import Transaction
from storage.record import Conversation, Message, Priority, State

T = TypeVar("T")

_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)


@contextlib.asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """A worker, cancelled at the end."""

    async def run() -> None:
        await work()

    task = asyncio.create_task(run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Settings(Struct, frozen=True):
    """Nothing to set."""


class Letter(Struct):
    """What the made-up provider sends."""

    id: str
    sender: str
    text: str = ""
    file: str = ""


class Provider:
    """The made-up provider. ``answers``: for each call an outcome, an exception, or an event to wait for; then everything is sent."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: deque[Outcome | Exception | asyncio.Event] = deque()
        self.files: dict[str, FetchedMedia | Exception] = {}
        self.letters: asyncio.Queue[Request] = asyncio.Queue()
        #: How many requests the receiver was allowed to forget.
        self.forgotten = 0
        self.under_way = 0
        self.most_under_way = 0

    async def send(self, call: Call) -> Reply:
        self.calls.append(call)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.answers.popleft() if self.answers else Sent(f"p{len(self.calls)}")
            if isinstance(answer, asyncio.Event):
                await answer.wait()
                answer = Sent(f"p{len(self.calls)}")
            if isinstance(answer, Exception):
                raise answer
            return Reply(status=200, body=msgspec.json.encode(answer))
        finally:
            self.under_way -= 1

    async def fetch_media(self, ref: str, max_bytes: int) -> FetchedMedia:
        del max_bytes
        found = self.files.get(ref, FetchedMedia(problem="gone"))
        if isinstance(found, Exception):
            raise found
        return found

    async def receive(self) -> AsyncIterator[Request]:
        while True:
            yield await self.letters.get()
            self.forgotten += 1

    async def close(self) -> None:
        """Nothing to close."""

    @property
    def texts(self) -> list[str]:
        return [call.json["text"] for call in self.calls]


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    del settings
    try:
        letter = msgspec.json.decode(request.body, type=Letter)
    except msgspec.MsgspecError as error:
        raise BadPayload(str(error)) from error
    part = MediaPart(kind=MediaKind.FILE, ref=letter.file) if letter.file else Text(text=letter.text)
    sender = Sender(identity=Identity("post", "", letter.sender), name=letter.sender)
    return [MessageReceived(key=letter.id, message_id=letter.id, sender=sender, thread=letter.sender, parts=(part,))]


def render(outbound: Outbound, settings: Settings) -> Sequence[Call]:
    del settings
    texts = [part.text if isinstance(part, Text) else "?" for part in outbound.parts]
    if "inexpressible" in texts:
        raise Inexpressible("postcards carry no such thing")
    if "crash" in texts:
        raise RuntimeError("a bug in render")
    return [Call(method="POST", url="send", json={"to": outbound.to, "text": text}, part=part) for part, text in enumerate(texts)]


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:
    del call, settings
    if reply.status == 0:
        return Failure(kind=FailureKind.UNKNOWN, detail="no answer")
    return _outcomes.decode(reply.body)


def connector(limits: Limits | None = None) -> Connector[Settings]:
    """The made-up connector."""
    texts = frozenset({"text", "media"})
    return Connector(
        kind="post",
        settings=Settings,
        capabilities=Capabilities(limits=limits or Limits(text=1000), sends=texts, receives=texts),
        verify=lambda request, settings: request.headers.get("stamp", "") != "forged" and isinstance(settings, Settings),
        parse=parse,
        render=render,
        read_reply=read_reply,
        client=_no_client,
    )


def _no_client(settings: Settings, context: ClientContext) -> Any:
    raise NotImplementedError


def request(letter: Letter, **headers: str) -> Request:
    """As the provider sends it."""
    return Request(method="POST", url="http://test/", headers=headers, body=msgspec.json.encode(letter), received_at=datetime.now(UTC))


@dataclasses.dataclass
class Office:
    """A standing gateway with the channels ``post`` and ``other``."""

    services: Services
    providers: Mapping[str, Provider]

    @property
    def provider(self) -> Provider:
        return self.providers["post"]

    async def take(self, letter: Letter, channel: str = "post", **headers: str) -> Receipt:
        """A letter comes in, and is routed."""
        receipt = await take_in(self.services, self.services.channels[channel], request(letter, **headers))
        await self.settle()
        return receipt

    async def settle(self) -> None:
        """Route all that is there."""
        while await self.services.router.route():
            pass

    async def find(self, sender: str, channel: str = "post") -> Conversation | None:
        """The conversation with ``sender``."""

        async def look(tx: Transaction) -> Conversation | None:
            page = await tx.conversations.page(GATEWAY.scope, states=tuple(State), queue_id="", assignee_id="", before=0, limit=200)
            return next((one for one in page if (one.identity.value, one.channel) == (sender, channel)), None)

        return await self.services.store.view(look)

    async def conversation(self, sender: str, channel: str = "post") -> Conversation:
        """The conversation with ``sender``, begun by a letter if there is none."""
        found = await self.find(sender, channel)
        if found is None:
            await self.take(Letter(id=f"hello-{channel}-{sender}", sender=sender, text="hello"), channel)
            found = await self.find(sender, channel)
        assert found is not None
        return found

    async def reply(self, sender: str, *texts: str, channel: str = "post", priority: Priority = Priority.AGENT) -> Message:
        """An agent answers."""
        conversation = await self.conversation(sender, channel)
        now = self.services.clock()
        command = ReplyCommand(
            id=command_id(now),
            actor=GATEWAY,
            conversation_id=conversation.id,
            parts=tuple(Text(text=text) for text in texts),
            priority=priority,
        )
        message = await self.services.router.handle(command)
        assert isinstance(message, Message)
        return message

    async def logged(self, kind: InteractionKind, channel: str = "post") -> list[Interaction]:
        """What the channel's log holds of a kind by now, oldest first."""
        await self.services.journal.write()
        found = await self.services.store.view(lambda tx: tx.channel_log.page(channel, LogFilter(kind=kind), "", 1000))
        return found[::-1]

    async def message(self, message_id: str) -> Message:
        """As it stands now."""
        found = await self.services.store.view(lambda tx: tx.messages.get(message_id))
        assert found is not None
        return found

    async def messages(self, sender: str, channel: str = "post") -> list[Message]:
        """The whole conversation, oldest first."""
        conversation = await self.find(sender, channel)
        if conversation is None:
            return []
        return await self.services.store.view(lambda tx: tx.messages.of_conversation(conversation.id, 0, 0, 200))


@contextlib.asynccontextmanager
async def office(
    folder: Path,
    *,
    limits: Limits | None = None,
    crash: CrashPoints | None = None,
    clock: Callable[[], datetime] | None = None,
    url: str = "",
    **media: Any,
) -> AsyncIterator[Office]:
    """Open it on ``folder``, and the database there or at ``url``; no worker runs but those that the test starts."""
    config = Config(data_dir=str(folder), media=Media(**media), storage=Storage(url=Secret(url)))
    options: dict[str, Any] = {"clock": clock} if clock else {}
    async with open_gateway(config, crash=crash, workers=False, **options) as services:
        providers = {name: Provider() for name in ("post", "other")}
        channels = {
            name: Channel(id=name, title=name, enabled=True, connector=connector(limits), settings=Settings(), client=provider)
            for name, provider in providers.items()
        }
        yield Office(dataclasses.replace(services, channels=channels), providers)
