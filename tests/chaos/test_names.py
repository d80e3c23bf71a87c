"""Name servers that are slow, dead, wrong or changed: whose name cannot be found waits alone, and goes on when it can."""

import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from connectors.contract import Call, ClientContext
from connectors.http import HttpClient
from connectors.telegram.simulator import create_simulator_app
from gateway import names
from tests.chaos.nameserver import NameServer, name_server
from tests.chaos.provider import Wire, bot_token, update
from tests.chaos.site import api
from tests.support.process import SECRET, GatewayProcess, free_port, seed_agent, write_config
from tests.support.serving import serving
from tests.support.telegram import Phone
from tests.support.waiting import eventually

#: More than there are threads for lookups.
DEAD = 20
#: ``sportello`` on a machine whose name server is another one, and with so much patience that its waiting is told from a busy machine's.
ELSEWHERE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
NEWNS, BIND, PRIVATE = 0x20000, 0x1000, 0x44000
def do(result):
    if result: raise OSError(ctypes.get_errno(), "no other name server here")
do(libc.unshare(NEWNS))
do(libc.mount(b"none", b"/", None, PRIVATE, None))
do(libc.mount(os.environb[b"NAME_SERVERS"], b"/etc/resolv.conf", None, BIND, None))
from gateway import names
names.SECONDS, names._AGAIN_SECONDS = 24.0, 8.0
from gateway.__main__ import main
raise SystemExit(main())
"""


@contextlib.asynccontextmanager
async def resolver(*servers: str) -> AsyncIterator[names.Resolver]:
    made = names.Resolver(servers)
    try:
        yield made
    finally:
        await made.close()


async def test_a_name_that_is_never_answered_delays_no_other_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "SECONDS", 1.0)
    dead = {f"d{number}.test": "" for number in range(100)}
    async with name_server({"shop.test": "127.0.0.7", **dead}) as (server, address), resolver(address) as found:
        began = monotonic()
        hanging = [asyncio.create_task(found.resolve(name)) for name in dead]
        await eventually(_asked(server), lambda asked: dead.keys() <= set(asked))
        (place,) = await found.resolve("shop.test", 80)
        assert (place["host"], place["port"]) == ("127.0.0.7", 80)
        assert not any(task.done() for task in hanging)
        ends = await asyncio.gather(*hanging, return_exceptions=True)
    assert {type(end) for end in ends} == {OSError}
    # Else it would be the library's own time, which is longer.
    assert 1.0 <= monotonic() - began < 4.0


async def test_an_address_that_changes_is_followed() -> None:
    async with name_server({"shop.test": "127.0.0.7"}) as (server, address), resolver(address) as found:
        assert (await found.resolve("shop.test"))[0]["host"] == "127.0.0.7"
        server.names["shop.test"] = "127.0.0.8"
        await eventually(lambda: found.resolve("shop.test"), lambda places: places[0]["host"] == "127.0.0.8")


@pytest.mark.parametrize("names_", [{}, {"shop.test": ""}], ids=["no such name", "no answer"])
async def test_a_call_whose_name_is_not_found_was_not_written(monkeypatch: pytest.MonkeyPatch, names_: dict[str, str]) -> None:
    """So it goes again, and nobody has to fear that it arrived twice."""
    monkeypatch.setattr(names, "SECONDS", 0.3)

    async def no_file(stored: str) -> bytes:
        raise FileNotFoundError(stored)

    async with name_server(names_) as (_, address), resolver(address) as found:
        connector = aiohttp.TCPConnector(resolver=found)
        async with aiohttp.ClientSession(connector=connector) as session:
            client = HttpClient(ClientContext(session=session, channel="c", read_file=no_file))
            reply = await client.send(Call(method="POST", url="http://shop.test/x", json={}))
    assert (reply.status, reply.written) == (0, False)
    assert b"test" not in reply.body


async def test_the_machines_own_names_need_no_server() -> None:
    async with name_server({}) as (server, address), resolver(address) as found:
        assert (await found.resolve("localhost"))[0]["host"] == "127.0.0.1"
        assert server.asked == []


# --- a whole gateway -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def world() -> AsyncIterator[NameServer]:
    """The only name server of a gateway; it has to have the port of all name servers."""
    probe = ["unshare", "--mount", "mount", "--bind", "/etc/hostname", "/etc/resolv.conf"]
    if os.geteuid() or (await asyncio.to_thread(subprocess.run, probe, check=False, capture_output=True)).returncode:
        pytest.skip("NOT TESTED: only root can have another name server for one process")
    address = ".".join(["127", *(str(random.SystemRandom().randrange(2, 250)) for _ in range(3))])
    async with name_server({}, address, 53) as (server, _):
        yield server


@pytest.mark.chaos
async def test_channels_whose_name_is_dead_hold_up_no_other(world: NameServer, tmp_path: Path) -> None:
    """Each channel's Telegram has a name of its own: one can be found, the others not before the name server is well."""
    apps = [create_simulator_app(token=bot_token(bot), rate_limits=False) for bot in range(DEAD + 1)]
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        phones = [Phone(session, await stack.enter_async_context(serving(app))) for app in apps]
        gateway, token = await _gateway(tmp_path, world, [int(phone.root.rpartition(":")[2]) for phone in phones])
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        await _write(gateway, phones)
        headers = {"Authorization": f"Bearer {token}"}

        async def reply(conversation: dict[str, Any]) -> None:
            path = f"{gateway.url}/api/v1/conversations/{conversation['id']}/messages"
            key = {"Idempotency-Key": conversation["id"]}
            async with session.post(path, json={"text": "Yes."}, headers={**headers, **key}) as answer:
                assert answer.status < 300, await answer.text()

        page = await eventually(
            lambda: api(gateway, token, session, "/conversations?state=open"), lambda page: len(page["items"]) == DEAD + 1
        )
        well = next(one for one in page["items"] if one["channel"] == "shop")
        for conversation in page["items"]:
            if conversation is not well:
                await reply(conversation)
        # All of them are being looked for.
        await eventually(_asked(world), lambda asked: len({name for name in asked if name.startswith("dead")}) == DEAD)
        began = monotonic()
        await reply(well)
        await eventually(phones[0].ledger, lambda sent: len(sent) == 1)
        assert monotonic() - began < 16, "it waited for the names of others"
        assert [len(await phone.ledger()) for phone in phones[1:]] == [0] * DEAD
        world.names |= dict.fromkeys(world.names, "127.0.0.1")
        for phone in phones[1:]:
            await eventually(phone.ledger, lambda sent: len(sent) == 1, 60)
        assert await gateway.stop() == 0, gateway.said()


