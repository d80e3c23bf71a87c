"""Several processes on one machine: one port, a parent that starts again what dies, and no orphans; and a node that stops under load."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from config import Config
from gateway.processes import Child, Seat
from gateway.wiring import open_gateway
from storage import utc_now
from storage.record import Entry
from storage.spool import open_spool
from storage.spool_thread import Limits
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database
from tests.support.process import ROOT, SECRET, GatewayProcess, free_port, seed_agent, write_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash


@dataclass
class House:
    """One gateway of two processes."""

    gateway: GatewayProcess
    token: str
    #: Of the process with slot 0.
    figures: int

    @property
    def children(self) -> list[int]:
        assert self.gateway.process is not None
        return children_of(self.gateway.process.pid)


def children_of(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
async def database(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server) as url:
        yield url


async def node(folder: Path, database: str, more: str = "") -> GatewayProcess:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    port = free_port()
    extra = f'\n[storage]\nurl = "{database}"\n\n[node]\nid = "{folder.name}"\n{more}'
    return GatewayProcess(write_config(folder, port, "http://127.0.0.1:9", extra), port)


@contextlib.asynccontextmanager
async def house(folder: Path, database: str) -> AsyncIterator[House]:
    """Two processes, both ready."""
    figures = free_port()
    gateway = await node(folder, database, f"processes = 2\nmetrics_port = {figures}\n")
    opened = House(gateway, await seed_agent(gateway.load()), figures)
    children: list[int] = []
    try:
        await gateway.start()
        await eventually(lambda: both_answer(opened))
        children = opened.children
        yield opened
    finally:
        children = [pid for pid in {*children, *opened.children} if alive(pid)]
        await gateway.kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def both_answer(opened: House) -> bool:
    async with aiohttp.ClientSession() as http:
        for slot in range(2):
            try:
                async with http.get(f"http://127.0.0.1:{opened.figures + slot}/readyz") as answer:
                    if answer.status != 200:
                        return False
            except aiohttp.ClientError:
                return False
    return True


async def deliver(http: aiohttp.ClientSession, url: str, number: int) -> int:
    """A message from Telegram; the status."""
    user = {"id": 5000 + number % 40, "is_bot": False, "first_name": "Cleo"}
    message = {
        "message_id": number,
        "date": 1_790_000_000,
        "chat": {"id": user["id"], "type": "private"},
        "from": user,
        "text": f"m{number}",
    }
    body = {"update_id": number, "message": message}
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    async with http.post(f"{url}/webhooks/shop", json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def received(config: Config) -> int:
    async with open_gateway(config, workers=False) as services:
        return await services.store.view(lambda tx: tx.stream.count("message.received", "shop"))


async def test_two_processes_share_a_port_and_one_that_dies_is_replaced(tmp_path: Path, database: str) -> None:
    async with house(tmp_path / "house", database) as opened:
        gateway = opened.gateway
        before = opened.children
        assert len(before) == 2
        async with aiohttp.ClientSession() as http:
            # Each hears of the other within a second.
            listed = await eventually(lambda: nodes(http, gateway.url, opened.token), lambda found: len(found) == 2)
            assert [one["roles"] for one in listed] == [["edge", "router", "sender"]] * 2
            await eventually(lambda: figures_of(http, opened.figures + 1), lambda text: "sportello_nodes 2.0" in text)
        # A connection for each, so that the kernel deals them to both.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
            assert {await deliver(http, gateway.url, number) for number in range(1, 41)} == {200}
        assert sorted(path.name for path in (tmp_path / "house" / "data").glob("spool*.db")) == ["spool-1.db", "spool.db"]
        os.kill(before[0], signal.SIGKILL)

        async def replaced() -> bool:
            return len(opened.children) == 2 and before[0] not in opened.children and await both_answer(opened)

        await eventually(replaced)
        assert before[1] in opened.children
        # The dead one is listed until its time is over.
        await eventually(lambda: run("node", "list", "--config", str(gateway.config)), lambda said: said.count("house-") == 2)
        last = opened.children
        assert await gateway.stop() == 0
        assert not any(alive(pid) for pid in last)
        assert await received(gateway.load()) == 40


async def test_no_child_outlives_its_parent(tmp_path: Path, database: str) -> None:
    async with house(tmp_path / "house", database) as opened:
        children = opened.children
        await opened.gateway.kill()

        async def gone() -> bool:
            return not any(alive(pid) for pid in children)

        await eventually(gone)
        assert "the parent is gone" in opened.gateway.said()


async def test_a_node_that_stops_under_load_loses_nothing_and_answers_no_error(tmp_path: Path, database: str) -> None:
    """Its clients use the other node as soon as it refuses them, and never hear a 5xx."""
    first, second = await node(tmp_path / "first", database), await node(tmp_path / "second", database)
    await seed_agent(first.load())
    statuses: Counter[int] = Counter()
    moved = 0
    stopped = asyncio.Event()

    async def client(worker: int) -> list[int]:
        nonlocal moved
        taken, urls, after_stop = [], [first.url, second.url], 0
        async with aiohttp.ClientSession() as http:
            number = worker
            while after_stop < 20:
                number += 8
                after_stop += stopped.is_set()
                while True:
                    try:
                        status = await deliver(http, urls[0], number)
                    except aiohttp.ClientConnectionError:
                        urls.reverse()
                        moved += 1
                        continue
                    statuses[status] += 1
                    if status == 200:
                        taken.append(number)
                        break
        return taken

    try:
        await asyncio.gather(first.start(), second.start())
        clients = [asyncio.create_task(client(worker)) for worker in range(1, 9)]
        await eventually(lambda: _enough(statuses, 300))
        began = asyncio.get_running_loop().time()
        assert await first.stop() == 0
        took = asyncio.get_running_loop().time() - began
        stopped.set()
        taken = [number for numbers in await asyncio.gather(*clients) for number in numbers]
        assert took < 10
        assert set(statuses) == {200}
        assert moved >= len(clients)
        assert await second.stop() == 0
    finally:
        for one in (first, second):
            if one.process is not None:
                await one.kill()
    assert len(set(taken)) == len(taken)
    assert await received(second.load()) == len(taken)


async def _enough(statuses: Counter[int], number: int) -> bool:
    return statuses.total() >= number


async def test_sqlite_is_for_one_process(tmp_path: Path) -> None:
    config = write_config(tmp_path, free_port(), "http://127.0.0.1:9")
    said = await run("serve", "--config", str(config), "--processes", "2", status=1)
    assert said.strip() == (
        "sportello: 2 processes cannot share SQLite: set storage.url to a PostgreSQL, or node.processes (--processes) to 1"
    )


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    program = (
        f"import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path({str(deaf)!r}).touch(); time.sleep(60)"
    )
    reading, writing = os.pipe()
    try:
        told = asyncio.Event()
        child = Child(Seat(slot=0, port=1, lifeline=reading), [sys.executable, "-c", program], os.environ, 0.2)
        kept = asyncio.create_task(child.keep(told))

        async def ready() -> bool:
            return deaf.exists()

        await eventually(ready)
        told.set()
        assert await asyncio.wait_for(kept, 60) is False
    finally:
        os.close(reading)
        os.close(writing)


async def nodes(http: aiohttp.ClientSession, url: str, token: str) -> list[dict[str, object]]:
    async with http.get(f"{url}/api/v1/nodes", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200, await answer.text()
        items: list[dict[str, object]] = (await answer.json())["items"]
        return items


async def figures_of(http: aiohttp.ClientSession, port: int) -> str:
    async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return await answer.text()


async def run(*arguments: str, status: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == status, said.decode()
    return said.decode()


async def test_a_spool_that_no_process_has_is_not_forgotten(tmp_path: Path, database: str) -> None:
    """After a start with fewer processes than before."""
    gateway = await node(tmp_path / "fewer", database)
    data = tmp_path / "fewer" / "data"
    await asyncio.to_thread(data.mkdir, mode=0o700)
    spool = await open_spool(data / "spool-3.db", Limits(64 * 1024 * 1024), clock=utc_now)
    entry = Entry(type="message.received", data=b"{}", partition=0, at=utc_now(), channel="shop", key="1")
    await spool.put([entry])
    await spool.close()
    try:
        await gateway.start()
        assert "start it once more with as many as before" in gateway.said()
    finally:
        await gateway.kill()


async def test_a_node_does_what_its_roles_say(tmp_path: Path, database: str) -> None:
    gateway = await node(tmp_path / "sender", database)
    token = await seed_agent(gateway.load())
    options = ("serve", "--config", str(gateway.config), "--role", "sender", "--role", "edge", "--node", "till-2")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", *options, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with aiohttp.ClientSession() as http:

            async def answers() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{gateway.url}/readyz") as answer:
                        return answer.status == 200
                return False

            await eventually(answers)
            (own,) = await nodes(http, gateway.url, token)
            assert str(own["id"]).startswith("till-2-")
            assert sorted(own["roles"]) == ["edge", "sender"]  # type: ignore[call-overload]
            assert own["duties"] == {"health": 1, "media": 1, "probe": 1, "sender": 16}
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
