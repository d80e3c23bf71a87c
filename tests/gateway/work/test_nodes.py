"""Several nodes at work on one database: each message is routed once, each reply is sent by one of them."""

import asyncio
import dataclasses
import random
from pathlib import Path
from typing import TypeVar

import pytest

from connectors.event import Status
from gateway.crashpoint import CrashPoints
from gateway.intake import take_in
from gateway.services import Services
from gateway.work.outbox import CONSUMER as SENDER
from gateway.work.outbox import OutboxWorker
from gateway.work.route import RouteWorker
from routing.router import CONSUMER
from storage.errors import Superseded
from storage.record import MessageKind
from tests.support.post import Letter, Office, office, request, running
from tests.support.shared import another_node, keeping, partitions_of
from tests.support.waiting import eventually

T = TypeVar("T")


async def letters(open_: Office, count: int, senders: int = 20) -> None:
    for number in range(count):
        letter = Letter(id=str(number), sender=f"s{number % senders}", text=f"text {number}")
        await take_in(open_.services, open_.services.channels["post"], request(letter))


async def lines(open_: Office, senders: int = 20) -> dict[str, list[str]]:
    """What each has in their history."""
    found: dict[str, list[str]] = {}
    for number in range(senders):
        messages = await open_.messages(f"s{number}")
        found[f"s{number}"] = [message.parts[0].text for message in messages if message.kind is MessageKind.INBOUND]  # type: ignore[union-attr]
    return found


async def test_two_nodes_route_everything_once_and_in_order(tmp_path: Path) -> None:
    """Also while partitions move between them."""
    expected = {f"s{number}": [f"text {line}" for line in range(number, 200, 20)] for number in range(20)}
    async with office(tmp_path) as open_:
        nodes = [another_node(open_.services, name) for name in ("one", "two", "three")]
        async with keeping(nodes[0]), running(RouteWorker(nodes[0]).run):
            await letters(open_, 60)
            async with keeping(nodes[1]), running(RouteWorker(nodes[1]).run):
                await eventually(lambda: _value(partitions_of(nodes[:2])), lambda held: held == list(range(16)))
                await letters(open_, 130)
                async with keeping(nodes[2]), running(RouteWorker(nodes[2]).run):
                    await letters(open_, 200)
            assert await eventually(lambda: lines(open_), lambda found: found == expected)
        conversations = [await open_.find(f"s{number}") for number in range(20)]
        assert len({conversation.id for conversation in conversations if conversation}) == 20


