"""Two nodes on one PostgreSQL, with and without a bus: whoever is asked, the answer is the same, and what one did the other shows."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from config import ChannelConfig, Config, Secret
from config.model import Bus, Storage
from connectors.telegram.simulator import create_simulator_app
from routing.router import CONSUMER
from storage.protocol import WHOLE
from tests.support.cast import Cast, Colleague, Shopper, assemble, come_online, say
from tests.support.gateway import CHANNELS, RunningGateway, gateway_config, running_gateway
from tests.support.postgres import fresh_database
from tests.support.redis import running_server
from tests.support.serving import serving
from tests.support.telegram import SECRET, TOKEN
from tests.support.waiting import eventually

HEADERS = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}


@dataclass
class Pair:
    """Two nodes; everybody can use either."""

    one: RunningGateway
    two: RunningGateway
    cast: Cast

    def at_two(self, who: Colleague) -> Colleague:
        return dataclasses.replace(who, gateway=self.two)


def node_config(folder: Path, database: str, bus: str, telegram: str) -> Config:
    bot = ChannelConfig(
        kind="telegram", title="Telegram", settings={"token": TOKEN, "secret_token": SECRET, "api_base": telegram, "mode": "webhook"}
    )
    config = gateway_config(folder, {"web": CHANNELS["web"], "shop": bot})
    # No key in the configuration: the nodes agree on one in their database.
    server = replace(config.server, secret_key=Secret(""))
    return replace(config, server=server, storage=Storage(url=Secret(database)), bus=Bus(url=Secret(bus)))


@pytest.fixture(params=["no bus", "valkey"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(fresh_database(request.getfixturevalue("postgres_server")))
        bus = (await stack.enter_async_context(running_server(tmp_path / "valkey"))).url if request.param == "valkey" else ""
        telegram = await stack.enter_async_context(serving(create_simulator_app(token=TOKEN, rate_limits=False)))
        one, two = [
            await stack.enter_async_context(running_gateway(node_config(tmp_path / name, database, bus, telegram)))
            for name in ("one", "two")
        ]
        yield Pair(one, two, await assemble(one))


def update(number: int, text: str, chat: int = 42) -> bytes:
    """A message as Telegram posts it."""
    person = {"id": chat, "is_bot": False, "first_name": "Cleo"}
    message = {"message_id": number, "date": 1_790_000_000, "chat": {"id": chat, "type": "private"}, "from": person, "text": text}
    return json.dumps({"update_id": number, "message": message}).encode()


async def test_what_comes_in_at_one_node_is_on_the_screen_of_the_other(pair: Pair) -> None:
    await come_online(pair.cast.ada)
    ada = pair.at_two(pair.cast.ada)
    async with ada.feed() as feed, Shopper(pair.one).open() as shop:
        await say(shop, "Is it there?")
        added = await feed.of("message.added")
        assert added["data"]["message"]["parts"] == [{"type": "text", "text": "Is it there?"}]
        assigned = await feed.of("conversation.assigned")
        assert assigned["data"]["conversation"]["assignee_id"] == ada.id
        id_ = assigned["data"]["conversation"]["id"]
        answer = await ada.post(f"/conversations/{id_}/messages", {"text": "Yes"})
        assert answer.status == 201, answer.raw
        shown = await shop.until(lambda frame: frame["type"] == "message" and not frame.get("mine"))
        assert shown["parts"] == [{"type": "text", "text": "Yes"}]


async def test_the_same_webhook_at_both_nodes_at_once_is_one_event(pair: Pair) -> None:
    bodies = [update(number, f"text {number}") for number in range(1, 21)]
    calls = [node.request("POST", "/webhooks/shop", data=body, headers=HEADERS) for body in bodies for node in (pair.one, pair.two)]
    assert [status for status, _, _ in await asyncio.gather(*calls)] == [200] * 40
    events = await pair.two.services.store.view(lambda tx: tx.stream.read(WHOLE, 0, 10_000))
    keys = [event.entry.key for event in events if event.entry.channel == "shop"]
    assert len(keys) == len(set(keys)) == 20

    async def conversations() -> list[str]:
        found = (await pair.at_two(pair.cast.sue).get("/conversations")).json["items"]
        return [one["id"] for one in found if one["last_pos"]]

    assert len(await eventually(conversations)) == 1


async def test_the_work_is_shared_and_taken_over(pair: Pair) -> None:
    def held(node: RunningGateway) -> set[int]:
        return set(node.services.duties.held(CONSUMER))

    async def shared() -> bool:
        return bool(held(pair.one)) and bool(held(pair.two)) and held(pair.one) | held(pair.two) == set(range(16))

    await eventually(shared)
    assert not held(pair.one) & held(pair.two)
    assert {node.id for node in pair.one.services.duties.nodes} == {pair.one.services.duties.node.id, pair.two.services.duties.node.id}


async def test_one_key_for_all_nodes(pair: Pair) -> None:
    """A visitor's token and a page's cursor that one node signed are good at the other."""
    assert pair.one.services.config.server.secret_key == pair.two.services.config.server.secret_key
    await pair.cast.conversation("Hello")
    elsewhere = dataclasses.replace(pair.cast.cleo, gateway=pair.two)
    async with elsewhere.open() as window:
        (history,) = [frame for frame in window.seen if frame["type"] == "history"]
        assert [item["parts"][0]["text"] for item in history["items"]] == ["Hello"]


async def test_a_file_of_one_node_can_be_had_from_the_other(pair: Pair) -> None:
    file = b"%PDF-1.7 " + b"p" * 2_000_000
    headers = {**pair.cast.ada.cookie_header, "Content-Type": "application/pdf", "X-File-Name": "big.pdf"}
    status, _, body = await pair.one.request("POST", "/api/v1/media", data=file, headers=headers)
    assert status == 201, body
    identifier = json.loads(body)["id"]
    status, _, found = await pair.two.request("GET", f"/api/v1/media/{identifier}", headers=pair.at_two(pair.cast.ada).cookie_header)
    assert (status, found) == (200, file)


async def test_who_is_signed_out_at_one_node_is_out_at_the_other(pair: Pair) -> None:
    ada = pair.at_two(pair.cast.ada)
    assert (await ada.get("/me")).status == 200
    assert (await pair.cast.ada.call("DELETE", "/sessions")).status in {200, 204}
    assert (await ada.get("/me")).status == 401


async def test_an_order_repeated_at_the_other_node_is_carried_out_once(pair: Pair) -> None:
    conversation = await pair.cast.conversation()
    path, body = f"/conversations/{conversation['id']}/messages", {"text": "once"}
    first = await pair.cast.sue.post(path, body, key="k-1")
    again = await pair.at_two(pair.cast.sue).post(path, body, key="k-1")
    assert (first.status, again.status) == (201, 201)
    assert first.json["message"]["id"] == again.json["message"]["id"]


async def test_typing_is_seen_across_nodes(pair: Pair) -> None:
    if not pair.one.services.config.bus.url:
        pytest.skip("without a bus, who is typing is known on one node only")
    conversation = await pair.cast.conversation()
    async with pair.at_two(pair.cast.sue).feed() as feed, pair.cast.cleo.open() as window:
        await window.send({"type": "typing"})
        frame = await feed.of("typing")
        assert frame["conversation_id"] == conversation["id"]
