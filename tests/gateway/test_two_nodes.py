"""Two nodes on one PostgreSQL and one Redis: what ends on one has ended on the other, and each knows who is where."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from config import Config, Secret
from config.model import Bus, Node, Storage
from gateway.web.live import BAD_CREDENTIAL
from gateway.work.pace import Turns
from tests.support.cast import Cast, Colleague, assemble
from tests.support.gateway import RunningGateway, gateway_config, running_gateway
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database
from tests.support.redis import any_server
from tests.support.waiting import eventually


@pytest.fixture
async def pair(tmp_path: Path, postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[tuple[Cast, RunningGateway]]:
    """The first node with everybody in it, and the second."""
    async with fresh_database(postgres_server) as database, any_server(tmp_path / "redis") as bus:

        def config(name: str) -> Config:
            shared = {"storage": Storage(url=Secret(database)), "bus": Bus(url=Secret(bus)), "node": Node(id=name)}
            return replace(gateway_config(tmp_path / name), **shared)

        async with running_gateway(config("first")) as first, running_gateway(config("second")) as second:
            yield await assemble(first), second


def at(person: Colleague, node: RunningGateway) -> Colleague:
    """The same person at another node, with the same session and token."""
    return Colleague(gateway=node, agent=person.agent, cookie=person.cookie, token=person.token)


async def test_who_logs_out_at_one_node_is_out_at_the_other(pair: tuple[Cast, RunningGateway]) -> None:
    cast, second = pair
    ada = at(cast.ada, second)
    async with ada.feed() as frames:
        assert (await ada.get("/me")).status == 200
        began = asyncio.get_running_loop().time()
        assert (await cast.ada.call("DELETE", "/sessions")).status == 204
        assert (await ada.get("/me")).status == 401
        assert await frames.closed() == BAD_CREDENTIAL
        assert asyncio.get_running_loop().time() - began < 20


async def test_a_removed_token_ends_at_both_nodes(pair: tuple[Cast, RunningGateway]) -> None:
    cast, second = pair
    headers = {"Authorization": f"Bearer {cast.amy.token}"}
    listed = (await cast.amy.get("/tokens")).json["items"]
    async with second.http.ws_connect(f"{second.url}/api/v1/feed", headers=headers) as feed:
        await feed.receive(5)
        assert (await second.request("GET", "/api/v1/me", headers=headers))[0] == 200
        began = asyncio.get_running_loop().time()
        for item in listed:
            assert (await cast.amy.call("DELETE", f"/tokens/{item['id']}")).status == 204
        assert (await second.request("GET", "/api/v1/me", headers=headers))[0] == 401
        while not feed.closed:
            await feed.receive(5)
        assert asyncio.get_running_loop().time() - began < 20
        assert feed.close_code == BAD_CREDENTIAL


async def test_an_agent_is_connected_wherever_their_inbox_is_open(pair: tuple[Cast, RunningGateway]) -> None:
    cast, second = pair

    async def connected() -> dict[str, bool | None]:
        return {item["name"]: item["connected"] for item in (await cast.sue.get("/agents")).json["items"]}

    assert await connected() == dict.fromkeys(("Ada", "Amy", "Ben", "Sue"), False)
    async with at(cast.ada, second).feed():
        await eventually(connected, lambda seen: seen["Ada"] is True)
    await eventually(connected, lambda seen: seen["Ada"] is False)


async def test_nodes_know_each_other_and_share_the_duties(pair: tuple[Cast, RunningGateway]) -> None:
    cast, second = pair

    async def listed(person: Colleague) -> list[dict[str, object]]:
        items: list[dict[str, object]] = (await person.get("/nodes")).json["items"]
        return items

    await eventually(lambda: listed(cast.amy), lambda found: len(found) == 2)

    async def routers() -> list[int]:
        found = []
        for person in (cast.amy, at(cast.amy, second)):
            (own,) = [one for one in await listed(person) if one["this"]]
            duties = own["duties"]
            assert isinstance(duties, dict)
            found.append(duties.get("router", 0))
        return found

    await eventually(routers, lambda numbers: sum(numbers) == 16 and min(numbers) > 0)
    assert (await cast.sue.get("/nodes")).status == 403
    figures = (await second.request("GET", "/metrics"))[2].decode()
    assert "sportello_nodes 2.0" in figures
    assert "sportello_bus_up 1.0" in figures
    assert "sportello_mirror_lag_events" in figures


async def test_both_nodes_keep_one_providers_rate(pair: tuple[Cast, RunningGateway]) -> None:
    cast, second = pair
    one = Turns(cast.gateway.services.bus, "slow", rate=0.1, bucket_rate=0)
    two = Turns(second.services.bus, "slow", rate=0.1, bucket_rate=0)
    assert await one.ask("").take() == 0
    assert 5 < await two.ask("").take() <= 10
    await two.block("chat", 60)
    assert await one.ask("chat").take() > 50
