"""Customers, conversations and messages."""

import msgspec
import pytest

from connectors.content import Location, Text
from connectors.event import Status
from connectors.identity import Evidence, Identity
from storage.access import Scope
from storage.errors import Conflict, NotFound, StorageError
from storage.piece import Piece
from storage.protocol import Store, Transaction
from storage.record import Conversation, Message, MessageKind, State
from tests.support.rows import ADA, ALL, BEN, NOW, after, conversation, customer, known, message, one_conversation

replace = msgspec.structs.replace


async def test_customers_and_identities_come_back(store: Store) -> None:
    whole = known(evidence=Evidence.SIGNED, name="Ada L.", opted_out=True, since=after(1))

    async def work(tx: Transaction) -> None:
        await tx.customers.put(customer(language="pl"))
        await tx.customers.put_identity(whole)
        await tx.customers.put_identity(known(BEN))
        assert await tx.customers.get("cus_1") == customer(language="pl")
        assert await tx.customers.find(ADA) == whole
        assert await tx.customers.identities("cus_1") == [known(BEN), whole]
        await tx.customers.put(customer(name="Ada Byron"))
        await tx.customers.put_identity(known(name="new"))
        assert (await tx.customers.get("cus_1")) == customer(name="Ada Byron")
        assert await tx.customers.find(ADA) == known(name="new")
        assert await tx.customers.find(Identity("telegram", "", "ada")) is None
        assert await tx.customers.get("cus_2") is None

    await store.transact(work)


