"""Many open windows: what they cost, and how they all come back after a restart."""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from config import Secret
from connectors.webchat.visitor import Visitor, sign_token
from gateway.web.live import COME_BACK
from tests.bench.figures import Figure
from tests.bench.ground import BenchFailed, Engine, Ground, Site, progress
from tests.bench.load import SECRET_HEADER, shown, update
from tests.support.process import SECRET

_SHOP: Final = "https://shop.example.org"
_CHAT_SECRET: Final = "secret-of-the-chat-in-the-bench-0123456789"
_CHAT: Final = f'\n[channels.web]\nkind = "webchat"\norigins = ["{_SHOP}"]\nsecret = "{_CHAT_SECRET}"\n'
_AT_ONCE: Final = 50
_DEADLINE: Final = 120.0
#: Messages while all are there, and just after the restart.
_EACH: Final = 10

Open = Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]]


# --- memory ------------------------------------------------------------------------------------------------------------


async def memory(ground: Ground) -> None:
    """Growth of the server's resident memory by each idle window; the floor is an aiohttp handler that only waits."""
    number = 5_000 if ground.long else 1_000
    async with ground.floor(Engine.EMBEDDED) as floor:
        bare = await _growth(floor.pid, lambda: _bare(ground.session, floor.port), number)
    # A process of its own for each: memory that was used before is used again, and looks like none.
    async with ground.site(Engine.EMBEDDED, extra=_CHAT) as site:
        visitor = await _growth(_pid(site), lambda: _visitor(ground.session, site.edge.url), number)
    async with ground.site(Engine.EMBEDDED) as site:
        headers = {"Authorization": f"Bearer {site.token}"}
        agent = await _growth(_pid(site), lambda: _agent(ground.session, site.edge.url, headers), number)
    ground.add(Figure("visitor socket", f"memory per idle visitor's window, of {number}", "kB", [visitor], [bare]))
    ground.add(Figure("agent feed", f"memory per idle agent's feed, of {number}", "kB", [agent], [bare]))


def _pid(site: Site) -> int:
    assert site.edge.process is not None
    return site.edge.process.pid


async def _bare(session: aiohttp.ClientSession, port: int) -> aiohttp.ClientWebSocketResponse:
    return await session.ws_connect(f"http://127.0.0.1:{port}/feed")


async def _visitor(session: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    socket = await session.ws_connect(f"{url}/chat/v1/web/socket", headers={"Origin": _SHOP})
    who = Visitor(visitor=uuid.uuid4().hex, channel="web", iat=int(time.time()))
    await socket.send_json({"type": "hello", "token": sign_token(who, Secret(_CHAT_SECRET)), "after": 0})
    for expected in ("hello", "history"):
        frame = await socket.receive_json(timeout=20)
        if frame["type"] != expected:
            raise BenchFailed(f"a visitor got {frame}")
    return socket


async def _agent(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
    socket = await session.ws_connect(f"{url}/api/v1/feed", headers=headers)
    if (await socket.receive_json(timeout=20))["type"] != "hello":
        raise BenchFailed("a feed did not say hello")
    return socket


async def _growth(pid: int, open_: Open, number: int) -> float:
    """kB per socket. Some are opened before, so that what is needed once is not counted."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one() -> aiohttp.ClientWebSocketResponse:
        async with gate:
            return await open_()

    first = await asyncio.gather(*(one() for _ in range(_AT_ONCE)))
    before = resident(pid)
    more = await asyncio.gather(*(one() for _ in range(number)))
    grown = resident(pid) - before
    await asyncio.gather(*(socket.close() for socket in (*first, *more)))
    return grown / number


def resident(pid: int) -> float:
    """kB of a process that lie in memory."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise BenchFailed(f"process {pid} has ended")


# --- the storm ----------------------------------------------------------------------------------------------------------


async def storm(ground: Ground) -> None:
    """All windows are told to come back, and do as the inbox does; each must show every message, in order, once."""
    number = 5_000 if ground.long else 500
    async with ground.site(Engine.EMBEDDED) as site:
        windows = [Window(site, ground.session) for _ in range(number)]
        async with _open(windows):
            await _until(lambda: all(window.hellos for window in windows), "opened")
            await _write(ground, site, 0)
            await _until(lambda: all(len(window.seen) == _EACH for window in windows), "saw the first messages")
            begun = time.perf_counter()
            if await site.edge.stop():
                raise BenchFailed("the gateway did not end well")
            await site.edge.start()
            ready = time.perf_counter() - begun
            await _write(ground, site, _EACH)
            await _until(lambda: all(len(window.seen) == 2 * _EACH for window in windows), "came back and saw everything")
            whole = time.perf_counter() - begun
        holes = sum(window.seen != list(range(2 * _EACH)) for window in windows)
    if holes:
        raise BenchFailed(f"{holes} of {number} windows have holes, repeats or another order")
    back = max(window.last_hello for window in windows) - begun
    progress(f"    ready again after {ready:.2f} s, everybody back after {back:.2f} s, complete after {whole:.2f} s")
    told = f"{number} feeds"
    ground.add(Figure("storm", f"restart, all of {told} back (floor: the spread they are told)", "s", [back], [COME_BACK[1]]))
    ground.add(Figure("storm", f"restart, all of {told} back and complete", "s", [whole], [COME_BACK[1]]))


@dataclass(eq=False)
class Window:
    """An agent's window, which stays."""

    site: Site
    session: aiohttp.ClientSession
    seen: list[int] = field(default_factory=list)
    hellos: int = 0
    last_hello: float = 0.0
    pos: int = 0

    async def stay(self) -> None:
        """Come back again and again: as told by a restart, else after growing pauses with jitter, as gateway/ui/src/common/live.ts does."""
        attempt = 0
        headers = {"Authorization": f"Bearer {self.site.token}"}
        while True:
            told = 0.0
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                after = f"?after={self.pos}" if self.pos else ""
                async with self.session.ws_connect(f"{self.site.edge.url}/api/v1/feed{after}", headers=headers) as socket:
                    async for message in socket:
                        frame = message.json()
                        if frame["type"] == "hello":
                            attempt = 0
                        told = frame.get("retry_after", told)
                        self._take(frame, message.data)
            most = min(30.0, 0.5 * 2**attempt)
            attempt += 1
            await asyncio.sleep(told or most / 2 + most / 2 * random.random())

    def _take(self, frame: dict[str, Any], text: str) -> None:
        self.pos = max(self.pos, frame.get("pos", 0))
        if frame["type"] == "hello":
            self.hellos += 1
            self.last_hello = time.perf_counter()
        elif frame["type"] == "resync_required":
            raise BenchFailed(f"a window was told to load everything anew: {text}")
        else:
            number = shown(text)
            self.seen += [] if number is None else [number]


@contextlib.asynccontextmanager
async def _open(windows: list[Window]) -> AsyncIterator[None]:
    tasks = []
    for index, window in enumerate(windows):
        tasks.append(asyncio.create_task(window.stay()))
        if index % _AT_ONCE == 0:
            await asyncio.sleep(0.02)
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _write(ground: Ground, site: Site, first: int) -> None:
    for one in range(first, first + _EACH):
        headers = {SECRET_HEADER: SECRET, "Content-Type": "application/json"}
        async with ground.session.post(f"{site.edge.url}/webhooks/shop", data=update(one, 4), headers=headers) as answer:
            if answer.status != 200:
                raise BenchFailed(f"a webhook was answered {answer.status}")


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(_DEADLINE):
            while not condition():  # noqa: ASYNC110  the windows have no event for each of their frames
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise BenchFailed(f"not all windows {what} within {_DEADLINE:g} s") from None
