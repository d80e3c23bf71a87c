"""Held sending: after a backup was restored, replies that the database believes to be waiting may have been sent long ago.

Until an operator releases it nothing is sent and nothing expires; replies are accepted and wait, and what shoppers write comes in.
"""

from datetime import datetime

import structlog
from msgspec import Struct

from gateway.metrics import Metrics
from gateway.work.actor import GATEWAY, command_id
from routing.command import ExpireReplies
from routing.load import ALL_TIMES
from routing.router import Router
from storage.backup import incarnation
from storage.held import INCARNATION, SENDING_HELD
from storage.protocol import Store, Transaction
from storage.record import OutboxItem

#: So many of the waiting replies are looked at.
_LISTED = 10_000


class HeldReport(Struct, frozen=True, kw_only=True):
    """How sending stands."""

    #: Empty: replies are sent.
    why: str
    #: Replies that wait, per channel.
    waiting: dict[str, int]
    #: When the oldest of them was accepted.
    oldest: datetime | None
    #: How many of them are past their life, and expire as soon as sending is released; of the oldest ten thousand.
    past_life: int


class HeldNotice:
    """Tells of a change once: by a line in the log, and by the gauge."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.why = ""

    def note(self, why: str) -> None:
        """``why`` is the setting as it was just read."""
        self._metrics.sending_held.set(1 if why else 0)
        if why and not self.why:
            structlog.get_logger("held").warning(
                "sending is held; replies are accepted and wait",
                why=why,
                remedy="look at sportello outbox status, then sportello outbox release",
            )
        elif self.why and not why:
            structlog.get_logger("held").info("sending is released")
        self.why = why


async def hold(store: Store, why: str) -> None:
    """Send nothing more, on no node; a call to a provider that is under way may end. Raises storage errors."""
    await store.transact(lambda tx: tx.settings.put(SENDING_HELD, why))


async def release(store: Store, router: Router, now: datetime, drop_before: datetime | None) -> int:
    """Send again. Replies accepted before ``drop_before`` become ``expired`` first; returns how many did. Raises storage errors.

    Nothing is sent in between, and if it is cut off nothing is released.
    """
    dropped = 0
    while drop_before is not None:
        command = ExpireReplies(id=command_id(now), actor=GATEWAY, accepted_before=drop_before)
        number = await router.handle(command)
        assert isinstance(number, int)
        if not number:
            break
        dropped += number
    await store.transact(lambda tx: tx.settings.put(SENDING_HELD, ""))
    return dropped


async def held_report(store: Store, now: datetime) -> HeldReport:
    """Look at it. Raises storage errors."""

    async def look(tx: Transaction) -> tuple[str, dict[str, int], list[OutboxItem]]:
        why = await tx.settings.get(SENDING_HELD)
        return why, await tx.outbox.waiting_count(), await tx.outbox.expired(now + ALL_TIMES, _LISTED)

    why, waiting, items = await store.view(look)
    return HeldReport(
        why=why,
        waiting=waiting,
        oldest=min((item.accepted_at for item in items), default=None),
        past_life=sum(item.expires_at <= now for item in items),
    )


async def hold_if_moved(store: Store, url: str) -> str:
    """Hold sending if these rows were last used on another database server; returns why, empty if they were not.

    A fail-over to a standby, or a new timeline, is the same server; so is one that was brought back to a point in time: that cannot be
    told from a fail-over.
    """
    here = await incarnation(url)
    if not here:
        return ""

    async def compare(tx: Transaction) -> str:
        before = await tx.settings.get(INCARNATION)
        if before == here:
            return ""
        await tx.settings.put(INCARNATION, here)
        if not before:
            return ""
        why = await tx.settings.get(SENDING_HELD) or "this database was copied from another PostgreSQL server"
        await tx.settings.put(SENDING_HELD, why)
        return why

    if await store.view(lambda tx: tx.settings.get(INCARNATION)) == here:
        return ""
    return await store.transact(compare)
