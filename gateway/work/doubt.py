"""A call whose answer was lost may have gone out. Where the provider can be asked, it is, before anything is sent again."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from connectors.abilities import SendFinder
from connectors.contract import Call
from connectors.errors import FailureKind
from gateway.services import Channel, Services
from storage.interaction import InteractionKind
from storage.protocol import Transaction
from storage.record import Attempt, OutboxItem

#: Lists of providers lag: "there is none" counts only so long after the attempt.
GRACE: Final = timedelta(seconds=30)
#: Between looks until then.
LOOK_AGAIN_SECONDS: Final = 10.0
ASK_SECONDS: Final = 20.0
#: The provider's clock and ours may differ by so much.
SKEW: Final = timedelta(minutes=1)


class Verdict(StrEnum):
    """What was found out about an attempt without an answer."""

    #: It had been sent.
    ADOPTED = "adopted"
    #: It had not.
    UNSENT = "unsent"
    #: Nobody can say.
    DOUBTFUL = "doubtful"


class Resolved(NamedTuple):
    """The verdict; for what had been sent, the provider's id; and whether there is no doubt left that it went out once at most."""

    verdict: Verdict
    provider_id: str = ""
    certain: bool = False


def is_finder(channel: Channel) -> bool:
    """Can this channel's provider be asked what became of a call?"""
    return isinstance(channel.client, SendFinder)


async def doubted(services: Services, item: OutboxItem) -> Attempt | None:
    """The attempt before this one, if nobody knows what came of it."""
    if not item.unknowns:
        return None
    attempts = await services.store.view(lambda tx: tx.outbox.attempts(item.message_id))
    former = [one for one in attempts if one.number < item.attempts]
    return former[-1] if former and former[-1].outcome == FailureKind.UNKNOWN else None


async def resolve(services: Services, channel: Channel, call: Call, attempt: Attempt, ours: Callable[[], bool]) -> Resolved:
    """Ask the provider what became of ``call``, which ``attempt`` made. Looks again until its list can be trusted."""
    began = attempt.finished_at or attempt.started_at
    while True:
        found = await _ask(services, channel, call, attempt)
        if found is None or not ours():
            return Resolved(Verdict.DOUBTFUL)
        new = await services.store.view(lambda tx, ids=found: _unknown_to_us(tx, channel.id, ids))  # type: ignore[misc]
        if new:
            # Several alike: it went out, and perhaps twice already.
            return Resolved(Verdict.ADOPTED, new[0], certain=len(new) == 1)
        left = (began + GRACE - services.clock()).total_seconds()
        if left <= 0:
            return Resolved(Verdict.UNSENT, certain=True)
        await asyncio.sleep(min(left, LOOK_AGAIN_SECONDS))


async def _ask(services: Services, channel: Channel, call: Call, attempt: Attempt) -> Sequence[str] | None:
    client = channel.client
    if not isinstance(client, SendFinder):
        return None
    began = time.perf_counter()
    found, why = None, "the provider cannot say now"
    try:
        async with asyncio.timeout(ASK_SECONDS):
            found = await client.find_sent(call, attempt.started_at - SKEW)
    except Exception as error:  # noqa: BLE001 - whatever it is, we know as little as before
        why = type(error).__name__
        structlog.get_logger("outbox").warning("the provider could not be asked", channel=channel.id, error=why)
    result = "unknown" if found is None else "found" if found else "none"
    services.journal.asked(
        channel.id,
        InteractionKind.LOOKUP,
        result,
        time.perf_counter() - began,
        ok=found is not None,
        detail=why if found is None else f"after attempt {attempt.number}",
        refs=(attempt.message_id, *(found or ())),
    )
    return found


async def _unknown_to_us(tx: Transaction, channel: str, ids: Sequence[str]) -> list[str]:
    return [id_ for id_ in ids if await tx.messages.by_provider_id(channel, id_) is None]
