"""What a client may be able to do beside sending; found by ``isinstance``, so a connector has only what its provider has."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from msgspec import Struct

from connectors.contract import Call, Request
from connectors.event import AnyEvent


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
class RawMedia(Protocol):
    """A client whose files came within the message itself: they are taken out of the stored payload, and nobody is asked for them.

    Its references look like ``raw:<event key>#<place>``; the gateway finds the event's raw bytes by the key. Runs in a thread.
    """

    def extract(self, raw: bytes, ref: str, max_bytes: int) -> "FetchedMedia": ...


@runtime_checkable
class MediaDiscarder(Protocol):
    """A client whose provider keeps files until told otherwise. Called once our own copy is durable; failures are logged only."""

    async def discard_media(self, ref: str) -> None: ...


@runtime_checkable
class Acknowledger(Protocol):
    """A client with a courtesy to do after an event was stored, for example to stop a button's spinner. Failures are logged only."""

    async def acknowledge(self, event: AnyEvent) -> None: ...


@runtime_checkable
class Provisioner(Protocol):
    """A client that can prepare the provider's side: register the webhook, check the credentials. Returns what it found, for people."""

    async def provision(self, webhook_url: str) -> str: ...


@runtime_checkable
class SendFinder(Protocol):
    """A client that can look up what became of a call whose answer was lost."""

    async def find_sent(self, call: Call, since: datetime) -> Sequence[str] | None:
        """Provider ids of messages like ``call`` made since then, oldest first; None if the provider cannot be asked now."""
        ...


@runtime_checkable
class InboundFinder(Protocol):
    """A client that can list what the provider took in since a time: for webhooks that never came."""

    def missed(self, since: datetime) -> AsyncIterator[Request]:
        """Requests as if the provider had posted them; ``parse`` gives the same keys as for the webhooks. Raises OSError if it cannot."""
        ...


@runtime_checkable
class TemplateSource(Protocol):
    """A client of a provider with templates."""

    async def templates(self) -> "Sequence[TemplateDefinition]":
        """All, whatever their state. Raises OSError if the provider cannot be asked now."""
        ...


@runtime_checkable
class ReadMarker(Protocol):
    """A client that can show the shopper that they were read. ``message_id`` is the provider's. Failures are logged only."""

    async def mark_read(self, thread: str, message_id: str) -> None: ...


@runtime_checkable
class Typist(Protocol):
    """A client that can show that somebody is typing; ``message_id`` is the newest inbound one. Failures are logged only."""

    async def show_typing(self, thread: str, message_id: str) -> None: ...


@runtime_checkable
class Linker(Protocol):
    """A client whose chat people open by a link, which brings a word of ours along: it comes back as ``ChatStarted.payload``."""

    async def start_link(self, word: str) -> str:
        """The address that opens the chat. ``word`` is at most 64 of ``A-Za-z0-9_-``. Raises OSError if it cannot be known now."""
        ...


@runtime_checkable
class ProfileSource(Protocol):
    """A client whose provider tells the names of people on request, because its webhooks bring ids alone."""

    async def profile(self, value: str) -> "Profile":
        """Of the person whose identity has this value. Never raises for what the provider or the network does."""
        ...


@runtime_checkable
class Prober(Protocol):
    """A client that can check its credentials and the provider's view of the channel, changing nothing."""

    async def probe(self, webhook_url: str) -> "Sequence[Finding]": ...


class Component(StrEnum):
    """What the health of a channel consists of."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AUTH = "auth"
    WEBHOOK = "webhook"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that a probe looked at."""

    component: Component
    ok: bool
    #: What was found, without secrets.
    detail: str
    #: What to do about it, with the place to click or the command; empty if all is well.
    remedy: str = ""


class TemplateDefinition(Struct, frozen=True, kw_only=True):
    """A template as the provider knows it."""

    name: str
    language: str
    #: ``approved``, ``pending``, ``rejected``, ``paused``, or the provider's word in lower case.
    status: str
    category: str = ""
    #: With placeholders as ``{{1}}`` or ``{{name}}``.
    body: str = ""
    #: Placeholders of the body in order, ``1`` … or names.
    parameters: tuple[str, ...] = ()
    #: ``text`` (with ``header_text``), ``image``, ``video``, ``document``, ``location``; empty: none.
    header: str = ""
    header_text: str = ""
    footer: str = ""
    #: Labels; those in ``button_parameters`` (by index) need a value.
    buttons: tuple[str, ...] = ()
    button_parameters: tuple[int, ...] = ()
    #: One per button, as in ``Template.button_kinds``; other kinds in the provider's word, in lower case.
    button_kinds: tuple[str, ...] = ()
    #: The provider's own id, where sending needs one.
    id: str = ""


class Profile(Struct, frozen=True, kw_only=True):
    """What a person calls themselves; or why that is not known."""

    #: A claim, as the provider shows it.
    name: str = ""
    #: In words, without secrets; empty when there is a name.
    problem: str = ""
    #: Is it worth another try? False where it is for the person to allow, or for an operator.
    retry: bool = False
    #: Seconds to wait before it, where the provider says so.
    retry_after: float = 0.0


class FetchedMedia(Struct, frozen=True, kw_only=True):
    """A file as the provider gave it; or why there is none."""

    data: bytes = b""
    mime: str = ""
    name: str = ""
    #: In words for the agent; empty when there is data.
    problem: str = ""
    #: Is it worth another try?
    retry: bool = False
