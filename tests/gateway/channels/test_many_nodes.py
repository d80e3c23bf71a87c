"""Two nodes on one PostgreSQL see different things of a channel; its health is one, and a change is announced once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from config import Config, Secret
from config.model import Node, Storage
from connectors.abilities import Component
from gateway.work.health import CONSUMER, HealthWorker
from storage.protocol import WHOLE
from tests.support.gateway import RunningGateway, gateway_config, running_gateway
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database
from tests.support.waiting import eventually

TYPE = "channel.health_changed"
Pair = tuple[RunningGateway, RunningGateway]


@pytest.fixture
async def pair(tmp_path: Path, postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[Pair]:
    async with fresh_database(postgres_server) as database:

        def config(name: str) -> Config:
            shared = {"storage": Storage(url=Secret(database)), "node": Node(id=name)}
            return replace(gateway_config(tmp_path / name), **shared)

        async with running_gateway(config("first")) as first, running_gateway(config("second")) as second:
            yield first, second


async def events(node: RunningGateway) -> int:
    found = await node.services.store.read(WHOLE, 0, 10_000)
    return sum(1 for one in found if one.entry.type == TYPE)


async def state(node: RunningGateway) -> str:
    health = await node.services.store.view(lambda tx: tx.channel_log.health())
    known = health.get("bot", {}).get(Component.AUTH)
    return "" if known is None else known.state.value


def shown(node: RunningGateway) -> float | None:
    return node.services.metrics.registry.get_sample_value("sportello_channel_health", {"channel": "bot", "component": "auth"})


async def test_one_judges_for_all(pair: Pair) -> None:
    first, second = pair
    await eventually(lambda: _owners(pair), lambda owners: len(owners) == 1)
    for node in pair:
        node.services.journal.reported("bot", "token", ok=False, code="auth", detail=f"seen by {node.services.duties.node.id}")
    await eventually(lambda: state(first), lambda found: found == "down")
    assert await events(second) == 1
    (owner,) = await _owners(pair)
    (other,) = [node for node in pair if node is not owner]
    await eventually(lambda: _value(owner), lambda found: found == 2)
    assert shown(other) is None, "one node shows it, or two would contradict each other in between"
    # Whatever the node that does not judge sees, and however often both look: nothing is announced twice.
    other.services.journal.reported("bot", "receiver", ok=True)
    await eventually(lambda: state(first), lambda found: found == "ok")
    for _ in range(3):
        await asyncio.gather(HealthWorker(first.services).look(), HealthWorker(second.services).look())
    assert await events(second) == 2


async def test_who_has_lost_the_duty_announces_nothing(pair: Pair) -> None:
    await eventually(lambda: _owners(pair), lambda owners: len(owners) == 1)
    (owner,) = await _owners(pair)
    (other,) = [node for node in pair if node is not owner]
    other.services.journal.reported("bot", "token", ok=False, code="auth")
    await other.services.journal.write()
    await HealthWorker(other.services).look()
    assert shown(other) is None


async def _owners(pair: Pair) -> list[RunningGateway]:
    return [node for node in pair if node.services.duties.held(CONSUMER)]


async def _value(node: RunningGateway) -> float | None:
    return shown(node)
