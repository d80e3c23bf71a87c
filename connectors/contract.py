"""What a connector is: seven names, most of them pure functions.

    Settings      a msgspec Struct, decoded from the channel's section of the configuration
    CAPABILITIES  what the channel can carry, and its limits with their units
    verify        is this request from the provider?              pure
    parse         provider's bytes -> events                      pure
    render        an outbound message -> calls to the provider    pure
    read_reply    the provider's answer -> sent, or why not       pure
    Client        performs calls; the default one suits every plain HTTP API

``verify``, ``parse``, ``render`` and ``read_reply`` never wait, never look at a clock, never touch the network: the same
input gives the same output, so a payload can be parsed again years later.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import aiohttp
from msgspec import Struct

from connectors.content import AnyPart
from connectors.errors import FailureKind
from connectors.event import AnyEvent
from connectors.text import Unit

S = TypeVar("S", bound=Struct)


class Request(Struct, frozen=True, kw_only=True):
    """What a provider sent us."""

    method: str
    #: The public URL that the provider called, built from the configuration and never from the Host header.
    url: str
    #: Names in lower case; of repeated headers, the values joined by ", ".
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = {}
    #: When we got it: checks of a signature's age use this and no clock.
    received_at: datetime


class Upload(Struct, frozen=True, kw_only=True):
    """A file that goes out with a call."""

    field: str
    name: str
    mime: str
    #: Id of a stored file (``med_…``); the client reads it when the call is made.
    stored: str


class Call(Struct, frozen=True, kw_only=True):
    """One request to the provider. A message of n parts becomes n calls at most."""

    #: HTTP method, or a verb that the connector's own client understands.
    method: str
    #: Address without credentials; these are added by the client.
    url: str
    json: Any = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = {}
    uploads: tuple[Upload, ...] = ()
    #: Index of this call within its message, from 0; a resumed sending starts at the first unsent part.
    part: int = 0
    #: What the provider's rate limit counts by, for example the chat.
    bucket: str = ""


class Reply(Struct, frozen=True, kw_only=True):
    """The provider's answer to a call."""

    #: HTTP status; 0 when no answer came.
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    #: With status 0: may the provider have received the request?
    written: bool = True


class Outbound(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    #: Our message id, stable across retries; the provider gets it where it can echo it.
    id: str
    #: Where to: the conversation's thread, in the channel's own words.
    to: str
    parts: tuple[AnyPart, ...]
    #: Provider id of the message that is answered; empty if none.
    reply_to: str = ""


class Sent(Struct, frozen=True, tag="sent"):
    """The provider took the call."""

    #: The provider's id of the message, as it will appear in status reports; never empty.
    provider_id: str


class Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    """The provider did not take the call, or we cannot know."""

    kind: FailureKind
    #: The provider's code and words, verbatim and without secrets.
    code: str = ""
    detail: str = ""
    #: Seconds to wait, where the provider says so.
    retry_after: float = 0.0
    #: The new address for ``FailureKind.MOVED``.
    moved_to: str = ""


Outcome = Sent | Failure


class Limits(Struct, frozen=True, kw_only=True):
    """The channel's limits; 0 means none known."""

    #: Longest text of one message, in ``unit``.
    text: int
    #: Longest caption beside a media part, in ``unit``; 0 if the channel has no captions.
    caption: int = 0
    #: What the channel counts.
    unit: Unit = Unit.CHARS
    #: Most options of one question, and the longest label in ``unit``.
    choices: int = 0
    choice_label: int = 0
    #: Largest file that we may send, and fetch, in bytes.
    upload_bytes: int = 0
    download_bytes: int = 0
    #: Calls per second for the whole account, and for one bucket.
    rate: float = 0.0
    bucket_rate: float = 0.0


class Capabilities(Struct, frozen=True, kw_only=True):
    """What the channel can carry: shown to agents, used by the composer, checked by the tests."""

    limits: Limits
    #: Part types that can be sent, by their ``type`` names: ``text``, ``media``, …
    sends: frozenset[str]
    #: Part types that can arrive.
    receives: frozenset[str]
    edits: bool = False
    deletions: bool = False
    reactions: bool = False
    #: Does the provider report these?
    delivered: bool = False
    read: bool = False
    #: Does it redeliver a webhook that we failed to take?
    redelivers: bool = False
    #: Is the same message sent twice delivered once?
    idempotent: bool = False


class FileReader(Protocol):
    """Gives a client the bytes of a stored file that goes out."""

    async def __call__(self, stored: str) -> bytes: ...


class Client(Protocol):
    """Performs calls. Never raises for what the provider or the network does: that is a :class:`Reply`."""

    async def send(self, call: Call) -> Reply: ...

    async def close(self) -> None: ...


@runtime_checkable
class Receiver(Protocol):
    """A client that fetches instead of being called: long polls, IMAP, sockets.

    ``receive`` yields requests as if the provider had posted them; after the gateway has stored one durably it resumes the
    iterator, and only then may the provider be told to forget it.
    """

    def receive(self) -> AsyncIterator[Request]: ...


@runtime_checkable
class MediaFetcher(Protocol):
    """A client that knows how to turn a media reference into bytes."""

    async def fetch_media(self, ref: str, max_bytes: int) -> "FetchedMedia": ...


@runtime_checkable
class Acknowledger(Protocol):
    """A client with a courtesy to do after an event was stored, for example to stop a button's spinner. Failures are logged only."""

    async def acknowledge(self, event: AnyEvent) -> None: ...


@runtime_checkable
class Provisioner(Protocol):
    """A client that can prepare the provider's side: register the webhook, check the credentials. Returns what it found, for people."""

    async def provision(self, webhook_url: str) -> str: ...


class FetchedMedia(Struct, frozen=True, kw_only=True):
    """A file as the provider gave it; or why there is none."""

    data: bytes = b""
    mime: str = ""
    name: str = ""
    #: In words for the agent; empty when there is data.
    problem: str = ""
    #: Is it worth another try?
    retry: bool = False


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What the gateway lends to a client."""

    #: Shared HTTP session; the client must not close it.
    session: aiohttp.ClientSession
    #: The channel's id, for log lines.
    channel: str
    #: Reads the bytes of a stored file that goes out.
    read_file: FileReader


def content_type(request: Request) -> Mapping[str, str]:
    """What a parser of plain webhooks needs beside the body."""
    return {name: value for name, value in request.headers.items() if name == "content-type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector(Generic[S]):
    """Everything that the gateway knows about one kind of channel."""

    kind: str
    settings: type[S]
    capabilities: Capabilities
    verify: Callable[[Request, S], bool]
    parse: Callable[[Request, S], Sequence[AnyEvent]]
    render: Callable[[Outbound, S], Sequence[Call]]
    read_reply: Callable[[Call, Reply, S], Outcome]
    client: Callable[[S, ClientContext], Client]
    #: Headers that ``parse`` needs beside the body, without anything secret: kept with a payload that cannot be read.
    keeps: Callable[[Request], Mapping[str, str]] = content_type
    #: The provider's documents that the connector was written to, with the date they were read.
    sources: tuple[str, ...] = ()
