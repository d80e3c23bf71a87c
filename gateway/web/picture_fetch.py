"""The way out for pictures that an agent asked for: guarded, bounded, a few at a time."""

import asyncio
from typing import Final

from config import Config
from connectors.abilities import FetchedMedia
from gateway.fetch import GuardedFetcher, loop_mark
from gateway.web.throttle import Rates

MAX_BYTES: Final = 5 * 1024 * 1024
FETCH_SECONDS: Final = 15.0
#: Of one agent: a newsletter's worth at once.
_PER_SECOND: Final = 10
_BURST: Final = 100
#: At the same time, of all agents.
_AT_ONCE: Final = 8


class RemotePictures:
    """The way out, for one gateway; made at the first use."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fetcher: GuardedFetcher | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.rates = Rates(_PER_SECOND, _BURST)

    async def fetch(self, url: str) -> FetchedMedia:
        """As :meth:`GuardedFetcher.fetch`."""
        if self._fetcher is None:
            config = self._config
            mark = loop_mark(config.server.secret_key)
            self._fetcher = GuardedFetcher(config.media.allow_private_hosts, config.public_url, mark)
        async with self._slots:
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    return await self._fetcher.fetch(url, MAX_BYTES)
            except TimeoutError:
                return FetchedMedia(problem="the picture's server did not answer in time")

    async def close(self) -> None:
        """Hang up."""
        if self._fetcher is not None:
            await self._fetcher.close()
