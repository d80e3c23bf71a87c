"""A whole gateway on a real PostgreSQL that is killed, frozen and started again: no provider and no visitor hears a no."""

import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import asyncpg
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from config import Config, Secret
from config.model import Node, Spool, Storage
from gateway.doctor import Level, examine
from gateway.intake import Outcome
from storage.errors import Unavailable
from storage.protocol import WHOLE
from storage.spool_file import look
from tests.gateway.bad_input.rows import HOOK, SIGNED, update
from tests.support.cast import assemble
from tests.support.gateway import RunningGateway, gateway_config, running_gateway
from tests.support.postgres import PostgresServer, own_server
from tests.support.visitor import call
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server of our own: others must not notice."""
    yield from own_server()


@pytest.fixture
async def config(mortal: PostgresServer, tmp_path: Path) -> Config:
    mortal.thaw()
    url = await mortal.create()
    return replace(gateway_config(tmp_path), storage=Storage(url=Secret(url)), spool=Spool(min_free_percent=0))


async def deliver(gateway: RunningGateway, number: int) -> tuple[int, float]:
    """Status, and seconds until it came."""
    began = monotonic()
    status, _, _ = await gateway.request("POST", HOOK, data=update(number), headers=SIGNED)
    return status, monotonic() - began


async def ready(gateway: RunningGateway) -> tuple[int, dict[str, object]]:
    status, _, body = await gateway.request("GET", "/readyz")
    return status, json.loads(body)


def adds_up(gateway: RunningGateway) -> bool:
    value = gateway.services.metrics.value
    outcomes = sum(value("sportello_inbound_total", channel="bot", outcome=outcome) for outcome in Outcome)
    return value("sportello_received_total", channel="bot") == outcomes + value("sportello_spool_events", channel="bot")


async def revive(server: PostgresServer) -> None:
    """Start it, and wait until it answers."""
    await asyncio.to_thread(server.start)

    async def answers() -> bool:
        try:
            await server.admin("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    await eventually(answers)


def damage(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "spool.db").write_bytes(b"rubbish" * 1000)


def remove(path: str) -> None:
    Path(path).unlink()


def spools(folder: Path) -> list[Path]:
    return list(folder.rglob("spool*"))


async def drained(gateway: RunningGateway) -> None:
    async def left() -> int:
        assert adds_up(gateway)
        assert gateway.services.spooling is not None
        return gateway.services.spooling.spool.waiting.total()

    await eventually(left, lambda found: not found)


async def numbers(gateway: RunningGateway) -> list[int]:
    async with asyncio.timeout(20):
        while True:
            # A connection that was refused a moment ago waits before it asks again.
            with contextlib.suppress(Unavailable):
                events = await gateway.services.store.read(WHOLE, 0, 100_000)
                break
            await asyncio.sleep(0.1)
    found = [one.entry for one in events if (one.entry.channel, one.entry.type) == ("bot", "message.received")]
    return [json.loads(entry.raw)["update_id"] - 900_000 for entry in found]


async def test_a_database_that_dies_and_comes_back(config: Config, mortal: PostgresServer) -> None:
    async with running_gateway(config) as gateway:
        assert (await deliver(gateway, 0))[0] == 200
        await asyncio.to_thread(mortal.kill)
        for number in range(1, 200):
            status, _ = await deliver(gateway, number)
            assert (status, adds_up(gateway)) == (200, True)
        # Providers repeat themselves also now.
        assert (await deliver(gateway, 5))[0] == 200
        status, health = await ready(gateway)
        assert (status, health["degraded"], health["spooled"]) == (200, True, 200)
        figures = gateway.services.metrics.render().decode()
        assert 'sportello_spool_events{channel="bot"} 200.0' in figures
        await revive(mortal)
        began = monotonic()
        await drained(gateway)
        assert monotonic() - began < 30
        assert await numbers(gateway) == list(range(200))
        assert gateway.services.metrics.value("sportello_inbound_total", channel="bot", outcome="duplicate") == 1
        assert (await deliver(gateway, 200))[0] == 200

        async def healthy() -> bool:
            return (await ready(gateway))[1]["degraded"] is False

        await eventually(healthy)


async def test_a_database_that_hangs_costs_one_second_once(config: Config, mortal: PostgresServer) -> None:
    async with running_gateway(config) as gateway:
        assert (await deliver(gateway, 0))[0] == 200
        mortal.freeze()
        try:
            first = await asyncio.gather(*(deliver(gateway, number) for number in range(1, 11)))
            later = [await deliver(gateway, number) for number in range(11, 111)]
        finally:
            mortal.thaw()
        assert {status for status, _ in [*first, *later]} == {200}
        assert max(seconds for _, seconds in first) < 3
        seconds = sorted(seconds for _, seconds in later)
        figures = f"first {max(took for _, took in first):.3f} s, then p50 {statistics.median(seconds):.4f} s, p99 {seconds[-2]:.4f} s"
        sys.stdout.write(figures + "\n")
        assert seconds[-2] < 0.25  # 50 ms on a machine that does nothing else
        await drained(gateway)
        found = await numbers(gateway)
        assert (sorted(found), found[11:]) == (list(range(111)), list(range(11, 111)))


async def test_a_full_spool_says_so(config: Config, mortal: PostgresServer) -> None:
    small = replace(config, spool=Spool(min_free_percent=0, max_bytes=1024 * 1024))
    async with running_gateway(small) as gateway:
        await asyncio.to_thread(mortal.kill)
        number, taken = 0, list[int]()
        while True:
            body = update(number, text="x" * 30_000)
            status, headers, _ = await gateway.request("POST", HOOK, data=body, headers=SIGNED)
            if status != 200:
                break
            taken.append(number)
            number += 1
        assert (status, headers["Retry-After"]) == (503, "5")
        assert adds_up(gateway)
        assert 5 < len(taken) < 40
        while (await ready(gateway))[0] == 200:
            number += 1
            await gateway.request("POST", HOOK, data=update(number, text="x" * 3_000), headers=SIGNED)
        assert "full" in str((await ready(gateway))[1]["status"])
        await revive(mortal)
        await drained(gateway)
        assert set(taken) <= set(await numbers(gateway))
        assert (await ready(gateway))[0] == 200


async def test_a_visitor_is_answered_and_everybody_sees_it_later(config: Config, mortal: PostgresServer) -> None:
    async with running_gateway(config) as gateway:
        cast = await assemble(gateway)
        await call(cast.cleo, "POST", "frames", {"type": "message", "id": "uuid-0001", "text": "before"})
        await asyncio.to_thread(mortal.kill)
        answer = await call(cast.cleo, "POST", "frames", {"type": "message", "id": "uuid-0002", "text": "meanwhile"})
        assert answer.json["items"] == [{"type": "ack", "id": "uuid-0002"}]
        await revive(mortal)
        await drained(gateway)

        async def previews() -> list[str]:
            answer = await cast.sue.get("/conversations")
            return [item["preview"] for item in answer.json["items"]] if answer.status == 200 else []

        await eventually(previews, lambda found: found == ["meanwhile"])
        (web,) = [item for item in (await cast.amy.get("/reconcile")).json["items"] if item["channel"] == "web"]
        assert (web["received"], web["appended"], web["spooled"], web["balanced"]) == (2, 2, 0, True)


async def test_what_is_left_when_the_node_stops_is_drained_by_its_next_start(config: Config, mortal: PostgresServer) -> None:
    async with running_gateway(config) as gateway:
        await asyncio.to_thread(mortal.kill)
        for number in range(20):
            assert (await deliver(gateway, number))[0] == 200
    file = Path(config.data_dir) / "spool.db"
    assert look(file).waiting == 20
    findings = {finding.subject: finding for finding in await examine(lambda: config, {})}
    assert findings["spool spool.db"].level is Level.WARN
    assert "20 events wait" in findings["spool spool.db"].text
    await revive(mortal)
    async with running_gateway(config) as gateway:
        await drained_after_start(gateway)
        assert await numbers(gateway) == list(range(20))
    assert look(file).waiting == 0


async def drained_after_start(gateway: RunningGateway) -> None:
    spooling = gateway.services.spooling
    assert spooling is not None

    async def left() -> int:
        return spooling.spool.waiting.total()

    await eventually(left, lambda found: not found)


async def test_a_damaged_spool_is_shouted_about_until_it_is_removed(config: Config) -> None:
    damage(Path(config.data_dir))
    with capture_logs() as logs:
        async with running_gateway(config) as gateway:
            (said,) = [line for line in logs if line["log_level"] == "critical"]
            assert "damaged" in said["event"]
            status, health = await ready(gateway)
            assert (status, health["degraded"], health["spools_set_aside"]) == (200, True, 1)
            assert gateway.services.metrics.value("sportello_spool_set_aside_files") == 1
            (fail,) = [one for one in await examine(lambda: config, {}) if "corrupt" in one.subject]
            assert fail.level is Level.FAIL
            remove(said["damaged"])
            assert (await ready(gateway))[1]["degraded"] is False


async def test_every_role_that_takes_something_in_has_a_spool(config: Config) -> None:
    async with running_gateway(replace(config, node=Node(roles=("edge",)))) as gateway:
        assert gateway.services.inbound is gateway.services.spooling is not None


async def test_an_embedded_database_has_no_spool(gateway: RunningGateway, tmp_path: Path) -> None:
    assert gateway.services.inbound is gateway.services.store
    assert gateway.services.spooling is None
    assert not spools(tmp_path)
    assert "degraded" in (await ready(gateway))[1]
