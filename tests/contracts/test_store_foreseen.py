"""What is foreseen is read at once and written together: nobody may notice but by the clock."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from connectors.event import Status
from connectors.identity import Identity
from storage.errors import Conflict, NotFound, Superseded
from storage.file import MediaJob
from storage.foreseen import Foreseen
from storage.piece import Piece
from storage.protocol import Step, Store, Transaction
from storage.record import AgentLoad, Appended, Attempt, Decision, Message, MessageKind, State
from tests.support.claims import claim
from tests.support.rows import ADA, ALL, BEN, NOW, after, agent, conversation, customer, entry, item, known, message, one_conversation

CLEO: Final = Identity("telegram", "bot", "cleo")
_EVERYTHING: Final = Foreseen(
    identities={ADA, BEN, CLEO},
    pairs={("tg", ADA), ("tg", CLEO), ("sms", BEN)},
    provider_ids={("tg", "p1"), ("tg", "p2"), ("tg", "p9")},
    messages={"msg_1", "msg_2", "msg_9"},
)
_DECISION: Final = Decision(conversation_id="cnv_1", queue_id="que_1", at=NOW, outcome="waiting", agent_id="", reason="", candidates=())
_ATTEMPT: Final = Attempt(message_id="msg_1", number=1, started_at=NOW, finished_at=after(1), outcome="sent")


async def _before(tx: Transaction) -> None:
    """A conversation with a reply on its way, an agent, and somebody else."""
    await one_conversation(tx)
    await tx.customers.put(customer("cus_2"))
    await tx.customers.put_identity(known(BEN, customer_id="cus_2"))
    await tx.conversations.insert(conversation(2, identity=BEN, channel="sms", customer_id="cus_2", state=State.RESOLVED))
    await tx.messages.insert(message(1, kind=MessageKind.OUTBOUND))
    await tx.messages.link("tg", "p1", "msg_1", 0)
    await tx.messages.park("tg", "p9", b"early", NOW)
    await tx.outbox.put(item(1))
    await claim(tx, NOW, 9, frozenset())
    await tx.agents.put(agent())


Write = Callable[[Transaction], Awaitable[Any]]
Read = Callable[[Transaction], Awaitable[Any]]

_READS: Final[dict[str, Read]] = {
    "customer": lambda tx: tx.customers.get("cus_1"),
    "no customer": lambda tx: tx.customers.get("cus_9"),
    "identity": lambda tx: tx.customers.find(ADA),
    "nobody": lambda tx: tx.customers.find(CLEO),
    "identities": lambda tx: tx.customers.identities("cus_1"),
    "conversation": lambda tx: tx.conversations.get("cnv_1", ALL),
    "another": lambda tx: tx.conversations.get("cnv_3", ALL),
    "unresolved": lambda tx: tx.conversations.unresolved("tg", ADA),
    "unresolved of another": lambda tx: tx.conversations.unresolved("sms", BEN),
    "latest": lambda tx: tx.conversations.latest("tg", ADA),
    "latest of another": lambda tx: tx.conversations.latest("sms", BEN),
    "latest of nobody": lambda tx: tx.conversations.latest("tg", CLEO),
    "waiting": lambda tx: tx.conversations.waiting(["que_1", "que_2"], 9),
    "of customer": lambda tx: tx.conversations.of_customer("cus_1", ALL),
    "message": lambda tx: tx.messages.get("msg_1"),
    "new message": lambda tx: tx.messages.get("msg_5"),
    "history": lambda tx: tx.messages.of_conversation("cnv_1", 0, 0, 9),
    "by id": lambda tx: tx.messages.by_provider_id("tg", "p1"),
    "by new id": lambda tx: tx.messages.by_provider_id("tg", "p2"),
    "by no id": lambda tx: tx.messages.by_provider_id("tg", "p9"),
    "pieces": lambda tx: tx.messages.pieces("tg", "msg_1"),
    "ids": lambda tx: tx.messages.provider_ids("tg", "msg_1"),
    "parked": lambda tx: tx.messages.any_parked("tg"),
    "item": lambda tx: tx.outbox.get("msg_1"),
    "new item": lambda tx: tx.outbox.get("msg_5"),
    "attempts": lambda tx: tx.outbox.attempts("msg_1"),
    "under way": lambda tx: tx.outbox.under_way(),
    "agent": lambda tx: tx.agents.get("agt_1"),
    "decisions": lambda tx: tx.queues.decisions("cnv_1", 9),
    "jobs": lambda tx: tx.files.due_jobs(NOW, 9),
}
_WRITES: Final[dict[str, Write]] = {
    "a name": lambda tx: tx.customers.put(customer(name="Ada Byron")),
    "a customer": lambda tx: tx.customers.put(customer("cus_9")),
    "an address": lambda tx: tx.customers.put_identity(known(CLEO)),
    "an opting out": lambda tx: tx.customers.put_identity(known(opted_out=True)),
    "a merge": lambda tx: tx.customers.move_identity(BEN, "cus_1"),
    "a conversation": lambda tx: tx.conversations.insert(conversation(3, identity=CLEO)),
    "one aside": lambda tx: tx.conversations.insert(conversation(6, state=State.RESOLVED)),
    "a preview": lambda tx: tx.conversations.update(conversation(preview="new")),
    "a resolving": lambda tx: tx.conversations.update(conversation(state=State.RESOLVED)),
    "a reopening": lambda tx: tx.conversations.update(conversation(2, identity=BEN, channel="sms", customer_id="cus_2")),
    "a message": lambda tx: tx.messages.insert(message(5)),
    "an edit": lambda tx: tx.messages.update(replace(message(1, kind=MessageKind.OUTBOUND, problem="new"), pos=77)),
    "a link": lambda tx: tx.messages.link("tg", "p2", "msg_1", 1),
    "the same link": lambda tx: tx.messages.link("tg", "p1", "msg_1", 4),
    "a report": lambda tx: tx.messages.report("tg", "p1", "msg_1", Status.READ, "x"),
    "no report": lambda tx: tx.messages.report("tg", "p1", "msg_2", Status.READ, "x"),
    "an unparking": lambda tx: tx.messages.unpark("tg", "p9"),
    "a parking": lambda tx: tx.messages.park("tg", "p2", b"x", NOW),
    "an item": lambda tx: tx.outbox.put(item(5, conversation_id="cnv_2")),
    "a status": lambda tx: tx.outbox.update(item(1, status=Status.SENT, attempts=1)),
    "an attempt": lambda tx: tx.outbox.finish_attempt(_ATTEMPT),
    "a new address": lambda tx: tx.outbox.redirect("tg", "42", "43"),
    "an agent": lambda tx: tx.agents.put(agent(last_assigned_at=NOW)),
    "a decision": lambda tx: tx.queues.add_decision(_DECISION),
    "a job": lambda tx: tx.files.put_job(MediaJob(id="med_1", channel="tg", message_id="msg_1", part=0, ref="r", attempts=0, next_at=NOW)),
    "a number": lambda tx: tx.conversations.next_number(),
}


async def _all(tx: Transaction) -> dict[str, Any]:
    return {name: await read(tx) for name, read in _READS.items()}


@pytest.mark.parametrize("order", [0, 1, 2, 3])
async def test_what_was_written_is_seen_by_every_read(store: Store, order: int) -> None:
    """Two transactions do the same, one of them with foresight; each looks at everything after everything, and undoes it all."""

    class Enough(Exception):
        """So that nothing is kept."""

    async def work(tx: Transaction, seen: list[Any], ahead: Foreseen | None) -> None:
        if ahead is not None:
            await tx.foresee(ahead)
        names = list(_WRITES) if order == 0 else random.Random(order).sample(list(_WRITES), len(_WRITES))
        for name in names:
            seen.append((name, await _WRITES[name](tx)))
            seen.append(await _all(tx))
        raise Enough

    await store.transact(_before)
    found: list[list[Any]] = []
    for ahead in (None, Foreseen(), _EVERYTHING):
        found.append([])
        with pytest.raises(Enough):
            await store.transact(lambda tx, seen=found[-1], ahead=ahead: work(tx, seen, ahead))  # type: ignore[misc]
    for with_foresight in found[1:]:
        for plain, other in zip(found[0], with_foresight, strict=True):
            assert plain == other


@pytest.mark.parametrize("ahead", [Foreseen(), _EVERYTHING], ids=["nothing", "everything"])
async def test_what_was_collected_is_kept(store: Store, ahead: Foreseen) -> None:
    async def work(tx: Transaction, seen: list[Any]) -> None:
        await tx.foresee(ahead)
        for write in _WRITES.values():
            await write(tx)
        seen.append(await _all(tx))
        assert await tx.stream.append([entry("a")]) == [Appended(1)]

    await store.transact(_before)
    seen: list[Any] = []
    await store.transact(lambda tx: work(tx, seen))
    assert await store.view(_all) == seen[0]
    assert seen[0]["pieces"] == [
        Piece(part=1, provider_id="p2", status=None, problem=""),
        Piece(part=4, provider_id="p1", status=Status.READ, problem="x"),
    ]


async def _second(tx: Transaction) -> None:
    await tx.conversations.insert(conversation(3))


async def _twice(tx: Transaction, twin: Message) -> None:
    await tx.messages.insert(message(5))
    await tx.messages.insert(twin)


_REFUSED: Final[dict[str, tuple[Write, type[Exception]]]] = {
    "a second unresolved conversation": (_second, Conflict),
    "a reopening beside it": (lambda tx: tx.conversations.update(conversation(4)), Conflict),
    "a message that is there": (lambda tx: tx.messages.insert(message(1)), Conflict),
    "an item that is there": (lambda tx: tx.outbox.put(item(1)), Conflict),
    "a message that waits": (lambda tx: _twice(tx, message(5)), Conflict),
    "another at its place": (lambda tx: _twice(tx, message(5, id="msg_6")), Conflict),
    "an id of another message": (lambda tx: tx.messages.link("tg", "p1", "msg_2", 0), Conflict),
    "an attempt that was never begun": (lambda tx: tx.outbox.finish_attempt(replace(_ATTEMPT, number=7)), NotFound),
    "a conversation that is not there": (lambda tx: tx.conversations.update(conversation(9)), NotFound),
    "an address of nobody": (lambda tx: tx.customers.put_identity(known(CLEO, customer_id="cus_77")), Conflict),
}


@pytest.mark.parametrize("case", list(_REFUSED))
async def test_what_the_database_refuses_is_refused_in_the_end_and_nothing_is_kept(store: Store, case: str) -> None:
    write, error = _REFUSED[case]

    async def work(tx: Transaction) -> None:
        await tx.foresee(_EVERYTHING)
        await tx.customers.put(customer("cus_9"))
        await write(tx)

    await store.transact(_before)
    await store.transact(lambda tx: tx.conversations.insert(conversation(4, state=State.RESOLVED)))
    with pytest.raises(error):
        await store.transact(work)
    assert await store.view(lambda tx: tx.customers.get("cus_9")) is None
    await store.transact(lambda tx: tx.customers.put(customer("cus_9")))  # the next one is not harmed


async def test_one_conversation_may_follow_another_at_once(store: Store) -> None:
    """Within one statement nobody knows which is written first: they must not be written in one."""

    async def work(tx: Transaction) -> None:
        await tx.foresee(_EVERYTHING)
        await tx.conversations.insert(conversation(5, identity=CLEO))  # so that what is new would be written first
        await tx.conversations.update(conversation(state=State.RESOLVED))
        await tx.conversations.insert(conversation(3))
        await tx.conversations.update(conversation(4, state=State.RESOLVED, preview="first"))
        await tx.conversations.update(conversation(3, state=State.RESOLVED))
        await tx.conversations.update(conversation(4))
        assert await tx.conversations.unresolved("tg", ADA) == conversation(4)

    await store.transact(_before)
    await store.transact(lambda tx: tx.conversations.insert(conversation(4, state=State.RESOLVED)))
    await store.transact(work)
    assert await store.view(lambda tx: tx.conversations.unresolved("tg", ADA)) == conversation(4)


async def test_several_partitions_are_read_in_the_order_of_positions(store: Store) -> None:
    await store.append([entry(f"k{number}", partition=number % 3) for number in range(12)])

    async def read(after_: dict[int, int], limit: int) -> list[int]:
        return [event.pos for event in await store.view(lambda tx: tx.stream.read_each(after_, limit))]

    assert await read({0: 0, 1: 0}, 99) == [1, 2, 4, 5, 7, 8, 10, 11]
    assert await read({2: 3, 0: 4}, 4) == [6, 7, 9, 10]
    assert await read({0: 10, 5: 0}, 4) == []


async def test_cursors_move_all_or_none(store: Store) -> None:
    epochs = await store.lease("a", [("router", 1), ("router", 2)], 60)
    first, second = epochs["router", 1], epochs["router", 2]
    await store.transact(lambda tx: tx.stream.advance_each("router", [Step(1, 0, 5, first), Step(2, 0, 6, second), Step(3, 0, 7, 0)]))
    await store.transact(lambda tx: tx.stream.advance_each("router", [Step(1, 5, 8, first), Step(4, 0, 9, 0)]))

    async def cursors(tx: Transaction) -> list[int]:
        return [await tx.stream.cursor("router", partition) for partition in range(1, 6)]

    assert await store.view(cursors) == [8, 6, 7, 9, 0]
    for steps, why in (
        ([Step(1, 8, 10, first), Step(2, 5, 10, second)], "partition 2 is no longer at 5"),
        ([Step(1, 8, 10, first), Step(3, 0, 10, 0)], "partition 3 is no longer at 0"),
        ([Step(1, 8, 10, first), Step(5, 3, 10, 0)], "partition 5 is no longer at 3"),
        ([Step(1, 8, 10, first), Step(2, 6, 10, second + 1)], "router of partition 2 has lost its lease"),
        ([Step(5, 0, 10, 1), Step(1, 8, 10, first)], "router of partition 5 has lost its lease"),
    ):
        with pytest.raises(Superseded, match=why):
            await store.transact(lambda tx, steps=steps: tx.stream.advance_each("router", steps))  # type: ignore[misc]
    assert await store.view(cursors) == [8, 6, 7, 9, 0]


async def test_the_queues_around_a_queue(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        default = await tx.queues.default()
        for number in (1, 2, 3, 4):
            await tx.queues.put(replace(default, id=f"que_{number}", name=f"q{number}", is_default=False))
        for number, queues in ((1, (1, 2)), (2, (2,)), (3, (3,)), (4, (2, 4))):
            await tx.agents.put(agent(f"agt_{number}"))
            for queue in queues:
                await tx.queues.add_member(f"que_{queue}", f"agt_{number}")
        await tx.foresee(Foreseen())
        await one_conversation(tx)
        await tx.conversations.update(conversation(state=State.OPEN, assignee_id="agt_1"))
        one, two, four = (AgentLoad(agent=agent(f"agt_{number}"), open_count=number == 1) for number in (1, 2, 4))
        assert await tx.queues.around(["que_1"]) == {"que_1": [one], "que_2": [one, two, four]}
        assert await tx.queues.around(["que_4", "que_9"]) == {"que_4": [four], "que_9": [], "que_2": [one, two, four]}

    await store.transact(work)
