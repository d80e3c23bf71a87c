"""A provider's webhooks: posted in order for each person, repeated until they are taken, lost or doubled on demand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from connectors.simulator.faults import Faults

#: Seconds between the tries of one webhook; a provider has its own.
RETRIES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_LOG: Final = 500


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One webhook on its way."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Webhooks of one lane are posted one after the other.
    lane: str = ""
    #: Called with the provider's answer: its status and body (0 and the reason if there was none).
    answered: Callable[[int, bytes], Awaitable[None]] | None = None
    #: The same with the answer's media type, for providers to whom it matters.
    typed: Callable[[int, bytes, str], Awaitable[None]] | None = None


class Webhooks:
    """Posts deliveries until stopped; start it with :meth:`running`."""

    def __init__(self, faults: Faults, *, retries: Sequence[float] = RETRIES, seconds: float = 15.0) -> None:
        """``retries``: waits between tries; empty: a provider that tries once. ``seconds``: how long it waits for an answer."""
        self._faults = faults
        self._retries = tuple(retries)
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None
        self._lanes: dict[str, asyncio.Queue[Delivery]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held: list[Delivery] = []
        self._hold = 0
        self._under_way = 0
        #: Statuses of the newest posts, oldest first.
        self.log: list[int] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this is open, webhooks are posted."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds)) as session:
            self._session = session
            try:
                yield
            finally:
                tasks = list(self._tasks.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._session = None

    def post(self, delivery: Delivery) -> None:
        """Puts it on its way, with whatever fault is due for it."""
        fault = self._faults.take("webhook")
        if fault is not None and fault.kind == "lost":
            return
        if fault is not None and fault.kind == "shuffled":
            self._hold = max(self._hold, fault.count + 1)
        if self._hold:
            self._held.append(delivery)
            self._hold -= 1
            if not self._hold:
                held, self._held = self._held, []
                for one in reversed(held):
                    self._enqueue(one)
            return
        self._enqueue(delivery)
        if fault is not None and fault.kind == "twice":
            self._enqueue(delivery)

    @property
    def waiting(self) -> int:
        """Webhooks that were not taken yet."""
        return self._under_way

    def _enqueue(self, delivery: Delivery) -> None:
        self._under_way += 1
        lane = self._lanes.setdefault(delivery.lane, asyncio.Queue())
        lane.put_nowait(delivery)
        task = self._tasks.get(delivery.lane)
        if task is None or task.done():
            self._tasks[delivery.lane] = asyncio.create_task(self._drain(delivery.lane, lane), name=f"webhooks {delivery.lane}")

    async def _drain(self, name: str, lane: "asyncio.Queue[Delivery]") -> None:
        while not lane.empty():
            delivery = lane.get_nowait()
            try:
                await self._deliver(delivery)
            finally:
                self._under_way -= 1
        self._lanes.pop(name, None)

    async def _deliver(self, delivery: Delivery) -> None:
        for wait in (*self._retries, None):
            status, body, kind = await self._try(delivery)
            self.log = [*self.log[-_LOG:], status]
            if 200 <= status < 300 or wait is None:
                if delivery.answered is not None:
                    await delivery.answered(status, body)
                if delivery.typed is not None:
                    await delivery.typed(status, body, kind)
                return
            await asyncio.sleep(wait)

    async def _try(self, delivery: Delivery) -> tuple[int, bytes, str]:
        assert self._session is not None
        try:
            async with self._session.post(delivery.url, data=delivery.body, headers=dict(delivery.headers)) as answer:
                return answer.status, await answer.read(), answer.content_type
        except (aiohttp.ClientError, OSError) as error:
            return 0, type(error).__name__.encode(), ""
