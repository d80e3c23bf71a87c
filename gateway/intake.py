"""The one way in for what providers send: verify, parse, append. Webhooks, the web chat's socket and long polls all end here.

Nothing may be answered "taken" before :func:`take_in` has returned: then it is durable.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from connectors.abilities import Acknowledger
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import AnyEvent, PayloadQuarantined, PersonEvent, encode_event, event_type
from connectors.identity import partition_of
from gateway.services import Channel, Services
from storage.errors import StorageError
from storage.record import Appended, Duplicate, Entry, Spooled
from storage.spooling import Place

_WHY_CHARS: Final = 500
_KEY_CHARS: Final = 512
_QUARANTINED: Final = str(PayloadQuarantined.__struct_config__.tag)


class Outcome(StrEnum):
    """What became of something a provider sent. Received = appended + duplicate + quarantined + refused + what lies in the spool.

    ``spooled`` is not counted: it becomes one of the others when it is drained.
    """

    APPENDED = "appended"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    SPOOLED = "spooled"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one request."""

    outcome: Outcome
    events: tuple[AnyEvent, ...] = ()
    #: One per event: where it lies.
    places: tuple[Place, ...] = ()


async def take_in(services: Services, channel: Channel, request: Request) -> Receipt:
    """Verify, parse and store one request. Raises storage errors; then nothing was taken and the provider should try again."""
    metrics = services.metrics
    if not _verified(channel, request):
        metrics.received.labels(channel.id).inc()
        metrics.inbound.labels(channel.id, Outcome.REFUSED).inc()
        return Receipt(Outcome.REFUSED)
    events = read_events(channel, request)
    metrics.received.labels(channel.id).inc(len(events))
    services.crash.reach("intake.read")
    try:
        places = await services.inbound.append([entry_of(channel.id, event, request) for event in events])
    except StorageError:
        metrics.inbound.labels(channel.id, Outcome.REFUSED).inc(len(events))
        raise
    services.crash.reach("intake.appended")
    outcomes = [outcome_of(event_type(event), place) for event, place in zip(events, places, strict=True)]
    for outcome in outcomes:
        if outcome is not Outcome.SPOOLED:
            metrics.inbound.labels(channel.id, outcome).inc()
    return Receipt(_overall(outcomes), events, tuple(places))


async def acknowledge(channel: Channel, receipt: Receipt) -> None:
    """Do the client's courtesies for what was new, for example stop a button's spinner. Never raises."""
    if not isinstance(channel.client, Acknowledger):
        return
    for event, place in zip(receipt.events, receipt.places, strict=True):
        if isinstance(place, Duplicate):
            continue
        try:
            await channel.client.acknowledge(event)
        except Exception as error:  # noqa: BLE001 - a courtesy: whatever goes wrong must not touch the message
            structlog.get_logger("intake").warning("acknowledge failed", channel=channel.id, error=type(error).__name__)


def read_events(channel: Channel, request: Request) -> tuple[AnyEvent, ...]:
    """Parse an authentic request. Whatever the parser cannot do becomes a quarantined payload, so nothing is ever dropped."""
    try:
        events = tuple(channel.connector.parse(request, channel.settings))
        if not events:
            return (quarantined(channel, request, "the connector found no event in it"),)
        for event in events:
            if not 0 < len(event.key) <= _KEY_CHARS:
                return (quarantined(channel, request, f"the connector gave an event a key of {len(event.key)} characters"),)
            encode_event(event).decode()
    except BadPayload as error:
        return (quarantined(channel, request, str(error)),)
    except Exception as error:  # noqa: BLE001 - a crash in a parser is our fault, and the message must survive it
        structlog.get_logger("intake").error("parser crashed", channel=channel.id, error=type(error).__name__)
        return (quarantined(channel, request, f"the parser crashed: {type(error).__name__}"),)
    return events


def quarantined(channel: Channel, request: Request, why: str) -> PayloadQuarantined:
    """An authentic payload that cannot be read; the same bytes always give the same key."""
    readable = why.encode("utf-8", "replace").decode()[:_WHY_CHARS]
    headers = dict(channel.connector.keeps(request))
    # Whoever sent it belongs to it: two visitors may send the same bytes.
    sender = "".join(f"\0{name}\0{value}" for name, value in sorted(headers.items()))
    mark = hashlib.sha256(request.body + sender.encode("utf-8", "replace"))
    return PayloadQuarantined(key="q:" + mark.hexdigest(), why=readable, headers=headers, raw=request.body)


def entry_of(channel: str, event: AnyEvent, request: Request) -> Entry:
    """The stream's row for an inbound event. It has no audience: only what the router derives from it is shown to anybody."""
    return Entry(
        type=event_type(event),
        data=encode_event(event),
        partition=partition_of(f"{channel}\x00{_ordering_key(event)}"),
        at=request.received_at,
        channel=channel,
        key=event.key,
        raw=event.raw or request.body,
    )


def _ordering_key(event: AnyEvent) -> str:
    if isinstance(event, PersonEvent):
        return str(event.sender.identity)
    return event.key


def _verified(channel: Channel, request: Request) -> bool:
    try:
        return bool(channel.connector.verify(request, channel.settings))
    except Exception as error:  # noqa: BLE001 - a header that crashes the check is a wrong header, and never our 500
        structlog.get_logger("intake").error("verification crashed", channel=channel.id, error=type(error).__name__)
        return False


def outcome_of(type_: str, place: Place) -> Outcome:
    """What became of an event of this type."""
    match place:
        case Spooled():
            return Outcome.SPOOLED
        case Duplicate():
            return Outcome.DUPLICATE
        case Appended():
            return Outcome.QUARANTINED if type_ == _QUARANTINED else Outcome.APPENDED


def _overall(outcomes: Sequence[Outcome]) -> Outcome:
    for outcome in (Outcome.SPOOLED, Outcome.QUARANTINED, Outcome.APPENDED):
        if outcome in outcomes:
            return outcome
    return Outcome.DUPLICATE
