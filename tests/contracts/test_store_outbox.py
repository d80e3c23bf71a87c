"""Sending: in order, one at a time, never without a trace."""

from typing import Any

import msgspec
import pytest

from connectors.content import Text
from connectors.event import Status
from storage.errors import Conflict, NotFound
from storage.protocol import Slots, Store, Transaction
from storage.record import Attempt, OutboxItem, Priority
from tests.support.claims import claim
from tests.support.rows import NOW, after, item

replace = msgspec.structs.replace
_NONE: frozenset[str] = frozenset()


async def _put(store: Store, *items: OutboxItem) -> None:
    async def work(tx: Transaction) -> None:
        for each in items:
            await tx.outbox.put(each)

    await store.transact(work)


async def _claim(store: Store, now: Any = NOW, limit: int = 10, paused: frozenset[str] = _NONE) -> list[str]:
    return [each.message_id for each in await store.transact(lambda tx: claim(tx, now, limit, paused))]


async def _update(store: Store, number: int, **changes: Any) -> None:
    async def work(tx: Transaction) -> None:
        found = await tx.outbox.get(f"msg_{number}")
        assert found is not None
        await tx.outbox.update(replace(found, **changes))

    await store.transact(work)


async def test_an_item_comes_back_whole(store: Store) -> None:
    whole = item(1, reply_to="p1", parts=(Text(text="a"), Text(text="b")), attempts=2, unknowns=1, part_from=1, status=Status.RETRY)
    await _put(store, whole)
    assert await store.view(lambda tx: tx.outbox.get("msg_1")) == whole
    assert await store.view(lambda tx: tx.outbox.get("msg_2")) is None
    channels = item(3, public=True, priority=Priority.BULK, automatic=True, author="Eve", window_from=after(-9))
    await _put(store, channels)
    assert await store.view(lambda tx: tx.outbox.get("msg_3")) == channels
    with pytest.raises(Conflict):
        await _put(store, whole)
    with pytest.raises(NotFound):
        await store.transact(lambda tx: tx.outbox.update(item(2)))


async def test_replies_of_a_conversation_go_one_by_one_in_order(store: Store) -> None:
    await _put(store, item(3, accepted_at=after(9)), item(1, accepted_at=after(-9)), item(2, conversation_id="cnv_2"))
    assert await _claim(store) == ["msg_3", "msg_2"]  # as accepted by the store, whatever the clocks said
    assert await _claim(store) == []
    await _update(store, 3, status=Status.SENT)
    assert await _claim(store) == ["msg_1"]
    await _update(store, 1, status=Status.FAILED)
    await _update(store, 2, status=Status.SENT)
    assert await _claim(store) == []


async def test_what_was_written_for_many_waits_for_every_agent(store: Store) -> None:
    bulk = [item(number, conversation_id=f"cnv_{number}", priority=Priority.BULK) for number in (1, 2, 3)]
    await _put(store, *bulk, item(4, conversation_id="cnv_4"), item(5, conversation_id="cnv_5"))
    assert await _claim(store, limit=3) == ["msg_4", "msg_5", "msg_1"]
    assert await _claim(store) == ["msg_2", "msg_3"]


async def test_what_was_written_for_many_can_be_left_out(store: Store) -> None:
    await _put(store, item(1, priority=Priority.BULK, partition=3), item(2, conversation_id="cnv_2", partition=3, next_at=after(60)))
    partitions = {3}
    assert await store.transact(lambda tx: claim(tx, NOW, 10, _NONE, partitions, Priority.AGENT)) == []
    assert await store.view(lambda tx: tx.outbox.next_due(_NONE, partitions, Priority.AGENT)) == after(60)
    assert await store.view(lambda tx: tx.outbox.next_due(_NONE, partitions)) == NOW
    assert await _claim(store, after(60)) == ["msg_2", "msg_1"]


async def test_an_agents_reply_overtakes_what_a_machine_wrote_in_the_same_conversation(store: Store) -> None:
    await _put(store, item(1, priority=Priority.BULK), item(2, priority=Priority.BULK), item(3), item(4))
    assert await _claim(store) == ["msg_3"]
    assert await _claim(store) == []  # one at a time, all the same
    await _update(store, 3, status=Status.RETRY, next_at=after(60))
    assert await _claim(store) == []
    assert await store.view(lambda tx: tx.outbox.next_due(_NONE)) == after(60)
    await _update(store, 3, status=Status.SENT)
    assert await _claim(store) == ["msg_4"]
    await _update(store, 4, status=Status.SENT)
    assert await _claim(store) == ["msg_1"]
    await _update(store, 1, status=Status.RETRY, next_at=after(60))
    await _put(store, item(5))
    assert await _claim(store) == ["msg_5"]


