"""Two addresses of one person: one history; two persons: two."""

from connectors.content import Text
from connectors.event import (
    MessageReceived,
    Sender,
)
from connectors.identity import Evidence, Identity
from routing.command import (
    MergeCustomers,
    UnmergeCustomers,
)
from tests.routing.world import GATEWAY, World


async def test_a_proved_second_address_joins_the_history_a_claimed_one_does_not(world: World) -> None:
    phone = Identity("tel", "", "+393331234567")
    by_sms = MessageReceived(key="s", message_id="s", sender=Sender(identity=phone, name="Cleo"), parts=(Text(text="by sms"),))
    await world.receive(by_sms, channel="sms")
    for evidence, name in ((Evidence.CLAIMED, "mallory"), (Evidence.PROVIDER, "cleo")):
        sender = Sender(identity=Identity("telegram", "7", name), name=name, aliases=((phone, evidence),))
        await world.receive(MessageReceived(key=name, message_id=name, sender=sender, parts=(Text(text=name),)), channel="tg")
    owner = await world.look(lambda tx: tx.customers.find(phone))
    lines = await world.history(owner.customer_id)
    assert [(line.channel, line.parts) for line in lines] == [("sms", (Text(text="by sms"),)), ("tg", (Text(text="cleo"),))]
    assert [line.pos for line in lines] == sorted(line.pos for line in lines)


async def test_a_claimed_address_gives_way_to_its_owner(world: World) -> None:
    mail = Identity("mailto", "", "cleo@example.org")
    mallory = Sender(identity=Identity("visitor", "web", "m"), aliases=((mail, Evidence.CLAIMED),))
    await world.receive(MessageReceived(key="m", message_id="m", sender=mallory, parts=(Text(text="I am Cleo"),)))
    await world.receive(
        MessageReceived(key="c", message_id="c", sender=Sender(identity=mail), parts=(Text(text="really"),)), channel="mail"
    )
    owner = await world.look(lambda tx: tx.customers.find(mail))
    assert [line.parts for line in await world.history(owner.customer_id)] == [(Text(text="really"),)]


async def test_merge_and_unmerge(world: World) -> None:
    one, two = await world.writes("cleo"), await world.writes("cleo2", channel="shop2")
    merged = await world.router.handle(MergeCustomers(id=world.id(), actor=GATEWAY, from_id=two.customer_id, into_id=one.customer_id))
    assert merged is not None
    assert len(await world.history(one.customer_id)) == 2
    await world.writes("cleo2", "still me", channel="shop2")
    assert len(await world.history(one.customer_id)) == 3
    await world.router.handle(UnmergeCustomers(id=world.id(), actor=GATEWAY, from_id=two.customer_id, into_id=one.customer_id))
    assert len(await world.history(one.customer_id)) == 1
    assert len(await world.history(two.customer_id)) == 2


async def test_a_contact_that_proves_both_known_addresses_merges_them(world: World) -> None:
    phone = Identity("tel", "", "+393331234567")
    await world.receive(MessageReceived(key="s", message_id="s", sender=Sender(identity=phone), parts=(Text(text="a"),)), channel="sms")
    telegram = Identity("telegram", "7", "42")
    await world.receive(MessageReceived(key="t", message_id="t", sender=Sender(identity=telegram), parts=(Text(text="b"),)), channel="tg")
    shared = Sender(identity=telegram, aliases=((phone, Evidence.PROVIDER),))
    await world.receive(MessageReceived(key="u", message_id="u", sender=shared, parts=(Text(text="c"),)), channel="tg")
    owner = await world.look(lambda tx: tx.customers.find(telegram))
    assert [line.parts for line in await world.history(owner.customer_id)] == [(Text(text=text),) for text in "abc"]
    assert "customer.merged" in await world.event_types()