async def test_merge_and_its_undoing(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await one_conversation(tx)
        await tx.customers.put(customer("cus_2"))
        await tx.customers.put_identity(known(BEN, customer_id="cus_2"))
        await tx.conversations.insert(conversation(2, identity=BEN, channel="sms", customer_id="cus_2"))
        await tx.messages.insert(message(1))
        await tx.messages.insert(message(2, conversation_id="cnv_2", customer_id="cus_2"))
        await tx.customers.record_merge("cus_2", "cus_1", [BEN], NOW)
        await tx.customers.move_identity(BEN, "cus_1")
        assert [line.pos for line in await tx.messages.of_customer("cus_1", ALL, 0, 0, 10)] == [1, 2]
        assert [each.id for each in await tx.conversations.of_customer("cus_1", ALL)] == ["cnv_2", "cnv_1"]
        assert await tx.customers.identities("cus_2") == []
        for identity in await tx.customers.undo_merge("cus_2", "cus_1"):
            await tx.customers.move_identity(identity, "cus_2")
        assert [line.customer_id for line in await tx.messages.of_customer("cus_2", ALL, 0, 0, 10)] == ["cus_2"]
        assert [each.id for each in await tx.conversations.of_customer("cus_1", ALL)] == ["cnv_1"]
        with pytest.raises(NotFound):
            await tx.customers.undo_merge("cus_2", "cus_1")
        with pytest.raises(NotFound):
            await tx.customers.move_identity(Identity("tel", "", "nobody"), "cus_1")

    await store.transact(work)


async def test_a_conversation_comes_back_whole(store: Store) -> None:
    whole = conversation(
        7,
        state=State.SNOOZED,
        assignee_id="agt_1",
        waiting_since=after(1),
        snoozed_until=after(2),
        preview="hi",
        last_pos=9,
        last_inbound_pos=8,
        seen_pos=7,
        customer_seen_pos=6,
        last_private_at=after(-3),
    )

    async def work(tx: Transaction) -> None:
        await tx.customers.put(customer())
        await tx.conversations.insert(whole)
        assert await tx.conversations.get("cnv_7", ALL) == whole
        changed = replace(whole, state=State.OPEN, snoozed_until=None, waiting_since=None, thread="43", last_pos=10, last_private_at=None)
        await tx.conversations.update(changed)
        assert await tx.conversations.get("cnv_7", ALL) == changed
        with pytest.raises(NotFound):
            await tx.conversations.update(conversation(8))

    await store.transact(work)


async def test_one_unresolved_conversation_per_pair(store: Store) -> None:
    await store.transact(one_conversation)
    for second in (conversation(2), conversation(2, state=State.SNOOZED)):
        with pytest.raises(Conflict, match="unresolved"):
            await store.transact(lambda tx, second=second: tx.conversations.insert(second))  # type: ignore[misc]

    async def work(tx: Transaction) -> None:
        await tx.conversations.insert(conversation(2, channel="other"))
        await tx.conversations.insert(conversation(3, state=State.RESOLVED))
        await tx.conversations.update(conversation(1, state=State.RESOLVED))
        await tx.conversations.insert(conversation(4))
        assert await tx.conversations.unresolved("tg", ADA) == conversation(4)
        assert await tx.conversations.latest("tg", ADA) == conversation(4)
        with pytest.raises(Conflict, match="unresolved"):
            await tx.conversations.update(conversation(3))
        await tx.conversations.update(conversation(4, state=State.RESOLVED))
        assert await tx.conversations.unresolved("tg", ADA) is None
        assert await tx.conversations.latest("tg", ADA) == conversation(4, state=State.RESOLVED)
        assert await tx.conversations.latest("tg", BEN) is None

    await store.transact(work)


async def test_numbers_are_short_and_unique(store: Store) -> None:
    assert [await store.transact(lambda tx: tx.conversations.next_number()) for _ in range(3)] == [1, 2, 3]


async def _several(tx: Transaction) -> list[Conversation]:
    """Six conversations of one customer, with identities and queues of their own."""
    await tx.customers.put(customer())
    made = [
        conversation(
            number,
            identity=Identity("visitor", "web", str(number)),
            queue_id=f"que_{number % 2}",
            last_pos=10 * number,
            state=state,
            assignee_id="agt_1" if state is State.OPEN else "",
            waiting_since=after(-number) if state is State.QUEUED else None,
            snoozed_until=after(number) if state is State.SNOOZED else None,
        )
        for number, state in enumerate(
            [State.QUEUED, State.OPEN, State.QUEUED, State.SNOOZED, State.RESOLVED, State.SNOOZED, State.QUEUED], start=1
        )
    ]
    for each in made:
        await tx.conversations.insert(each)
    return made


async def test_lists_of_conversations(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await _several(tx)
        some = tx.conversations
        assert [each.number for each in await some.waiting(["que_1"], 10)] == [7, 3, 1]  # longest waiting first
        assert [each.number for each in await some.waiting(["que_0", "que_1"], 1)] == [7]
        assert [each.number for each in await some.due(after(4), 10)] == [4]
        assert [each.number for each in await some.due(after(60), 10)] == [4, 6]
        assert [each.number for each in await some.by_thread("tg", "42")] == [1, 2, 3, 4, 6, 7]
        assert await some.by_thread("sms", "42") == []
        assert await some.counts(ALL) == {
            ("que_1", State.QUEUED): 3,
            ("que_0", State.OPEN): 1,
            ("que_0", State.SNOOZED): 2,
        }
        assert await some.counts(Scope(queues=frozenset({"que_1"}))) == {("que_1", State.QUEUED): 3}

    await store.transact(work)


async def test_pages_of_conversations(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await _several(tx)

        async def page(
            scope: Scope = ALL, *states: State, queue: str = "", assignee: str = "", before: int = 0, limit: int = 9
        ) -> list[int]:
            found = await tx.conversations.page(scope, states=states, queue_id=queue, assignee_id=assignee, before=before, limit=limit)
            return [each.number for each in found]

        assert await page() == [7, 6, 5, 4, 3, 2, 1]
        assert await page(limit=3) == [7, 6, 5]
        assert await page(limit=3, before=50) == [4, 3, 2]
        assert await page(ALL, State.QUEUED, State.OPEN) == [7, 3, 2, 1]
        assert await page(ALL, State.RESOLVED) == [5]
        assert await page(queue="que_0") == [6, 4, 2]
        assert await page(assignee="agt_1") == [2]
        assert await page(Scope(queues=frozenset({"que_0"})), State.SNOOZED, before=60) == [4]
        assert await page(Scope()) == []
        assert await page(Scope(identity="visitor:web:3")) == [3]

    await store.transact(work)


async def test_a_message_comes_back_whole(store: Store) -> None:
    whole = message(
        5,
        kind=MessageKind.OUTBOUND,
        parts=(Text(text="a\0b 👩‍👩‍👧"), Location(latitude=1.5, longitude=-2.25)),
        at=after(-1),
        reply_to="msg_1",
        group="album",
        forwarded_from="Ben",
        edited_at=after(2),
        deleted=True,
        reactions={"agt_1": ("👍", "❤")},
        status=Status.QUEUED,
        problem="none",
        possible_duplicate=True,
        public=True,
        automatic=True,
        pieces=3,
        sent_at=after(3),
    )

    async def work(tx: Transaction) -> None:
        await one_conversation(tx)
        await tx.messages.insert(whole)
        assert await tx.messages.get("msg_5") == whole
        changed = replace(whole, status=Status.SENT, deleted=False, edited_at=None, sent_at=None, reactions={}, parts=(Text(text=""),))
        await tx.messages.update(changed)
        assert await tx.messages.get("msg_5") == changed
        await tx.messages.update(replace(changed, pos=99))
        assert await tx.messages.get("msg_5") == changed  # its place in history is for ever
        for twin in (message(5, id="msg_other"), message(6, id="msg_5")):
            with pytest.raises(Conflict):
                await tx.messages.insert(twin)
        with pytest.raises(NotFound):
            await tx.messages.update(message(77))
        assert await tx.messages.get("msg_77") is None

    await store.transact(work)


async def test_half_a_surrogate_is_refused_with_a_reason(store: Store) -> None:
    await store.transact(one_conversation)
    for bad in (message(1, parts=(Text(text="\ud83d"),)), message(1, problem="\udc00")):
        with pytest.raises(StorageError, match="surrogate"):
            await store.transact(lambda tx, bad=bad: tx.messages.insert(bad))  # type: ignore[misc]
    await store.transact(lambda tx: tx.messages.insert(message(1)))


@pytest.mark.parametrize("of", ["conversation", "customer"])
async def test_paging_of_messages(store: Store, of: str) -> None:
    async def work(tx: Transaction) -> None:
        await one_conversation(tx)
        for pos in range(2, 22, 2):
            await tx.messages.insert(message(pos))

        async def page(after: int = 0, before: int = 0, limit: int = 3) -> list[int]:
            if of == "customer":
                found: list[Message] = await tx.messages.of_customer("cus_1", ALL, after, before, limit)
            else:
                found = await tx.messages.of_conversation("cnv_1", after, before, limit)
            return [line.pos for line in found]

        assert await page() == [16, 18, 20]
        assert await page(before=16) == [10, 12, 14]
        assert await page(after=16) == [18, 20]
        assert await page(after=3) == [4, 6, 8]
        assert await page(after=4, before=8) == [6]
        assert await page(before=2) == await page(after=20) == []

    await store.transact(work)


async def test_ids_of_the_provider(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await one_conversation(tx)
        await tx.messages.insert(message(1))
        await tx.messages.link("tg", "p2", "msg_1", 1)
        await tx.messages.link("tg", "p1", "msg_1", 0)
        await tx.messages.link("tg", "p1", "msg_1", 0)
        await tx.messages.link("", "command:1", "msg_1", 0)
        assert await tx.messages.provider_ids("tg", "msg_1") == ["p1", "p2"]
        assert await tx.messages.by_provider_id("tg", "p2") == message(1)
        assert await tx.messages.by_provider_id("sms", "p2") is None
        with pytest.raises(Conflict, match="another message"):
            await tx.messages.link("tg", "p1", "msg_2", 0)

    await store.transact(work)


async def test_what_a_message_is_at_the_provider(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await one_conversation(tx)
        for pos in (1, 2):
            await tx.messages.insert(message(pos, kind=MessageKind.OUTBOUND))
        assert await tx.messages.pieces("tg", "msg_1") == []
        await tx.messages.link("tg", "p2", "msg_1", 1)
        await tx.messages.link("tg", "p1", "msg_1", 0)
        await tx.messages.link("tg", "twice", "msg_1", -1)
        await tx.messages.link("", "command:1", "msg_1", 0)
        await tx.messages.report("tg", "p2", "msg_1", Status.FAILED, "131026 not there")
        await tx.messages.report("tg", "p1", "msg_1", Status.READ, "")
        await tx.messages.report("tg", "p1", "msg_2", Status.FAILED, "another message's")
        await tx.messages.report("sms", "p1", "msg_1", Status.FAILED, "another channel's")
        await tx.messages.link("tg", "p2", "msg_1", 2)  # its sender knows better where it belongs, and what was reported stays
        assert await tx.messages.pieces("tg", "msg_1") == [
            Piece(part=-1, provider_id="twice"),
            Piece(part=0, provider_id="p1", status=Status.READ),
            Piece(part=2, provider_id="p2", status=Status.FAILED, problem="131026 not there"),
        ]

    await store.transact(work)


async def test_parked_events_are_taken_out_once_in_order(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        assert not await tx.messages.any_parked()
        for data in (b"b", b"a", b"\x00"):
            await tx.messages.park("tg", "p1", data, NOW)
        await tx.messages.park("tg", "p2", b"other", NOW)
        assert await tx.messages.unpark("tg", "p1") == [b"b", b"a", b"\x00"]
        assert await tx.messages.unpark("tg", "p1") == []
        assert await tx.messages.unpark("sms", "p2") == []
        assert await tx.messages.any_parked()
        assert await tx.messages.any_parked("tg")
        assert not await tx.messages.any_parked("sms")
        assert await tx.messages.unpark("tg", "p2") == [b"other"]
        assert not await tx.messages.any_parked()

    await store.transact(work)


async def test_parked_events_are_not_kept_for_ever(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await tx.messages.park("tg", "p1", b"old", NOW)
        await tx.messages.park("tg", "p1", b"new", after(60))
        assert await tx.messages.forget_parked(NOW) == 0
        assert await tx.messages.forget_parked(after(60)) == 1
        assert await tx.messages.unpark("tg", "p1") == [b"new"]

    await store.transact(work)
