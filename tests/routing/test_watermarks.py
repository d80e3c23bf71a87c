"""A watermark ("all up to then was read") may come before what it is about is known here; in every order all ends the same."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import permutations

import pytest

from connectors.content import Text
from connectors.contract import Failure, Outcome, Sent
from connectors.errors import FailureKind
from connectors.event import MessageEchoed, Status, WatermarkReported
from connectors.identity import Identity
from routing.command import FinishAttempt
from storage.record import Attempt, Message, MessageKind, OutboxItem
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim

CLEO = Identity("visitor", "web", "cleo")

Step = Callable[[], Awaitable[None]]


async def _claim(world: World) -> OutboxItem:
    (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    return item


async def _finished(world: World, item: OutboxItem, began: datetime, outcome: Outcome) -> None:
    """What came of a sending."""
    word = outcome.kind.value if isinstance(outcome, Failure) else "sent"
    attempt = Attempt(message_id=item.message_id, number=item.attempts, started_at=began, finished_at=world.clock(), outcome=word)
    await world.router.handle(
        FinishAttempt(id=world.id(), actor=GATEWAY, message_id=item.message_id, attempt=attempt, outcomes=(outcome,), calls=1)
    )


async def _mark(world: World, key: str, status: Status, up_to: datetime) -> None:
    await world.receive(WatermarkReported(key=key, sender=world.shopper("cleo"), status=status, up_to=up_to))


async def _echo(world: World, key: str, at: datetime) -> None:
    """Somebody answered in the provider's own app."""
    parts = (Text(text="from the phone"),)
    await world.receive(MessageEchoed(key=key, message_id=key, sender=world.shopper("cleo"), parts=parts, at=at))


async def _heard(world: World, echo: MessageEchoed) -> None:
    await world.receive(echo)


async def _shown(world: World, customer_id: str) -> list[Status | None]:
    lines: list[Message] = await world.history(customer_id)
    return [line.status for line in lines if line.kind is MessageKind.OUTBOUND]


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=lambda order: "".join(map(str, order)))
async def test_watermarks_answers_and_echoes_in_any_order(world: World, order: tuple[int, ...]) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    await world.reply(ada, conversation.id)
    item, began = await _claim(world), world.clock()
    up_to = began + timedelta(seconds=5)
    world.clock.forward(seconds=30)
    steps: list[Step] = [
        lambda: _finished(world, item, began, Sent("p0")),
        lambda: _mark(world, "d", Status.DELIVERED, up_to),
        lambda: _mark(world, "r", Status.READ, up_to),
        lambda: _echo(world, "x", began),
    ]
    for number in order:
        await steps[number]()
    assert await _shown(world, conversation.customer_id) == [Status.READ, Status.READ]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_our_own_echo_after_a_doubt_and_a_watermark(world: World, order: tuple[int, ...]) -> None:
    """Nobody had answered the sending; the echo says that it went out, and when."""
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    message = await world.reply(ada, conversation.id)
    item, began = await _claim(world), world.clock()
    await _finished(world, item, began, Failure(kind=FailureKind.UNKNOWN))
    parts = (Text(text="ecco"),)
    echo = MessageEchoed(key="e", message_id="p0", sender=world.shopper("cleo"), parts=parts, ours=message.id, at=began)
    world.clock.forward(seconds=30)
    steps: list[Step] = [
        lambda: _mark(world, "d", Status.DELIVERED, began + timedelta(seconds=1)),
        lambda: _mark(world, "r", Status.READ, began + timedelta(seconds=1)),
        lambda: _heard(world, echo),
    ]
    for number in order:
        await steps[number]()
    assert await _shown(world, conversation.customer_id) == [Status.READ]


async def test_a_kept_watermark_is_for_what_was_sent_by_then_and_for_nothing_later(world: World) -> None:
    """Also after a second, older one has come: the newest counts."""
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    start = world.clock()
    await _mark(world, "w1", Status.READ, start + timedelta(seconds=20))
    await _mark(world, "w0", Status.READ, start + timedelta(seconds=5))
    for seconds in (10, 30):
        await world.reply(ada, conversation.id, f"after {seconds}")
        await _finished(world, await _claim(world), start + timedelta(seconds=seconds), Sent(f"p{seconds}"))
    assert await _shown(world, conversation.customer_id) == [Status.READ, Status.SENT]


async def test_a_watermark_of_somebody_else_counts_for_nobody(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    mark = WatermarkReported(key="w", sender=world.shopper("bo"), status=Status.READ, up_to=world.clock() + timedelta(hours=1))
    await world.receive(mark)
    await world.reply(ada, conversation.id)
    await _finished(world, await _claim(world), world.clock(), Sent("p0"))
    assert await _shown(world, conversation.customer_id) == [Status.SENT]


async def test_one_watermark_is_kept_of_a_person_and_none_for_ever(world: World) -> None:
    for number in range(3):
        await _mark(world, f"w{number}", Status.READ, world.clock())
        world.clock.forward(seconds=1)
    assert await world.store.transact(lambda tx: tx.messages.forget_parked(world.clock())) == 1
    assert not await world.look(lambda tx: tx.messages.any_parked())