async def test_only_the_owner_of_a_partition_sends(store: Store) -> None:
    await _put(store, item(1, partition=3), item(2, conversation_id="cnv_2", partition=4))
    assert (await store.view(lambda tx: tx.outbox.get("msg_1"))).partition == 3  # type: ignore[union-attr]
    assert await store.view(lambda tx: tx.outbox.next_due(_NONE, {5})) is None
    assert await store.view(lambda tx: tx.outbox.next_due(_NONE, {4, 5})) == NOW
    assert await store.transact(lambda tx: claim(tx, NOW, 10, _NONE, ())) == []
    (claimed,) = await store.transact(lambda tx: claim(tx, NOW, 10, _NONE, {4, 5}))
    assert claimed.message_id == "msg_2"
    assert await store.view(lambda tx: tx.outbox.under_way({3})) == []
    assert await store.view(lambda tx: tx.outbox.under_way({4})) == [claimed]
    assert await _claim(store) == ["msg_1"]


async def test_one_that_waits_for_its_retry_holds_those_behind_it(store: Store) -> None:
    await _put(store, item(1), item(2))
    assert await _claim(store) == ["msg_1"]
    await _update(store, 1, status=Status.RETRY, next_at=after(60))
    assert await _claim(store) == []
    assert await store.view(lambda tx: tx.outbox.next_due(_NONE)) == after(60)
    assert await _claim(store, after(60)) == ["msg_1"]
    await _update(store, 1, status=Status.UNKNOWN, next_at=after(90))
    assert await _claim(store, after(60)) == []
    assert await _claim(store, after(90)) == ["msg_1"]
    await _update(store, 1, status=Status.EXPIRED)
    assert await _claim(store, after(90)) == ["msg_2"]


async def test_a_claim_begins_an_attempt(store: Store) -> None:
    await _put(store, item(1))
    claimed = await store.transact(lambda tx: claim(tx, after(1)))
    assert claimed == [item(1, status=Status.SENDING, attempts=1)]
    assert await store.view(lambda tx: tx.outbox.get("msg_1")) == claimed[0]
    assert await store.view(lambda tx: tx.outbox.under_way()) == claimed
    begun = Attempt(message_id="msg_1", number=1, started_at=after(1))
    assert await store.view(lambda tx: tx.outbox.attempts("msg_1")) == [begun]
    ended = replace(begun, finished_at=after(2), outcome="throttled", code="429", detail="slow down")
    await store.transact(lambda tx: tx.outbox.finish_attempt(ended))
    await _update(store, 1, status=Status.RETRY)
    await _claim(store, after(3))
    await _update(store, 1, status=Status.SENT)
    assert await store.view(lambda tx: tx.outbox.attempts("msg_1")) == [ended, Attempt(message_id="msg_1", number=2, started_at=after(3))]
    assert await store.view(lambda tx: tx.outbox.under_way()) == []
    with pytest.raises(NotFound):
        await store.transact(lambda tx: tx.outbox.finish_attempt(replace(begun, number=3)))


async def test_a_claim_that_rolls_back_claims_nothing(store: Store) -> None:
    await _put(store, item(1))

    async def work(tx: Transaction) -> None:
        assert len(await claim(tx, NOW)) == 1
        raise LookupError

    with pytest.raises(LookupError):
        await store.transact(work)
    assert await store.view(lambda tx: tx.outbox.attempts("msg_1")) == []
    assert await _claim(store) == ["msg_1"]


async def test_two_of_one_conversation_are_never_under_way(store: Store) -> None:
    await _put(store, item(1), item(2))
    await _claim(store)
    with pytest.raises(Conflict, match="on its way"):
        await _update(store, 2, status=Status.SENDING)


