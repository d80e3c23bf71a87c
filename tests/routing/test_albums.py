"""One call may make several messages at the provider: each has its id, and all of them are one part."""

from connectors.contract import Failure, Outcome, Sent
from connectors.errors import FailureKind
from connectors.event import ReactionChanged, Status
from routing.command import FinishAttempt, KeepProgress
from storage.record import Attempt, Message, OutboxItem
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim

FIRST = Sent("o0", also=("o1", "o2"))
LAST = Sent("o3", also=("o4",))


async def _album(world: World) -> tuple[Message, OutboxItem]:
    """A reply that takes two calls, claimed."""
    ada = await world.agent("ada", await world.default_queue())
    message = await world.reply(ada, (await world.writes("cleo")).id)
    (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    return message, item


async def _finish(world: World, item: OutboxItem, *outcomes: Outcome) -> None:
    attempt = Attempt(message_id=item.message_id, number=item.attempts, started_at=world.clock(), finished_at=world.clock())
    await world.router.handle(
        FinishAttempt(id=world.id(), actor=GATEWAY, message_id=item.message_id, attempt=attempt, outcomes=outcomes, calls=2)
    )


async def _item(world: World, message: Message) -> OutboxItem:
    item = await world.store.view(lambda tx: tx.outbox.get(message.id))
    assert item is not None
    return item


async def _pieces(world: World, message: Message) -> list[tuple[int, str]]:
    found = await world.store.view(lambda tx: tx.messages.pieces(message.channel, message.id))
    return [(piece.part, piece.provider_id) for piece in found]


async def test_each_member_has_its_id_and_a_kept_album_is_one_part(world: World) -> None:
    message, item = await _album(world)
    await world.router.handle(
        KeepProgress(id=world.id(), actor=GATEWAY, message_id=message.id, number=item.attempts, outcomes=(FIRST,), calls=2, first=0)
    )
    assert (await _item(world, message)).part_from == 1
    assert await _pieces(world, message) == [(0, "o0"), (0, "o1"), (0, "o2")]
    await _finish(world, await _item(world, message), LAST)
    item = await _item(world, message)
    assert (item.status, item.part_from) == (Status.SENT, 2)
    assert (await _pieces(world, message))[3:] == [(1, "o3"), (1, "o4")]
    # Whichever picture the shopper means, it is this line.
    for member in ("o1", "o4"):
        event = ReactionChanged(key=world.id(), sender=world.shopper("cleo"), message_id=member, emoji=("👍",))
        await world.receive(event)
        found = await world.store.view(lambda tx, id_=member: tx.messages.by_provider_id("web", id_))  # type: ignore[misc]
        assert found is not None
        assert (found.id, bool(found.reactions)) == (message.id, True)


async def test_after_a_failure_only_the_second_album_goes_again(world: World) -> None:
    message, item = await _album(world)
    await _finish(world, item, FIRST, Failure(kind=FailureKind.TRANSIENT))
    item = await _item(world, message)
    assert (item.status, item.part_from) == (Status.RETRY, 1)
    assert await _pieces(world, message) == [(0, "o0"), (0, "o1"), (0, "o2")]
