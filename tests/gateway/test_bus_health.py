"""A Redis that is away is said to people and machines; the gateway works on."""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from config import Config, Secret
from config.model import Bus
from gateway.doctor import Finding, Level, examine
from tests.support.gateway import gateway_config, running_gateway
from tests.support.redis import running_server
from tests.support.waiting import eventually


def with_bus(config: Config, url: str) -> Config:
    return replace(config, bus=Bus(url=Secret(url)))


async def finding(config: Config) -> Finding:
    (found,) = [one for one in await examine(lambda: config, {}) if one.subject == "bus"]
    return found


async def test_a_bus_that_goes_away_degrades_and_does_not_stop(tmp_path: Path) -> None:
    async with running_server(tmp_path / "redis") as redis:
        config = with_bus(gateway_config(tmp_path), redis.url)
        async with running_gateway(config) as gateway:

            async def health() -> tuple[int, bool, str]:
                status, _, body = await gateway.request("GET", "/readyz")
                answer = msgspec.json.decode(body)
                return status, answer["degraded"], answer["bus"]

            assert await health() == (200, False, "")
            assert gateway.services.metrics.value("sportello_bus_up") == 1
            assert (await finding(config)).level is Level.OK
            await redis.kill()
            status, _, why = await eventually(health, lambda seen: seen[1])
            assert status == 200
            assert "Redis is away" in why
            assert gateway.services.metrics.value("sportello_bus_up") == 0
            found = await finding(config)
            assert found.level is Level.WARN
            assert "Nothing is lost without it" in found.remedy


async def test_without_a_bus_there_is_nothing_to_say(tmp_path: Path) -> None:
    config = gateway_config(tmp_path)
    assert not [one for one in await examine(lambda: config, {}) if one.subject == "bus"]


async def test_the_doctor_never_shows_the_password_of_a_bus(tmp_path: Path) -> None:
    found = await finding(with_bus(gateway_config(tmp_path), "redis://user:canary-bus-0123@127.0.0.1:9/0"))
    assert "canary" not in found.text + found.remedy
    found = await finding(with_bus(gateway_config(tmp_path), "memcached://user:canary-bus-0123@127.0.0.1:9"))
    assert found.level is Level.FAIL
    assert "canary" not in found.text + found.remedy
