"""Parse quarantined payloads again, after the connector has learned to read them."""

from connectors.contract import Request
from connectors.event import PayloadQuarantined, decode_event
from gateway.intake import entry_of, place_events, read_events
from gateway.services import Channel, Services
from storage.protocol import Transaction
from storage.record import Entry, Recorded

_PAGE = 100


async def reprocess(services: Services, channel_id: str = "") -> dict[str, int]:
    """Try all that wait, of one channel or of all (""). Returns ``recovered`` and ``remaining``: payloads; ``events``: what came out.

    A payload leaves the list in the same transaction in which its events are appended; they keep the time of the first arrival.
    """
    counts = {"recovered": 0, "remaining": 0, "events": 0}
    after = 0
    while page := await _page(services, after):
        after = page[-1].pos
        for recorded in page:
            if channel_id in ("", recorded.entry.channel):
                await _again(services, recorded, counts)
    return counts


async def _page(services: Services, after: int) -> list[Recorded]:
    return await services.store.view(lambda tx: tx.stream.quarantined(after, _PAGE))


async def _again(services: Services, recorded: Recorded, counts: dict[str, int]) -> None:
    entries = _read(services, services.channels.get(recorded.entry.channel), recorded)

    async def keep(tx: Transaction) -> None:
        await tx.stream.append(entries)
        await tx.stream.mark_reprocessed(recorded.pos)

    if not entries:
        counts["remaining"] += 1
        return
    await services.store.transact(keep)
    counts["recovered"] += 1
    counts["events"] += len(entries)


def _read(services: Services, channel: Channel | None, recorded: Recorded) -> list[Entry]:
    """The events of a payload; none if it still cannot be read."""
    if channel is None:
        return []
    kept = decode_event(recorded.entry.data)
    request = Request(
        method="POST",
        url=f"{services.config.public_url}/webhooks/{channel.id}",
        headers=kept.headers if isinstance(kept, PayloadQuarantined) else {},
        body=recorded.entry.raw,
        received_at=recorded.entry.at,
    )
    events = read_events(channel, request, services.poison.read_anyway)
    if kept.account:
        # Set aside for an account that had no channel then: the rest of the payload found its place at once.
        events = tuple(event for event in events if event.account == kept.account)
    placed = place_events(services, channel, request, events)
    if any(isinstance(event, PayloadQuarantined) for _, event in placed):
        return []
    return [entry_of(owner.id, event, request) for owner, event in placed]
