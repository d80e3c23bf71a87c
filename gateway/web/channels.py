"""The configured channels, and how their deliveries add up."""

from typing import Any

import msgspec

from connectors.event import PayloadQuarantined
from gateway.intake import Outcome
from gateway.services import Channel
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import ChannelView, Page, QuarantineView, ReconcileView
from storage.interaction import Health
from storage.protocol import Transaction

_QUARANTINE_PAGE = 100


class QuarantineQuery(Input, frozen=True, kw_only=True):
    after: str = ""


async def list_channels(call: Call[Nothing, Nothing]) -> Page[ChannelView]:
    """All channels with what they can carry."""
    base = call.services.config.public_url
    supervises = call.principal.supervises

    async def work(tx: Transaction) -> tuple[dict[str, Health], int]:
        return (await tx.channel_log.health() if supervises else {}), await tx.stream.head()

    health, head = await call.view(work)
    views = [
        _view(channel, base, health.get(channel.id, {}) if supervises and channel.enabled else None)
        for _, channel in sorted(call.services.channels.items())
    ]
    return Page(items=views, as_of_pos=head)


async def list_quarantine(call: Call[Nothing, QuarantineQuery]) -> Page[QuarantineView]:
    """Payloads that could not be read, oldest first; ``sportello reprocess`` tries again."""
    audience = f"quarantine {call.principal.agent.id}"
    after = call.state.cursors.open(call.query.after, audience)
    found = await call.view(lambda tx: tx.stream.quarantined(after, _QUARANTINE_PAGE + 1))
    items = [
        QuarantineView(
            pos=recorded.pos,
            at=recorded.entry.at,
            channel=recorded.entry.channel,
            why=_why(recorded.entry.data),
            size=len(recorded.entry.raw),
        )
        for recorded in found[:_QUARANTINE_PAGE]
    ]
    more = len(found) > _QUARANTINE_PAGE
    return Page(
        items=items,
        next=call.state.cursors.seal(items[-1].pos, audience) if more else None,
        as_of_pos=await call.view(lambda tx: tx.stream.head()),
    )


async def reconcile(call: Call[Nothing, Any]) -> Page[ReconcileView]:
    """Does everything that came in add up? Counted since this process started."""
    metrics = call.services.metrics
    waiting = await call.view(lambda tx: tx.stream.quarantine_counts())
    views = []
    spool = None if call.services.spooling is None else call.services.spooling.spool
    for channel in sorted(call.services.channels):
        received = int(metrics.registry.get_sample_value("sportello_received_total", {"channel": channel}) or 0)
        counts = {
            outcome: int(metrics.registry.get_sample_value("sportello_inbound_total", {"channel": channel, "outcome": outcome}) or 0)
            for outcome in Outcome
        }
        spooled = 0 if spool is None else spool.waiting[channel]
        carried = 0 if spool is None else spool.opened.waiting.get(channel, 0)
        views.append(
            ReconcileView(
                channel=channel,
                received=received,
                carried=carried,
                appended=counts[Outcome.APPENDED],
                duplicates=counts[Outcome.DUPLICATE],
                quarantined=counts[Outcome.QUARANTINED],
                refused=counts[Outcome.REFUSED],
                spooled=spooled,
                balanced=received + carried == sum(counts.values()) + spooled,
                waiting_for_reprocess=waiting.get(channel, 0),
            )
        )
    return Page(items=views, as_of_pos=await call.view(lambda tx: tx.stream.head()))


def _view(channel: Channel, base: str, health: Health | None) -> ChannelView:
    return ChannelView(
        id=channel.id,
        kind=channel.connector.kind,
        title=channel.title,
        enabled=channel.enabled,
        webhook_url=f"{base}/webhooks/{channel.id}",
        capabilities=channel.capabilities,
        health=health,
    )


def _why(data: bytes) -> str:
    return msgspec.json.decode(data, type=PayloadQuarantined).why
