"""Each duty has one owner at a time, they spread evenly, and whoever lost one does nothing more in its name."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.work.duty import Duties, wanted
from storage import open_store
from storage.protocol import Duty
from storage.record import Node
from tests.support.shared import SharedStore
from tests.support.waiting import until

DUTIES: dict[Duty, str] = {("router", number): "router" for number in range(16)} | {("tick", 0): "router", ("sender", 0): "sender"}
TTL, RENEW = 0.6, 0.05


def node(name: str, *roles: str) -> Node:
    return Node(id=name, roles=roles or ("edge", "router", "sender"), since=datetime.now(UTC))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    opened = await open_store(f"sqlite://{tmp_path}/duty.db")
    yield SharedStore(opened)
    await opened.close()


@contextlib.asynccontextmanager
async def keeping(duties: Duties) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(duties.keep())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_duties_spread_over_all_who_can_and_few_move() -> None:
    nodes = [node("a"), node("b", "router"), node("c", "sender"), node("d", "edge")]
    shares = {each.id: wanted(each, nodes, DUTIES) for each in nodes}
    owners = Counter(duty for share in shares.values() for duty in share)
    assert owners == Counter(DUTIES.keys())
    assert shares["d"] == frozenset()
    assert all(DUTIES[duty] == "sender" for duty in shares["c"])
    assert min(len(shares["a"]), len(shares["b"])) >= 3
    left = wanted(nodes[0], [nodes[0], *nodes[2:]], DUTIES)
    assert shares["a"] <= left  # what it had stays


def test_nobody_takes_what_nobody_can_do() -> None:
    assert wanted(node("a", "edge"), [node("a", "edge")], DUTIES) == frozenset()


async def test_the_only_process_of_an_embedded_database_owns_everything(tmp_path: Path) -> None:
    opened = await open_store(f"sqlite://{tmp_path}/alone.db")
    duties = Duties(opened, node("a"), DUTIES)
    assert duties.held("router") == dict.fromkeys(range(16), 0)
    assert duties.epoch(("tick", 0)) == 0
    await opened.close()


async def test_two_nodes_share_and_the_one_that_stays_takes_over(store: Any) -> None:
    one, two = (Duties(store, node(name), DUTIES, ttl=TTL, renew=RENEW) for name in ("one", "two"))
    async with keeping(one):
        await until(lambda: len(one.held("router")) == 16)
        async with keeping(two):
            await until(lambda: two.held("router") and len(one.held("router")) + len(two.held("router")) == 16)
            assert not set(one.held("router")) & set(two.held("router"))
            epochs = two.held("router")
        # Its lease is not prolonged any more, as if the process had died.
        await until(lambda: len(one.held("router")) == 16)
        assert all(one.held("router")[partition] > epoch for partition, epoch in epochs.items())
        assert [each.id for each in one.nodes] == ["one"]


async def test_in_good_order_a_duty_is_handed_on_at_once(store: Any) -> None:
    one = Duties(store, node("one"), DUTIES, ttl=60, renew=RENEW)
    await one.refresh()
    await one.give_up()
    assert one.held("router") == {}
    two = Duties(store, node("two"), DUTIES, ttl=60, renew=RENEW)
    await two.refresh()
    assert len(two.held("router")) == 16


async def test_what_is_being_done_is_finished_before_it_is_handed_on(store: Any) -> None:
    one, two = (Duties(store, node(name), DUTIES, ttl=TTL, renew=RENEW) for name in ("one", "two"))
    await one.refresh()
    async with keeping(one), keeping(two):
        with contextlib.ExitStack() as busy:
            for duty in DUTIES:
                busy.enter_context(one.at_work(duty))
            await until(lambda: len(one.nodes) == 2 and len(one.held("router")) < 16)
            leaving = [number for number in range(16) if number not in one.held("router")]
            assert two.held("router") == {}
            assert all(one.epoch(("router", number)) is not None for number in leaving)  # still ours to finish
        await until(lambda: set(two.held("router")) == set(leaving))


async def test_a_node_that_was_frozen_is_sure_of_nothing(store: Any) -> None:
    """The lease runs out here before it does in the database, whatever the database would say now."""
    one = Duties(store, node("one"), DUTIES, ttl=TTL, renew=RENEW)
    await one.refresh()
    assert one.epoch(("tick", 0)) == 1
    await until(lambda: one.epoch(("tick", 0)) is None)
    assert one.held("router") == {}
    # Nobody has taken it meanwhile: it cannot be taken by another before the database's own end of the lease.
    await one.refresh()
    assert one.epoch(("tick", 0)) in {1, 2}


async def test_a_worker_runs_only_where_its_duty_is(store: Any) -> None:
    running: Counter[str] = Counter()

    def work(name: str) -> Any:
        async def run() -> None:
            running[name] += 1
            try:
                await asyncio.Event().wait()
            finally:
                running[name] -= 1

        return run

    one, two = (Duties(store, node(name), DUTIES, ttl=TTL, renew=RENEW) for name in ("one", "two"))
    tasks = [asyncio.ensure_future(each.only(("tick", 0), work(each.node.id))()) for each in (one, two)]
    async with keeping(one):
        await until(lambda: running == Counter(one=1))
        async with keeping(two):
            (owner,) = (each.id for each in (one.node, two.node) if ("tick", 0) in wanted(each, [one.node, two.node], DUTIES))
            await until(lambda: running[owner] == 1 and running.total() == 1)
    await until(lambda: running.total() == 0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_worker_that_fails_is_the_supervisors_business(store: Any) -> None:
    async def fail() -> None:
        raise RuntimeError("no")

    one = Duties(store, node("one"), DUTIES, ttl=60, renew=RENEW)
    await one.refresh()
    with pytest.raises(RuntimeError, match="no"):
        await one.only(("tick", 0), fail)()