async def test_paused_channels_and_limits(store: Store) -> None:
    await _put(store, *(item(number, conversation_id=f"cnv_{number}", channel="tg" if number % 2 else "sms") for number in range(1, 7)))
    assert await _claim(store, paused=frozenset({"tg"}), limit=2) == ["msg_2", "msg_4"]
    assert await _claim(store, paused=frozenset({"tg", "sms"})) == []
    assert sorted(await _claim(store, limit=2)) == ["msg_1", "msg_3", "msg_6"]


async def test_a_claim_for_several_channels(store: Store) -> None:
    """People's replies first; no channel gets another's slots; what is of no known channel comes too, one at a time."""
    bulk = {"priority": Priority.BULK}
    kinds: list[dict[str, Any]] = [
        {"channel": "tg", **bulk},  # 1
        {"channel": "tg"},
        {"channel": "tg"},
        {"channel": "sms", **bulk},
        {"channel": "sms", **bulk},  # 5
        {"channel": "sms"},
        {"channel": "gone"},
        {"channel": "shut"},
        {"channel": "sms", "next_at": after(60)},
        {"channel": "sms", "partition": 7},  # 10
    ]
    await _put(store, *(item(number, conversation_id=f"cnv_{number}", **kind) for number, kind in enumerate(kinds, 1)))
    known = frozenset({"tg", "sms", "shut"})

    async def claim(**slots: tuple[int, int]) -> list[str]:
        open_ = {channel: Slots(*numbers) for channel, numbers in slots.items()}
        claimed = await store.transact(lambda tx: tx.outbox.claim(NOW, open_, known, range(7)))
        assert all((one.status, one.attempts) == (Status.SENDING, 1) for one in claimed)
        return sorted(one.message_id for one in claimed)

    assert await claim(sms=(2, 0), tg=(1, 1)) == ["msg_2", "msg_6", "msg_7"]
    assert await claim(tg=(3, 0), sms=(0, 0)) == ["msg_3"]
    assert await claim(sms=(3, 1), tg=(5, 5)) == ["msg_1", "msg_4"]
    assert await claim(sms=(3, 1), tg=(5, 5)) == ["msg_5"]
    assert await claim(sms=(3, 1), tg=(5, 5)) == []
    assert await claim() == []


async def test_when_the_next_one_is_due(store: Store) -> None:
    async def due(*paused: str) -> Any:
        return await store.view(lambda tx: tx.outbox.next_due(frozenset(paused)))

    assert await due() is None
    await _put(
        store, item(1, next_at=after(5)), item(2, next_at=after(1)), item(3, conversation_id="cnv_3", channel="sms", next_at=after(9))
    )
    assert await due() == after(5)  # msg_2 stands behind msg_1
    assert await due("tg") == after(9)
    assert await due("tg", "sms") is None
    assert await _claim(store, after(5)) == ["msg_1"]
    assert await due() == after(9)


async def test_expiry(store: Store) -> None:
    await _put(store, item(1, expires_at=after(1)), item(2), item(3, conversation_id="cnv_3", expires_at=after(1)))
    assert await _claim(store, NOW, 1) == ["msg_1"]
    assert await _claim(store, after(1)) == []
    late = await store.view(lambda tx: tx.outbox.expired(after(1), 10))
    assert [each.message_id for each in late] == ["msg_3"]  # what is under way may still arrive
    assert await store.view(lambda tx: tx.outbox.expired(NOW, 10)) == []
    await _update(store, 3, status=Status.EXPIRED)
    assert await store.view(lambda tx: tx.outbox.expired(after(1), 10)) == []


async def test_counts_and_redirection_concern_what_waits(store: Store) -> None:
    await _put(store, item(1), item(2), item(3, channel="sms", conversation_id="cnv_3"), item(4, conversation_id="cnv_4", thread="43"))
    await _claim(store, limit=1)
    assert await store.view(lambda tx: tx.outbox.waiting_count()) == {"tg": 3, "sms": 1}
    await _update(store, 1, status=Status.SENT)
    assert await store.view(lambda tx: tx.outbox.waiting_count()) == {"tg": 2, "sms": 1}
    await store.transact(lambda tx: tx.outbox.redirect("tg", "42", "44"))

    async def look(tx: Transaction) -> list[str]:
        return [found.thread for number in range(1, 5) if (found := await tx.outbox.get(f"msg_{number}"))]

    assert await store.view(look) == ["42", "44", "42", "43"]
