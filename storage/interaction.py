"""What a channel's log holds: one record per exchange with a provider, without secrets; and how well a channel is."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from connectors.abilities import Component, Finding
from connectors.event import Instant


class InteractionKind(StrEnum):
    """What was exchanged."""

    #: A provider called us.
    WEBHOOK = "webhook"
    #: We fetched something from the provider: a long poll, a mailbox.
    FETCH = "fetch"
    #: One call of a sending.
    SEND = "send"
    #: A file was fetched.
    MEDIA = "media"
    #: Credentials and set-up were looked at.
    PROBE = "probe"
    #: A token was refreshed.
    TOKEN = "token"  # noqa: S105 - no secret
    #: A client that receives lost its connection, or has it again.
    RECEIVER = "receiver"
    #: Sending by the channel was stopped, or goes on.
    BREAKER = "breaker"
    #: The provider said something about our account.
    ACCOUNT = "account"
    #: A provider asked whether the address of the webhook is ours.
    HANDSHAKE = "handshake"
    #: The provider was asked what became of a call without an answer.
    LOOKUP = "lookup"
    #: The provider was asked for what its webhooks never brought.
    MISSED = "missed"
    #: The provider was asked for its templates.
    TEMPLATES = "templates"
    #: The shopper's app was told that an agent has read, or is typing.
    COURTESY = "courtesy"
    #: The provider was asked for a person's name.
    PROFILE = "profile"


#: What says how well a channel is. The rest is asked aside from the work, or by anybody.
TELLING: Final = frozenset(InteractionKind) - {
    *(InteractionKind.MEDIA, InteractionKind.HANDSHAKE, InteractionKind.LOOKUP),
    *(InteractionKind.MISSED, InteractionKind.TEMPLATES, InteractionKind.COURTESY),
    InteractionKind.PROFILE,
}


class Wire(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One direction of an exchange, redacted and trimmed."""

    method: str = ""
    url: str = ""
    #: Names in lower case; of those that authenticate only the length is kept.
    headers: dict[str, str] = {}
    #: As text; empty if bodies are not kept.
    body: str = ""
    #: Bytes of the whole body, of which ``body`` may be the beginning.
    size: int = 0
    #: HTTP status of an answer; 0: there was none.
    status: int = 0


class Interaction(Struct, frozen=True, kw_only=True):
    """One record of a channel's log."""

    #: Sorts by time.
    id: str
    channel: str
    at: Instant
    kind: InteractionKind
    ok: bool
    #: How long it took.
    ms: float = 0.0
    #: What became of it: an outcome of the intake, ``sent``, or a failure kind.
    result: str = ""
    status: int = 0
    code: str = ""
    detail: str = ""
    #: What else a failed call told, see ``connectors.contract.Failure`` and ``Reply``.
    retry_after: float = 0.0
    moved_to: str = ""
    written: bool = True
    #: Our message, where it concerns exactly one.
    message_id: str = ""
    #: Our and the provider's ids of all messages that it concerns.
    refs: tuple[str, ...] = ()
    #: Where its events lie in the stream.
    positions: tuple[int, ...] = ()
    #: Types of the events that it made.
    events: tuple[str, ...] = ()
    request: Wire | None = None
    reply: Wire | None = None
    findings: tuple[Finding, ...] = ()
    #: The process that it went through.
    node: str = ""


class LogFilter(Struct, frozen=True, kw_only=True):
    """Which interactions are wanted; all, unless it says otherwise."""

    #: Those that concern one of these ids of messages.
    refs: tuple[str, ...] | None = None
    kind: InteractionKind | None = None
    ok: bool | None = None


class HealthState(StrEnum):
    """How well a part of a channel is."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class ComponentHealth(Struct, frozen=True, kw_only=True):
    """One part of a channel, since when, and why it is not well."""

    state: HealthState = HealthState.UNKNOWN
    since: Instant
    why: str = ""


#: All parts of one channel.
Health = dict[Component, ComponentHealth]


class ChannelLog(Protocol):
    """What channels and their providers said to each other lately, and how well the channels are; see ``Store.aside``."""

    async def add(self, interactions: Sequence[Interaction]) -> None: ...

    async def get(self, channel: str, id_: str) -> Interaction | None: ...

    async def page(self, channel: str, wanted: LogFilter, before: str, limit: int) -> list[Interaction]:
        """Newest first, those before the id ``before`` (empty: from the newest)."""

    async def newest(self) -> dict[str, str]:
        """The newest id of each channel that has any."""

    async def prune(self, keep: int, before: datetime) -> int:
        """Forget all but the newest ``keep`` of each channel, and what is older than ``before``; returns how many."""

    async def health(self) -> dict[str, Health]:
        """Of all channels, as it was last put."""

    async def put_health(self, channel: str, health: Health) -> None: ...
