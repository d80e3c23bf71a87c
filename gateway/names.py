"""Finds the addresses of names without threads, so that one name server that does not answer delays nobody else's names.

The system's own way keeps a thread for each question, for up to half a minute; uvloop has two threads for it. Here a question is a
datagram. ``/etc/hosts`` and ``/etc/resolv.conf`` are read, the latter again when it changes.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiohttp.abc import ResolveResult

#: A name that is not found after so many seconds cannot be found now. Less than the clients' time for a connection.
SECONDS: Final = 5.0
#: A lost datagram is sent again after so many seconds.
_AGAIN_SECONDS: Final = 1.5


class Resolver(aiohttp.AsyncResolver):
    """For aiohttp's connectors; whoever makes one closes it. ``servers`` are ``address:port``, the default is the system's."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        super().__init__(nameservers=list(servers) or None, timeout=_AGAIN_SECONDS, tries=3)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of ``host``. Raises OSError, at the latest after :data:`SECONDS`."""
        try:
            async with asyncio.timeout(SECONDS):
                return await super().resolve(host, port, family)
        except TimeoutError:
            raise OSError(None, "the name servers do not answer") from None
