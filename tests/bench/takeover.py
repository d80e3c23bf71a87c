"""Two nodes, one of which dies or freezes: how long until the other has routed what came next, in every partition.

The floor is the life of a lease, which nobody may cut short: the dead one could be alive.
"""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Awaitable, Callable, Iterator

import aiohttp

from connectors.identity import PARTITIONS, Identity, partition_of
from gateway.work.duty import TTL
from tests.bench.figures import Figure
from tests.bench.ground import BenchFailed, Engine, Ground, Site, progress
from tests.bench.load import SECRET_HEADER, shown, update
from tests.support.process import SECRET, TOKEN, GatewayProcess

_DEADLINE = 60.0
_MANY_CHATS = 1_000
#: Beyond all numbers of the load.
_FIRST = 900_000


async def takeover(ground: Ground) -> None:
    """kill -9, and SIGSTOP with the zombie let go afterwards."""
    async with ground.site(Engine.CLUSTER, "", "") as site:
        town = Town(ground, site)
        for what, strike, short in (("kill -9", town.kill, 5), ("SIGSTOP", town.freeze, 3)):
            times = 20 if ground.long else short
            took = []
            for number in range(times):
                await town.shared_out()
                took.append(await strike())
                progress(f"    {what} {number + 1} of {times}: routed after {took[-1]:.2f} s")
            ordered = sorted(took)
            figures = {"p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)], "longest": ordered[-1]}
            for name, value in figures.items():
                ground.add(Figure("take-over", f"take-over after {what}, {name} of {times} (floor: the lease)", "s", [value], [TTL]))


class Town:
    """A shopper in every partition, and two nodes: the first is struck, the second survives."""

    def __init__(self, ground: Ground, site: Site) -> None:
        self._ground = ground
        self._victim, self._survivor = site.nodes
        self._token = site.token
        self._numbers = itertools.count(_FIRST)
        self._chats = list(one_per_partition())

    async def kill(self) -> float:
        """kill -9; started again afterwards."""

        async def strike() -> None:
            # Not awaited to its end: the time counts from the signal.
            assert self._victim.process is not None
            self._victim.process.send_signal(signal.SIGKILL)

        took = await self._after(strike)
        await self._victim.kill()
        await self._victim.start()
        return took

    async def freeze(self) -> float:
        """SIGSTOP; let go afterwards."""
        process = self._victim.process
        assert process is not None

        async def strike() -> None:
            process.send_signal(signal.SIGSTOP)

        try:
            return await self._after(strike)
        finally:
            process.send_signal(signal.SIGCONT)

    async def shared_out(self) -> None:
        """Wait until both have some of the partitions, and together all."""
        async with asyncio.timeout(_DEADLINE):
            while True:
                own = [await self._routers(node) for node in (self._victim, self._survivor)]
                if all(own) and sum(own) == PARTITIONS:
                    return
                await asyncio.sleep(0.1)

    async def _routers(self, node: GatewayProcess) -> int:
        with contextlib.suppress(aiohttp.ClientError):
            async with self._ground.session.get(f"{node.url}/metrics") as answer:
                for line in (await answer.text()).splitlines():
                    if line.startswith('sportello_duties{kind="router"}'):
                        return int(float(line.split()[1]))
        return 0

    async def _after(self, strike: Callable[[], Awaitable[None]]) -> float:
        """Seconds from the strike until a message to each partition was on the survivor's feed."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._ground.session.ws_connect(f"{self._survivor.url}/api/v1/feed", headers=headers) as socket:
            assert (await socket.receive_json(timeout=10))["type"] == "hello"
            await strike()
            begun = time.perf_counter()
            wanted: set[int | None] = {await self._post(chat) for chat in self._chats}
            async with asyncio.timeout(_DEADLINE):
                while wanted:
                    wanted.discard(shown(str((await socket.receive()).data)))
            return time.perf_counter() - begun

    async def _post(self, chat: int) -> int:
        number = next(self._numbers)
        # The load's messages go to a chat by their number.
        body = update(number * _MANY_CHATS + chat, _MANY_CHATS)
        headers = {SECRET_HEADER: SECRET, "Content-Type": "application/json"}
        async with self._ground.session.post(f"{self._survivor.url}/webhooks/shop", data=body, headers=headers) as answer:
            if answer.status != 200:
                raise BenchFailed(f"the survivor answered {answer.status}")
        return number * _MANY_CHATS + chat


def one_per_partition() -> Iterator[int]:
    """Numbers of chats, one in each partition."""
    free = set(range(PARTITIONS))
    bot = TOKEN.partition(":")[0]
    for chat in range(_MANY_CHATS):
        partition = partition_of(f"shop\x00{Identity('telegram', bot, str(10_000 + chat))}")
        if partition in free:
            free.discard(partition)
            yield chat
