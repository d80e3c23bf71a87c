"""Two gateways on one PostgreSQL that is killed: a shopper's messages, which come to both in turn, keep their order."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from config import Secret
from config.model import Bus, Node, Spool, Storage
from tests.gateway.bad_input.rows import HOOK, SIGNED, update
from tests.gateway.test_spool import numbers, revive
from tests.support.gateway import RunningGateway, gateway_config, running_gateway
from tests.support.postgres import PostgresServer, own_server
from tests.support.redis import running_server as redis_server
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server of our own: others must not notice."""
    yield from own_server()


@pytest.fixture
async def nodes(mortal: PostgresServer, tmp_path: Path) -> AsyncIterator[list[RunningGateway]]:
    url = await mortal.create()
    async with AsyncExitStack() as stack:
        # A machine that is busy may be slow on one node only: the others hear of it.
        bus = await stack.enter_async_context(redis_server(tmp_path / "valkey"))
        yield [
            await stack.enter_async_context(
                running_gateway(
                    replace(
                        gateway_config(tmp_path / name),
                        storage=Storage(url=Secret(url)),
                        spool=Spool(min_free_percent=0),
                        bus=Bus(url=Secret(bus.url)),
                        node=Node(id=name),
                    )
                )
            )
            for name in ("one", "two")
        ]


async def test_a_shoppers_messages_keep_their_order_over_an_outage(nodes: list[RunningGateway], mortal: PostgresServer) -> None:
    sent = 0
    enough = asyncio.Event()

    async def shopper() -> None:
        """One message after the other, as a provider delivers them: the next one when the last was taken, to whichever node is next."""
        nonlocal sent
        while not enough.is_set():
            status, _, _ = await nodes[sent % 2].request("POST", HOOK, data=update(sent), headers=SIGNED)
            assert status == 200
            sent += 1
            # No provider is nearer than that.
            await asyncio.sleep(0.005)

    async def until(number: int) -> None:
        async def count() -> int:
            return sent

        await eventually(count, lambda found: found >= number, 60)

    writing = asyncio.create_task(shopper())
    await until(20)
    await asyncio.to_thread(mortal.kill)
    await until(sent + 100)
    await revive(mortal)
    await until(sent + 100)
    enough.set()
    await writing

    async def known() -> list[int]:
        return await numbers(nodes[0])

    # A node may not have heard yet that its last events are still gathered: only the stream tells that they are all there.
    assert await eventually(known, lambda found: len(found) >= sent, 60) == list(range(sent))
