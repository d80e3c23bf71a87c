"""Is Redis there? One place knows, so that a server that hangs delays a caller once and the next ones not at all."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final, TypeVar

from storage.redis_bus.address import Address
from storage.redis_bus.patience import Patience
from storage.redis_bus.servers import Servers, reach
from storage.redis_bus.wire import Away

T = TypeVar("T")

#: Seconds between looks at a server that is away, before jitter.
_SHORTEST: Final = 0.2
_LONGEST: Final = 0.8
#: A line that held for so long begins again with the shortest.
_STEADY: Final = 5.0
#: A look may take so many time-outs: it hurries nobody, and may have to ask several nodes.
_PATIENCE: Final = 6


class Line:
    """The way to the servers. ``trouble`` is empty while it works."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._servers: Servers | None = None
        self._well = asyncio.Event()
        self._tried = asyncio.Event()
        self._pause = _SHORTEST
        self._since = monotonic()
        self._probe: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.trouble = "not connected yet"

    async def start(self) -> None:
        """Look for the servers; returns after the first look, or one time-out: the looks go on."""
        self._probe = asyncio.create_task(self._find(0.0), name="redis probe")
        with suppress(TimeoutError):
            async with Patience(self._address.timeout):
                await self._tried.wait()

    async def ask(self, work: Callable[[Servers], Awaitable[T]], otherwise: T) -> T:
        """The result of ``work``, or ``otherwise``: after one time-out at most, and at once while the servers are away."""
        servers = self._servers
        if servers is None:
            return otherwise
        try:
            async with Patience(self._address.timeout):
                return await work(servers)
        except TimeoutError:
            pass  # a crowd, or a call of several steps: a server that does not answer breaks its connection before this
        except Away as error:
            self._lost(servers, str(error))
        return otherwise

    async def suspect(self) -> None:
        """Somebody has a reason to think that they are away: try, so that the next caller need not."""
        await self.ask(lambda servers: servers.probe(self._address.prefix), otherwise=None)

    async def well(self) -> None:
        """Returns when the servers are there."""
        await self._well.wait()

    async def close(self) -> None:
        """No more looks, no more calls."""
        if self._probe is not None:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe
        servers, self._servers = self._servers, None
        self.trouble = "closed"
        if servers is not None:
            await servers.close()
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _lost(self, servers: Servers, why: str) -> None:
        if servers is not self._servers:
            return  # somebody else noticed first
        self._servers = None
        self._well.clear()
        self.trouble = why
        closing = asyncio.create_task(servers.close(), name="redis close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._pause = _SHORTEST if monotonic() - self._since > _STEADY else min(self._pause * 1.5, _LONGEST)
        self._probe = asyncio.create_task(self._find(self._pause), name="redis probe")

    async def _find(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))  # noqa: S311  # jitter, so that nodes do not come all at once
            try:
                async with Patience(self._address.timeout * _PATIENCE):
                    servers = await reach(self._address)
                    try:
                        await servers.probe(self._address.prefix)
                    except BaseException:
                        await servers.close()
                        raise
            except TimeoutError:
                self.trouble = f"{self._address}: no answer in time"
            except Away as error:
                self.trouble = str(error)
            else:
                self._servers = servers
                self._since = monotonic()
                self.trouble = ""
                self._well.set()
                self._tried.set()
                return
            self._tried.set()
            self._pause = pause = min(max(pause, _SHORTEST) * 1.5, _LONGEST)
