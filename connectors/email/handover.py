"""From whatever brings mail (a mailbox's thread, our SMTP server) to the gateway's loop, one at a time, with its answer "it is durable"."""

import asyncio
from collections.abc import AsyncGenerator

from connectors.contract import Request


class Handover:
    """Producers await :meth:`give`; the gateway iterates over :meth:`taken`."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[Request, asyncio.Future[None]]] = asyncio.Queue(maxsize=1)
        self._closed = False
        self._pending: set[asyncio.Future[None]] = set()

    async def give(self, request: Request) -> None:
        """Returns when the gateway has stored it. Raises ``ConnectionAbortedError`` if the gateway stops first: then it must come again."""
        if self._closed:
            raise ConnectionAbortedError("the gateway is stopping")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.add(done)
        try:
            await self._waiting.put((request, done))
            await done
        finally:
            self._pending.discard(done)

    async def taken(self) -> AsyncGenerator[Request, None]:
        """What was given, in its order; coming back for the next says that the one before is durable."""
        try:
            while True:
                request, done = await self._waiting.get()
                if done.done():
                    continue
                yield request
                if not done.done():
                    done.set_result(None)
        finally:
            self.close()

    def close(self) -> None:
        """Nothing more is taken: who waits is told so."""
        self._closed = True
        for waiting in self._pending:
            if not waiting.done():
                waiting.set_exception(ConnectionAbortedError("the gateway is stopping"))
        # Whoever waits for a place in the queue gets one, and finds this answer.
        while not self._waiting.empty():
            self._waiting.get_nowait()
