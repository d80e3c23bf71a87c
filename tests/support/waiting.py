"""Waiting for what must come: how fast is no question of a test's, as machines stand still now and then."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Seconds after which it does not come any more.
DEADLINE: Final = 60.0


async def until(condition: Callable[[], Any], seconds: float = DEADLINE) -> None:
    """Look until ``condition`` is true, or what it has to be awaited for; fails loudly after ``seconds``."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.005)


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool] = bool, seconds: float = DEADLINE) -> T:
    """Look until it is as wanted; fails loudly after ``seconds``."""
    async with asyncio.timeout(seconds):
        while True:
            found = await look()
            if wanted(found):
                return found
            await asyncio.sleep(0.01)
