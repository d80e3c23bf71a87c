"""Begins the work of a node once its database has been asked what has to be known first; also when that is away at the start.

Until then what providers deliver goes into the spool, and whatever needs the database is refused.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from gateway.services import Services
from storage.errors import Unavailable

_PAUSE: Final = 0.25

Begin = Callable[[Services], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def joined(
    services: Services, join: Callable[[], Awaitable[None]], begin: Begin, on_fatal: Callable[[BaseException], None] | None
) -> AsyncIterator[None]:
    """Inside, ``join`` has succeeded and what ``begin`` begins is running. Raises what ``join`` raises.

    With ``on_fatal``, and a database that others use, too, an outage is waited for inside; then ``on_fatal`` hears of any other error.
    """
    try:
        await join()
    except Unavailable as error:
        if on_fatal is None or services.spooling is None:
            raise
        text = "the database is away: what providers deliver is kept in the spool, everything else waits"
        structlog.get_logger("join").warning(text, error=str(error))
    else:
        async with begin(services):
            yield
        return
    stop = asyncio.Event()
    task = asyncio.create_task(_later(services, join, begin, on_fatal, stop), name="join")
    try:
        yield
    finally:
        stop.set()
        await task


async def _later(
    services: Services, join: Callable[[], Awaitable[None]], begin: Begin, on_fatal: Callable[[BaseException], None], stop: asyncio.Event
) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await stop.wait()
                return
        try:
            await join()
        except Unavailable:
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, the node cannot work
            on_fatal(error)
            return
        structlog.get_logger("join").info("the database is back; joined")
        async with begin(services):
            await stop.wait()
