"""A deadline that is fair to the other side."""

import asyncio
from types import TracebackType
from typing import Final

_STEPS: Final = 5


class Patience:
    """Like ``asyncio.timeout``, but made of steps: when this process itself stood still (a long computation, a crowded machine), the
    answer that has come in the meantime is still read, and nobody else is blamed. Raises TimeoutError.
    """

    def __init__(self, seconds: float) -> None:
        self._step = seconds / _STEPS
        self._left = _STEPS
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._next()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        if self._left:
            self._left -= 1
            self._timer = loop.call_later(self._step, self._next)
        else:
            self._limit.reschedule(loop.time())
