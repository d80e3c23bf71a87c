"""The one way in for what providers send: verify, parse, append. Webhooks, the web chat's socket and long polls all end here.

Nothing may be answered "taken" before :func:`take_in` has returned: then it is durable.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import structlog

from connectors.abilities import Acknowledger
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import AnyEvent, PayloadQuarantined, PersonEvent, encode_event, event_type
from connectors.identity import partition_of
from gateway.poison import Poisonous
from gateway.services import Channel, Services
from storage.errors import StorageError
from storage.record import Appended, Duplicate, Entry, Gathered, Spooled
from storage.spooling import Place

_WHY_CHARS: Final = 500
_KEY_CHARS: Final = 512
#: Events of one request that are appended in one transaction.
_AT_ONCE: Final = 1000
_QUARANTINED: Final = str(PayloadQuarantined.__struct_config__.tag)
_Reading = Callable[[], tuple[AnyEvent, ...]]


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
    #: One per event: whose it is. One webhook may bring events for several accounts.
    channels: tuple[Channel, ...] = ()


async def take_in(services: Services, channel: Channel, request: Request, *, ours: bool = False) -> Receipt:
    """Verify, parse and store one request. Raises storage errors; then nothing was taken and the provider should try again.

    ``ours``: we asked the provider for it ourselves, so there is no signature to look at.
    """
    began = time.perf_counter()
    try:
        receipt = await _take_in(services, channel, request, ours=ours)
    except StorageError as error:
        services.journal.arrived(channel.id, request, "unavailable", seconds=time.perf_counter() - began, detail=type(error).__name__)
        raise
    seconds = time.perf_counter() - began
    for owner in {one.id for one in receipt.channels} or {channel.id}:
        pairs = zip(receipt.channels, receipt.events, receipt.places, strict=True)
        mine = [(event, place) for one, event, place in pairs if one.id == owner]
        positions = [place.pos for _, place in mine if isinstance(place, Appended)]
        services.journal.arrived(owner, request, receipt.outcome, [event for event, _ in mine], positions, seconds)
    return receipt


async def _take_in(services: Services, channel: Channel, request: Request, *, ours: bool) -> Receipt:
    metrics = services.metrics
    if not ours and not verified(channel, request):
        metrics.received.labels(channel.id).inc()
        metrics.inbound.labels(channel.id, Outcome.REFUSED).inc()
        return Receipt(Outcome.REFUSED)
    placed = place_events(services, channel, request, read_events(channel, request, services.poison.read))
    for owner, _ in placed:
        metrics.received.labels(owner.id).inc()
    services.crash.reach("intake.read")
    places: list[Place] = []
    for first in range(0, len(placed), _AT_ONCE):
        chunk = placed[first : first + _AT_ONCE]
        try:
            places += await services.inbound.append([entry_of(owner.id, event, request) for owner, event in chunk])
        except StorageError:
            # What was appended before is a duplicate when the provider comes again.
            _count(services, placed, places)
            for owner, _ in placed[first:]:
                metrics.inbound.labels(owner.id, Outcome.REFUSED).inc()
            raise
    services.crash.reach("intake.appended")
    outcomes = _count(services, placed, places)
    return Receipt(_overall(outcomes), tuple(event for _, event in placed), tuple(places), tuple(owner for owner, _ in placed))


def _count(services: Services, placed: Sequence[tuple[Channel, AnyEvent]], places: Sequence[Place]) -> list[Outcome]:
    """What became of those that have a place."""
    outcomes = [outcome_of(event_type(event), place) for (_, event), place in zip(placed, places, strict=False)]
    for (owner, _), outcome in zip(placed, outcomes, strict=False):
        if outcome is not Outcome.SPOOLED:
            services.metrics.inbound.labels(owner.id, outcome).inc()
    return outcomes


async def acknowledge(receipt: Receipt) -> None:
    """Do the clients' courtesies for what was new, for example stop a button's spinner. Never raises."""
    for channel, event, place in zip(receipt.channels, receipt.events, receipt.places, strict=True):
        if outcome_of(event_type(event), place) is Outcome.DUPLICATE or not isinstance(channel.client, Acknowledger):
            continue
        try:
            await channel.client.acknowledge(event)
        except Exception as error:  # noqa: BLE001 - a courtesy: whatever goes wrong must not touch the message
            structlog.get_logger("intake").warning("acknowledge failed", channel=channel.id, error=type(error).__name__)


# --- whose is it? ----------------------------------------------------------------------------------------------------


def account_of(channel: Channel) -> str:
    """Which account of the provider's it is; empty if its webhooks name none."""
    return str(channel.connector.account(channel.settings))


