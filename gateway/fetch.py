"""Fetches an address that a stranger gave us, without becoming their way into our network.

What counts is the address that is *connected*, not what the text looks like: every resolved address is checked against
our own list, and the socket refuses to be made for any other.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from config import Secret
from connectors.abilities import FetchedMedia
from gateway.names import Resolver
from gateway.web.signing import derive_key

#: Says that a request is one of ours: what we fetch from ourselves we would fetch for ever.
LOOP_HEADER: Final = "Sportello-Fetch"
PORTS: Final = frozenset({80, 443, 8443})
MAX_REDIRECTS: Final = 3
CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 30.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CHUNK: Final = 64 * 1024

#: IANA special-purpose registries, read 2026-11: nothing here is a public host.
_BLOCKED_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: Only this block is given out to hosts; everything else (loopback, mapped, NAT64, ULA, link-local, …) is refused.
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_BLOCKED_6: Final = tuple(ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


class Blocked(OSError):
    """The address is not a public one; no packet was sent."""


def is_public(address: str) -> bool:
    """May we connect to this IP address?"""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        return ip in _GLOBAL_6 and not any(ip in network for network in _BLOCKED_6)
    return not any(ip in network for network in _BLOCKED_4)


def loop_mark(secret: Secret) -> str:
    """What this gateway, all its nodes, writes into :data:`LOOP_HEADER`. Another gateway's is none of our business."""
    return derive_key(secret, "loop").hex()[:32]


class _GuardedResolver(AbstractResolver):
    """Refuses a name as a whole if any of its addresses is not public: a mix is an attack, not an accident."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(entry["host"]) for entry in found):
            raise Blocked("not a public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _guarded_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, place = address
    if not is_public(str(place[0])):
        raise Blocked("not a public address")
    return socket.socket(family, kind, protocol)


class GuardedFetcher:
    """One per gateway; :meth:`close` it."""

    def __init__(self, allow_private: Sequence[str] = (), own_url: str = "", mark: str = "") -> None:
        """``allow_private``: ``host:port`` texts that are exempt from the guard. ``own_url``: the gateway's, ``mark``: its loop mark."""
        self._allowed = frozenset(entry.lower() for entry in allow_private)
        self._own = yarl.URL(own_url).host
        timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
        self._names = Resolver()
        guarded = aiohttp.TCPConnector(
            resolver=_GuardedResolver(self._names), socket_factory=_guarded_socket, use_dns_cache=False, force_close=True
        )
        headers = {LOOP_HEADER: mark} if mark else {}
        self._guarded = _session(guarded, timeout, headers)
        self._exempt = _session(aiohttp.TCPConnector(resolver=self._names, force_close=True), timeout, headers)

    async def close(self) -> None:
        await self._guarded.close()
        await self._exempt.close()
        await self._names.close()

    async def fetch(self, url: str, max_bytes: int) -> FetchedMedia:
        """The file at ``url``, at most ``max_bytes`` long after unpacking; or why not, in words for the agent. Never raises."""
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await self._follow(url, max_bytes)
        except Blocked as error:
            return FetchedMedia(problem=f"the address of the file is refused: {error}")
        except TimeoutError:
            return FetchedMedia(problem="the file's server did not answer in time", retry=True)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, Blocked):
                return FetchedMedia(problem="the address of the file is refused: not a public address")
            return FetchedMedia(problem="the file's server cannot be reached", retry=True)
        except (aiohttp.ClientError, OSError):
            return FetchedMedia(problem="the file's server broke off", retry=True)
        except ValueError:
            return FetchedMedia(problem="the address of the file is not valid")

    async def _follow(self, url: str, max_bytes: int) -> FetchedMedia:
        target = yarl.URL(url)
        for _ in range(MAX_REDIRECTS + 1):
            session = self._session_for(target)
            async with session.get(target, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _read(response, max_bytes)
                target = target.join(yarl.URL(response.headers.get("Location", "")))
        return FetchedMedia(problem="the file's server redirects too often")

    def _session_for(self, url: yarl.URL) -> aiohttp.ClientSession:
        """The session for ``url``. Raises Blocked."""
        if url.scheme not in {"http", "https"} or not url.host:
            raise Blocked("only http and https")
        if url.user is not None or url.password is not None:
            raise Blocked("it holds a user name")
        if f"{url.host}:{url.port}".lower() in self._allowed:
            return self._exempt
        if url.host == self._own:
            raise Blocked("it is our own")
        if url.port not in PORTS:
            raise Blocked(f"port {url.port}")
        return self._guarded


def _session(connector: aiohttp.TCPConnector, timeout: aiohttp.ClientTimeout, headers: dict[str, str]) -> aiohttp.ClientSession:
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False, cookie_jar=jar, headers=headers)


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> FetchedMedia:
    if response.status != 200:
        retry = response.status >= 500 or response.status in {408, 425, 429}
        return FetchedMedia(problem=f"the file's server answered {response.status}", retry=retry)
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > max_bytes:
            return FetchedMedia(problem=f"the file is larger than {max_bytes // (1024 * 1024) or 1} MiB")
    return FetchedMedia(data=bytes(data), mime=response.content_type)