async def test_a_router_that_lost_its_lease_changes_nothing(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        zombie, heir = (another_node(open_.services, name) for name in ("one", "two"))
        await zombie.duties.refresh()
        await letters(open_, 40)
        stale = zombie.duties.held(CONSUMER)
        await zombie.duties.give_up()  # as if its lease had run out while it was frozen
        async with keeping(heir), running(RouteWorker(heir).run):
            await eventually(lambda: lines(open_), lambda found: sum(map(len, found.values())) == 40)
        head = await open_.services.store.view(lambda tx: tx.stream.head())
        for partition, epoch in stale.items():
            zombie.router._cursors[partition] = 0  # it still believes that it has read nothing
            assert await _superseded(zombie, partition, epoch) in {0, -1}
        assert await open_.services.store.view(lambda tx: tx.stream.head()) == head


async def _overtaken(open_: Office) -> tuple[Services, Services]:
    """A node whose leases another one has in the database, although its own clock says that they still count."""
    zombie, heir = (another_node(open_.services, name, ttl=60) for name in ("one", "two"))
    await zombie.duties.refresh()
    await zombie.store.release("one", zombie.duties._epochs)
    held = await heir.store.lease("two", list(zombie.duties._epochs), 60)
    assert set(held) == set(zombie.duties._epochs)
    assert len(zombie.duties.held(CONSUMER)) == 16
    return zombie, heir


async def test_an_old_epoch_routes_nothing_even_where_nobody_has_read_yet(tmp_path: Path) -> None:
    """The cursor is still where the zombie left it: only the epoch tells."""
    async with office(tmp_path) as open_:
        zombie, _ = await _overtaken(open_)
        await letters(open_, 40)
        head = await open_.services.store.view(lambda tx: tx.stream.head())
        heads = await open_.services.store.view(lambda tx: tx.stream.heads())
        for partition in heads:
            assert await _superseded(zombie, partition, zombie.duties.held(CONSUMER)[partition]) == -1
        assert await open_.services.store.view(lambda tx: tx.stream.head()) == head


async def test_what_another_node_has_taken_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    """All partitions are routed in one transaction, until one of them is another's: then that one alone is left."""
    async with office(tmp_path) as open_:
        zombie, heir = (another_node(open_.services, name, ttl=60) for name in ("one", "two"))
        await zombie.duties.refresh()
        await letters(open_, 40)
        heads = await open_.services.store.view(lambda tx: tx.stream.heads())
        lost = {duty: epoch for duty, epoch in zombie.duties._epochs.items() if duty[1] in sorted(heads)[:2]}
        await zombie.store.release("one", lost)
        assert len(await heir.store.lease("two", list(lost), 60)) == len(lost)
        worker = RouteWorker(zombie)
        while await worker._route_partitions(heads):
            pass
        for partition, head in heads.items():
            cursor = await open_.services.store.view(lambda tx, one=partition: tx.stream.cursor(CONSUMER, one))  # type: ignore[misc]
            assert cursor >= head if (CONSUMER, partition) not in lost else cursor == 0
            assert zombie.router.passed(partition) == (cursor or -1)


async def test_an_old_epoch_claims_no_reply(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        message = await open_.reply("ada", "once")
        zombie, _ = await _overtaken(open_)
        worker = OutboxWorker(zombie)
        worker._settled = zombie.duties.held(SENDER)
        await worker._begin_due()
        item = await open_.services.store.view(lambda tx: tx.outbox.get(message.id))
        assert item is not None
        assert (item.status, item.attempts) == (Status.QUEUED, 0)
        assert open_.provider.texts == []


async def _superseded(node: Services, partition: int, epoch: int) -> int:
    """-1 if the node was told that it is no longer the reader; 0 if there was nothing to read."""
    try:
        return await node.router.route(64, partition, epoch)
    except Superseded:
        return -1


async def test_a_sender_that_was_frozen_does_not_send_what_it_had_claimed(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        message = await open_.reply("ada", "once")
        node = another_node(open_.services, "one")

        def freeze() -> None:
            node.duties._valid_until = 0.0

        await node.duties.refresh()
        async with running(OutboxWorker(dataclasses.replace(node, crash=CrashPoints("outbox.claimed", 1, die=freeze))).run):
            found = await eventually(lambda: open_.message(message.id), lambda found: found.status is Status.RETRY)
            assert "another node took over" in found.problem
            assert open_.provider.texts == []
            async with keeping(node):
                await eventually(lambda: open_.message(message.id), lambda found: found.status is Status.SENT)
        assert open_.provider.texts == ["once"]
        assert not (await open_.message(message.id)).possible_duplicate


async def test_the_next_sender_settles_what_a_dead_one_left(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        message = await open_.reply("ada", "maybe twice")
        stuck = asyncio.Event()
        open_.provider.answers.append(stuck)
        dead, heir = (another_node(open_.services, name) for name in ("one", "two"))
        await dead.duties.refresh()
        async with running(OutboxWorker(dead).run):
            await eventually(lambda: _value(open_.provider.under_way), lambda number: number == 1)
            async with keeping(heir), running(OutboxWorker(heir).run):
                found = await eventually(lambda: open_.message(message.id), lambda found: found.status is not Status.QUEUED)
                assert (found.status, found.possible_duplicate) == (Status.UNKNOWN, True)
                stuck.set()  # it was not dead but slow: what it sent is known now, and is not sent again
                found = await eventually(lambda: open_.message(message.id), lambda found: found.status is Status.SENT)
        assert not found.possible_duplicate
        assert open_.provider.texts == ["maybe twice"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_replies_of_a_conversation_keep_their_order_while_senders_come_and_go(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with office(tmp_path) as open_:
        messages = [await open_.reply(f"s{number % 7}", f"{number}") for number in range(70)]
        for round_ in range(6):
            nodes = [another_node(open_.services, f"{round_} {name}") for name in "ab"]
            async with keeping(*nodes), running(OutboxWorker(nodes[0]).run), running(OutboxWorker(nodes[1]).run):
                await asyncio.sleep(chance.random() * 0.2)
            for node in nodes:
                await node.duties.give_up()
        last = another_node(open_.services, "last")
        async with keeping(last), running(OutboxWorker(last).run):
            for message in messages:
                await eventually(lambda id_=message.id: open_.message(id_), lambda found: found.status is Status.SENT)  # type: ignore[misc]
        sent: dict[int, list[int]] = {}
        for text in map(int, open_.provider.texts):
            sent.setdefault(text % 7, []).append(text)
        assert sent == {sender: list(range(sender, 70, 7)) for sender in range(7)}


async def _value(value: T) -> T:
    return value