def channel_of_account(services: Services, kind: str, account: str) -> Channel | None:
    """The enabled channel of this kind for an account of the provider's."""
    alike = (channel for channel in services.channels.values() if channel.enabled and channel.connector.kind == kind)
    return next((channel for channel in alike if account_of(channel) == account), None)


def place_events(services: Services, channel: Channel, request: Request, events: Sequence[AnyEvent]) -> list[tuple[Channel, AnyEvent]]:
    """Each event with the channel whose account it is for.

    Another channel gets only what it would have accepted itself: the secret of one app must not write into another's channel. What is
    for an account that no channel has is kept as one quarantined payload per account, for the day when there is one.
    """
    own, placed, homeless = account_of(channel), [], {}
    for event in events:
        account = event.account
        if account in ("", own) or not own:
            placed.append((channel, event))
        elif account not in homeless:
            owner = channel_of_account(services, channel.connector.kind, account)
            if owner is not None and verified(owner, request):
                placed.append((owner, event))
                continue
            homeless[account] = _of_no_channel(channel, request, account, owner)
            placed.append((channel, homeless[account]))
    for account, kept in homeless.items():
        structlog.get_logger("intake").warning(
            "events for another account were set aside", channel=channel.id, account=account, why=kept.why
        )
    return placed


def _of_no_channel(channel: Channel, request: Request, account: str, owner: Channel | None) -> PayloadQuarantined:
    if owner is None:
        why = f"It is for the account {account}, which no enabled {channel.connector.kind} channel has; configure one, then reprocess."
    else:
        why = f"It is for the account {account} of the channel {owner.id}, whose own settings do not accept this request's signature."
    kept = quarantined(channel, request, why)
    # With what proves it, so that the channel it is for can judge it later; a signature of this body serves for nothing else.
    proofs = {name: value for name, value in request.headers.items() if "signature" in name}
    key = "q:" + hashlib.sha256(f"{kept.key}\0{account}".encode("utf-8", "surrogatepass")).hexdigest()
    return msgspec.structs.replace(kept, key=key, account=account, headers={**kept.headers, **proofs})


def _plainly(payload: bytes, work: _Reading) -> tuple[AnyEvent, ...]:
    del payload
    return work()


def read_events(
    channel: Channel, request: Request, guarded: Callable[[bytes, _Reading], tuple[AnyEvent, ...]] = _plainly
) -> tuple[AnyEvent, ...]:
    """Parse an authentic request. Whatever the parser cannot do becomes a quarantined payload, so nothing is ever dropped.

    ``guarded`` sees to it that a payload which ends the process does so twice only, see ``gateway.poison``.
    """
    try:
        events = guarded(request.body, lambda: tuple(channel.connector.parse(request, channel.settings)))
        if not events:
            return (quarantined(channel, request, "the connector found no event in it"),)
        for event in events:
            if not 0 < len(event.key) <= _KEY_CHARS:
                return (quarantined(channel, request, f"the connector gave an event a key of {len(event.key)} characters"),)
            encode_event(event).decode()
        headers = dict(channel.connector.keeps(request))
        # What a connector set aside by itself is parsed again like all the rest: with the headers that it needs for it.
        events = tuple(
            msgspec.structs.replace(event, headers=headers) if isinstance(event, PayloadQuarantined) and not event.headers else event
            for event in events
        )
    except (BadPayload, Poisonous) as error:
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


def verified(channel: Channel, request: Request) -> bool:
    """Is it from the provider, by this channel's settings? Never raises."""
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
        case Duplicate() | Gathered(known=True):
            return Outcome.DUPLICATE
        case Appended() | Gathered():
            return Outcome.QUARANTINED if type_ == _QUARANTINED else Outcome.APPENDED


def _overall(outcomes: Sequence[Outcome]) -> Outcome:
    for outcome in (Outcome.SPOOLED, Outcome.QUARANTINED, Outcome.APPENDED):
        if outcome in outcomes:
            return outcome
    return Outcome.DUPLICATE
