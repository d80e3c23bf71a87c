"""Who has opted out is left alone until they write again, by hand and in private."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.content import Activity
from connectors.event import ConsentChanged, MessageReceived, Sender, Status
from connectors.identity import Evidence, Identity
from routing.consent import FRESH
from routing.errors import NotNow
from storage.record import Conversation, KnownIdentity
from tests.routing.world import World

STOP = ConsentChanged(key="stop", sender=Sender(identity=Identity("visitor", "web", "cleo")), opted_in=False)


async def known(world: World, name: str = "cleo") -> KnownIdentity:
    found: KnownIdentity = await world.look(lambda tx: tx.customers.find(Identity("visitor", "web", name)))
    return found


async def codes(world: World, conversation: Conversation) -> list[str]:
    lines = await world.history(conversation.customer_id)
    return [part.code for line in lines for part in line.parts if isinstance(part, Activity) and part.code.startswith("opted")]


async def test_writing_again_is_consent(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    await world.receive(STOP)
    with pytest.raises(NotNow, match="wait until they write"):
        await world.reply(ada, conversation.id)
    before = len(await world.events())
    await world.writes("cleo", "I have a question")
    assert not (await known(world)).opted_out
    assert (await world.reply(ada, conversation.id)).status is Status.QUEUED
    assert await codes(world, conversation) == ["opted_out", "opted_in"]
    assert "customer.changed" in await world.event_types(before)


async def test_the_word_that_opts_out_is_no_consent(world: World) -> None:
    """The keyword comes as a message, and then says what it means; the second time too."""
    for number in (1, 2):
        word = MessageReceived(key=f"w{number}", message_id=f"w{number}", sender=world.shopper("cleo"), parts=())
        await world.receive(word, ConsentChanged(key=f"c{number}", sender=world.shopper("cleo"), opted_in=False))
        assert (await known(world)).opted_out
    # The other way round it was written after they had opted out.
    await world.receive(
        ConsentChanged(key="c3", sender=world.shopper("cleo"), opted_in=False),
        MessageReceived(key="w3", message_id="w3", sender=world.shopper("cleo"), parts=()),
    )
    assert not (await known(world)).opted_out


async def test_the_word_that_opts_in_is_told_once(world: World) -> None:
    conversation = await world.writes("cleo")
    await world.receive(STOP)
    word = MessageReceived(key="w", message_id="w", sender=world.shopper("cleo"), parts=())
    await world.receive(word, ConsentChanged(key="c", sender=world.shopper("cleo"), opted_in=True))
    assert not (await known(world)).opted_out
    assert await codes(world, conversation) == ["opted_out", "opted_in"]


@pytest.mark.parametrize(("late", "heard"), [(FRESH, True), (FRESH + timedelta(seconds=1), False), (-timedelta(days=1), True)])
async def test_what_comes_late_may_have_been_written_before(
    world: World,
    late: timedelta,
    heard: bool,  # noqa: FBT001
) -> None:
    await world.receive(STOP)
    await world.writes("cleo", at=world.clock() - late)
    assert (await known(world)).opted_out is not heard


@pytest.mark.parametrize("fields", [{"public": True}, {"automatic": True}])
async def test_a_comment_and_a_machine_consent_to_nothing(world: World, fields: dict[str, Any]) -> None:
    await world.writes("cleo")
    await world.receive(STOP)
    await world.writes("cleo", **fields)
    assert (await known(world)).opted_out


async def test_only_the_address_that_wrote_is_heard_again(world: World) -> None:
    await world.receive(STOP)
    await world.writes("dino")
    assert (await known(world)).opted_out


async def test_a_new_name_stays_and_a_claim_does_not_forget(world: World) -> None:
    claimed = world.shopper("cleo")
    claimed = type(claimed)(identity=claimed.identity, name="Cleo", evidence=Evidence.CLAIMED)
    await world.receive(MessageReceived(key="a", message_id="a", sender=claimed, parts=()))
    await world.receive(ConsentChanged(key="b", sender=claimed, opted_in=False))
    await world.receive(MessageReceived(key="c", message_id="c", sender=claimed, parts=(), automatic=True))
    assert (await known(world)).opted_out
    renamed = type(claimed)(identity=claimed.identity, name="Cleo Verdi")
    await world.receive(MessageReceived(key="d", message_id="d", sender=renamed, parts=()))
    await world.receive(ConsentChanged(key="e", sender=renamed, opted_in=False))
    again = type(claimed)(identity=claimed.identity, name="Cleo Bianchi")
    await world.receive(MessageReceived(key="f", message_id="f", sender=again, parts=()))
    assert ((await known(world)).opted_out, (await known(world)).name) == (False, "Cleo Bianchi")
