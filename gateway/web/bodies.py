"""Request bodies on their way in, held in memory: within a time, a size, and a budget for all of them together.

Nobody has to prove anything before the body is there, so thousands could send all but the end of one. When the budget is used up, whoever
has been sending for longest is told to go: a provider's body arrives in milliseconds, so those who mean it hardly notice.
"""

import asyncio
from typing import Final

from aiohttp import web

#: Bytes of unfinished bodies that one process holds.
BUDGET: Final = 64 * 1024 * 1024


class Bodies:
    """Those of one process."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._left = budget
        #: Bytes of each, the oldest first.
        self._held: dict[asyncio.Timeout, int] = {}

    async def read(self, request: web.Request, seconds: float) -> bytes:
        """The whole body. Raises HTTPRequestEntityTooLarge, and TimeoutError after ``seconds`` or when others need the room."""
        most, pieces, size = request.client_max_size, [], 0
        async with asyncio.timeout(seconds) as limit:
            self._held[limit] = 0
            try:
                while piece := await request.content.readany():
                    size += len(piece)
                    if size > most > 0:
                        raise web.HTTPRequestEntityTooLarge(most)
                    pieces.append(piece)
                    self._take(limit, len(piece))
            finally:
                self._give_back(limit)
        return b"".join(pieces)

    def _take(self, limit: asyncio.Timeout, size: int) -> None:
        if limit in self._held:
            self._held[limit] += size
            self._left -= size
        now = asyncio.get_running_loop().time()
        while self._left < 0:
            oldest = next(iter(self._held))
            self._give_back(oldest)
            oldest.reschedule(now)

    def _give_back(self, limit: asyncio.Timeout) -> None:
        self._left += self._held.pop(limit, 0)
