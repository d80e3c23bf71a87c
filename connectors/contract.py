"""What a connector is: seven names, most of them pure functions.

    Settings      a msgspec Struct, decoded from the channel's section of the configuration
    CAPABILITIES  what the channel can carry, its limits with their units, and until when one may answer
    verify        is this request from the provider?              pure
    parse         provider's bytes -> events                      pure
    render        an outbound message -> calls to the provider    pure
    read_reply    the provider's answer -> sent, or why not       pure
    Client        performs calls; the default one suits every plain HTTP API

``verify``, ``parse``, ``render`` and ``read_reply`` never wait, never look at a clock, never touch the network: the same
input gives the same output, so a payload can be parsed again years later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import aiohttp
from msgspec import Struct

from connectors.capabilities import Capabilities, Flood
from connectors.content import AnyPart
from connectors.errors import FailureKind
from connectors.event import AnyEvent

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
    #: What the provider bills it as: segments of an SMS, 1 elsewhere.
    segments: int = 1
    #: How many messages its rate limits count it as: an album counts as its files.
    messages: int = 1


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
    #: When it was accepted.
    at: datetime | None = None
    #: Name of who wrote it; empty for the system.
    author: str = ""
    #: Written by a machine: an automatic answer, a transcript.
    automatic: bool = False
    #: Everybody may read it: an answer below a comment, not a private message.
    public: bool = False
    #: Name of the :class:`Window` that is open; empty where the channel has none.
    window: str = ""
    #: Public address of this channel's webhook, for providers that want one with each message.
    callback: str = ""
    #: Of what goes to many: signed public address where the addressee wants no more of them (RFC 8058); empty for ordinary answers.
    unsubscribe: str = ""


class Sent(Struct, frozen=True, tag="sent"):
    """The provider took the call."""

    #: The provider's id of the message, as it will appear in status reports; never empty.
    provider_id: str
    #: Ids of the other messages that the same call has made: the rest of an album.
    also: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them."""
        return (self.provider_id, *self.also)


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


class FileReader(Protocol):
    """Gives a client the bytes of a stored file that goes out."""

    async def __call__(self, stored: str) -> bytes: ...


class FileLinker(Protocol):
    """Gives a stored file an unguessable public address.

    It works for ten minutes: ask for a new one at each attempt. One that people are sent (``for_people``) works for a day.
    """

    async def __call__(self, stored: str, *, for_people: bool = False) -> str: ...


class Client(Protocol):
    """Performs calls. Never raises for what the provider or the network does: that is a :class:`Reply`."""

    async def send(self, call: Call) -> Reply: ...

    async def close(self) -> None: ...


async def no_links(stored: str, *, for_people: bool = False) -> str:
    """Where there is no public address. Raises OSError."""
    del for_people
    raise OSError(f"the file {stored} has no public address here")


class Reporter(Protocol):
    """Tells of an exchange with the provider that the gateway does not see.

    ``token``: credentials were renewed, or not; ``code`` is ``auth`` if they are refused. ``receiver``: a connection that receives was
    lost (``ok=False``), or stands again. Never raises, never waits; secrets are taken out, but better never put in.
    """

    def __call__(self, kind: Literal["token", "receiver"], *, ok: bool, code: str = "", detail: str = "") -> None: ...


def no_report(kind: Literal["token", "receiver"], *, ok: bool, code: str = "", detail: str = "") -> None:
    """Where nobody listens."""


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What the gateway lends to a client."""

    #: Shared HTTP session; the client must not close it.
    session: aiohttp.ClientSession
    #: The channel's id, for log lines.
    channel: str
    #: Reads the bytes of a stored file that goes out.
    read_file: FileReader
    #: Gives it a public address, for providers that fetch files instead of being sent them.
    link_file: FileLinker = no_links
    #: Notes in the channel's log what no call and no webhook shows.
    report: Reporter = no_report


def content_type(request: Request) -> Mapping[str, str]:
    """What a parser of plain webhooks needs beside the body."""
    return {name: value for name, value in request.headers.items() if name == "content-type"}


class Answer(Struct, frozen=True, kw_only=True):
    """What a provider is told when its webhook was taken."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


TAKEN: Final = Answer()


def no_account(_: Any) -> str:
    """For a provider whose webhooks name no account."""
    return ""


def no_flood(_: Any) -> Flood:
    """For a provider that keeps floods from us."""
    return Flood()


def no_handshake(_: Request, __: Any) -> bytes | None:
    """For a provider that asks nothing before it trusts an address."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector(Generic[S]):
    """Everything that the gateway knows about one kind of channel."""

    kind: str
    settings: type[S]
    #: The most that a channel of this kind can carry; see :meth:`able`.
    capabilities: Capabilities
    verify: Callable[[Request, S], bool]
    parse: Callable[[Request, S], Sequence[AnyEvent]]
    render: Callable[[Outbound, S], Sequence[Call]]
    read_reply: Callable[[Call, Reply, S], Outcome]
    client: Callable[[S, ClientContext], Client]
    #: Headers that ``parse`` needs beside the body, without anything secret: kept with a payload that cannot be read.
    keeps: Callable[[Request], Mapping[str, str]] = content_type
    #: Which account of the provider's the settings describe, as in ``Event.account``; pure.
    account: Callable[[S], str] = no_account
    #: The body to answer a GET with, if it is the provider's question whether the address is ours; None: it is not. Pure.
    handshake: Callable[[Request, S], bytes | None] = no_handshake
    #: How many messages of one sender are work; pure.
    flood: Callable[[S], Flood] = no_flood
    #: What the provider is told after its webhook is durable.
    answer: Answer = TAKEN
    #: Where settings take something away: what is left of ``capabilities``. None: always all of it. Pure.
    capabilities_for: Callable[[S], Capabilities] | None = None
    #: The provider's documents that the connector was written to, with the date they were read.
    sources: tuple[str, ...] = ()

    def able(self, settings: S) -> Capabilities:
        """What a channel with these settings can carry."""
        return self.capabilities if self.capabilities_for is None else self.capabilities_for(settings)