def _asked(world: NameServer) -> Any:
    async def look() -> list[str]:
        return world.asked

    return look


async def _gateway(folder: Path, world: NameServer, ports: list[int]) -> tuple[GatewayProcess, str]:
    world.names |= {"shop.test": "127.0.0.1", **{f"dead{number}.test": "" for number in range(1, DEAD + 1)}}
    more = "".join(
        f'\n[channels.dead{bot}]\nkind = "telegram"\ntoken = "{bot_token(bot)}"\nsecret_token = "{SECRET}"\n'
        f'api_base = "http://dead{bot}.test:{port}"\n'
        for bot, port in enumerate(ports)
        if bot
    )
    port = free_port()
    config = write_config(folder, port, f"http://shop.test:{ports[0]}", more)
    (folder / "resolv.conf").write_text(f"nameserver {world.address}\n")
    gateway = GatewayProcess(config, port, {"NAME_SERVERS": str(folder / "resolv.conf")}, program=("-c", ELSEWHERE))
    return gateway, await seed_agent(gateway.load())


async def _write(gateway: GatewayProcess, phones: list[Phone]) -> None:
    """A shopper writes to each channel."""
    wire = Wire((f"127.0.0.1:{gateway.port}",), 0)
    for bot, phone in enumerate(phones):
        channel = f"dead{bot}" if bot else "shop"
        assert await wire.post(f"/webhooks/{channel}", update(await phone.user("Cleo"), 1)) == 200
    wire.leave()
