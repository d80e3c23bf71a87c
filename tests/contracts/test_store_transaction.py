"""What a transaction and a view promise."""

import asyncio

import pytest

from connectors.identity import Identity
from storage.errors import Conflict, StorageError, Unavailable
from storage.foreseen import Foreseen, Shareable
from storage.protocol import WHOLE, Store, Transaction
from tests.support.rows import customer, entry, known


async def test_all_or_nothing(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await tx.customers.put(customer("cus_1"))
        await tx.stream.append([entry("a")])
        assert await tx.customers.get("cus_1") == customer("cus_1")
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        await store.transact(work)
    assert await store.view(lambda tx: tx.customers.get("cus_1")) is None
    assert await store.view(lambda tx: tx.stream.head()) == 0


async def test_a_failed_transaction_leaves_its_neighbours_alone(store: Store) -> None:
    async def work(tx: Transaction, number: int) -> int:
        await tx.customers.put(customer(f"cus_{number}"))
        if number % 3 == 0:
            raise LookupError(number)
        return number

    calls = [store.transact(lambda tx, number=number: work(tx, number)) for number in range(30)]  # type: ignore[misc]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        kept = await store.view(lambda tx, number=number: tx.customers.get(f"cus_{number}"))  # type: ignore[misc]
        assert (kept is None) == isinstance(outcome, LookupError) == (number % 3 == 0)


@pytest.mark.parametrize("failing", [{"before"}, {"after"}, {"late"}, {"before", "after", "late"}], ids=lambda one: "-".join(sorted(one)))
async def test_those_that_share_what_they_ask_do_not_harm_each_other(store: Store, failing: set[str]) -> None:
    """Every fifth fails before it has written anything, every third after it, every seventh when it is written with the others."""
    when = {
        number: next((name for name, each in (("before", 5), ("after", 3), ("late", 7)) if number % each == 0), "") for number in range(40)
    }

    async def work(tx: Transaction, number: int) -> tuple[int, int]:
        fails = when[number] if when[number] in failing else ""
        if fails == "before":
            raise LookupError(number)
        await tx.customers.put(customer(f"cus_{number}"))
        (outcome,) = await tx.stream.append([entry(type=f"event.{number}", partition=number % 4)])
        if fails == "after":
            raise LookupError(number)
        if fails == "late":
            await tx.customers.put_identity(known(customer_id="nobody"))
        assert outcome.pos == await tx.stream.head() == await tx.stream.head(number % 4)
        return await tx.conversations.next_number(), outcome.pos

    def shareable(number: int) -> Shareable[tuple[int, int]]:
        pair = ("tg", Identity("tel", "", str(number)))
        return Shareable(lambda tx: work(tx, number), Foreseen(pairs={pair}, provider_ids={("tg", str(number))}, messages={str(number)}))

    outcomes = await asyncio.gather(*(store.transact(shareable(number)) for number in range(40)), return_exceptions=True)
    kept = [number for number in range(40) if when[number] not in failing]
    for number, outcome in enumerate(outcomes):
        found = await store.view(lambda tx, number=number: tx.customers.get(f"cus_{number}"))  # type: ignore[misc]
        assert (found is not None) == isinstance(outcome, tuple) == (number in kept), (number, outcome)
        if number not in kept:
            assert isinstance(outcome, Conflict if when[number] == "late" else LookupError)
    events = {event.entry.type: event.pos for event in await store.read(WHOLE, 0, 99)}
    given = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    assert {f"event.{number}": pos for number, (_, pos) in zip(kept, given, strict=True)} == events
    assert sorted(events.values()) == sorted(number for number, _ in given) == list(range(1, len(kept) + 1))


async def test_work_must_not_wait_for_anything_else(store: Store) -> None:
    async def impatient(tx: Transaction) -> None:
        await tx.customers.put(customer())
        await asyncio.sleep(0)

    async def stubborn(tx: Transaction) -> None:
        await tx.customers.put(customer())
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)

    for work in (impatient, stubborn):
        with pytest.raises(StorageError, match="await nothing but its transaction"):
            await store.transact(work)
    assert await store.view(lambda tx: tx.customers.get("cus_1")) is None

    async def looking(tx: Transaction) -> None:
        await tx.customers.get("cus_1")
        await asyncio.sleep(0)

    with pytest.raises(StorageError, match="await nothing but its transaction"):
        await store.view(looking)
    assert await store.view(lambda tx: tx.stream.head()) == 0  # the reader works on


async def test_a_view_does_not_write(store: Store) -> None:
    for work in (
        lambda tx: tx.customers.put(customer()),
        lambda tx: tx.stream.append([entry("a")]),
        lambda tx: tx.agents.remove_credential("none"),
    ):
        with pytest.raises(StorageError, match="only reads"):
            await store.view(work)
    assert await store.view(lambda tx: tx.customers.get("cus_1")) is None


async def test_a_view_is_one_snapshot(store: Store) -> None:
    """A view that looks again and again sees no change, while a writer goes on."""
    stop = False

    async def write() -> None:
        number = 0
        while not stop:
            number += 1
            await store.append([entry(f"k{number}")])

    async def look(tx: Transaction) -> set[int]:
        return {await tx.stream.head() for _ in range(300)}

    writing = asyncio.create_task(write())
    sizes = []
    heads: list[int] = []
    for _ in range(10):
        await store.wait(WHOLE, max(heads, default=0), 30)  # so that the writer is at work
        seen = await store.view(look)
        sizes.append(len(seen))
        heads += seen
    stop = True
    await writing
    assert sizes == [1] * 10
    assert len(set(heads)) == 10


async def test_a_view_sees_what_was_acknowledged(store: Store) -> None:
    for number in range(20):
        await store.append([entry(f"k{number}")])
        assert await store.view(lambda tx: tx.stream.head()) == number + 1


async def test_a_closed_store_says_so(store: Store) -> None:
    appends = [asyncio.create_task(store.append([entry(f"k{number}")])) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*appends)) == 50  # what was begun is finished
    for call in (store.append([entry("late")]), store.read(0, 0, 1), store.check(), store.view(lambda tx: tx.stream.head())):
        with pytest.raises(Unavailable, match="closed"):
            await call
    await store.close()


async def test_a_healthy_store_has_no_complaints(store: Store) -> None:
    assert await store.check() == []
