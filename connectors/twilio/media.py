"""Files that people sent, from where Twilio keeps them.

Twilio's own address wants the account's credentials and sends on to a store without any; the credentials go to Twilio alone.
Source: twilio.com/docs/messaging/api/media-resource, read 2026-11.
"""

import errno
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from connectors.abilities import FetchedMedia
from connectors.contract import Reply
from connectors.http import exchange, timeout_of

MAX_REDIRECTS: Final = 3
FETCH_TIMEOUT: Final = 60.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_INSIDE: Final = "not a public address"


class NotPublic(OSError):
    """The address is not a public one; no packet was sent."""


def _check(address: str) -> None:
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    if not ip.is_global or ip.is_multicast:
        # With a number, so that the words come through aiohttp.
        raise NotPublic(errno.EACCES, _INSIDE)


def _public_socket(address: tuple[Any, ...]) -> socket.socket:
    """What counts is what is connected to: whatever a name or a redirect looks like, it comes through here."""
    family, kind, protocol, _, place = address
    _check(str(place[0]))
    return socket.socket(family, kind, protocol)


class MediaStore:
    """Fetches by address: Twilio's with credentials over the shared session, any other without and only in public."""

    def __init__(self, session: aiohttp.ClientSession, api_base: str, credentials: tuple[str, str]) -> None:
        self._session = session
        self._base = urlsplit(api_base)
        self._authorization = {"Authorization": aiohttp.encode_basic_auth(*credentials)}
        self._public: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._public is not None:
            await self._public.close()

    async def fetch(self, url: str, max_bytes: int) -> FetchedMedia:
        """The file, at most ``max_bytes`` long; or why not, in words for the agent. Never raises."""
        for _ in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme not in ("http", "https"):
                return FetchedMedia(problem="The file's address is not one of the web.")
            # One byte more than allowed tells a file that is too large.
            reply = await self.ask("GET", url, limit=max_bytes + 1)
            location = reply.headers.get("location", "")
            if reply.status in _REDIRECTS and location:
                url = urljoin(url, location)
                continue
            return _judged(reply, max_bytes)
        return FetchedMedia(problem=f"The file's address leads on more than {MAX_REDIRECTS} times.")

    async def ask(self, method: str, url: str, limit: int) -> Reply:
        """One request; with credentials only if it goes to Twilio."""
        session, headers = self._way(url)
        return await exchange(session, method, url, limit=limit, headers=headers, timeout=timeout_of(FETCH_TIMEOUT))

    def is_ours(self, url: str) -> bool:
        """Is this address Twilio's, as configured: same scheme, host and port?"""
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc.lower()) == (self._base.scheme, self._base.netloc.lower())

    def _way(self, url: str) -> tuple[aiohttp.ClientSession, Mapping[str, str]]:
        if self.is_ours(url):
            return self._session, self._authorization
        if urlsplit(url).hostname == self._base.hostname:
            # A simulator's second port: the operator has named this host.
            return self._session, {}
        if self._public is None:
            connector = aiohttp.TCPConnector(socket_factory=_public_socket)
            self._public = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._public, {}


def _judged(reply: Reply, max_bytes: int) -> FetchedMedia:
    match reply.status:
        case 200 if len(reply.body) > max_bytes:
            return FetchedMedia(problem=f"The file is larger than {max_bytes} bytes.")
        case 200:
            return FetchedMedia(data=reply.body, mime=reply.headers.get("content-type", "").partition(";")[0].strip().lower())
        case 404 | 410:
            # Twilio announces a file some seconds before it can be had.
            return FetchedMedia(problem="Twilio does not have the file.", retry=reply.status == 404)
        case 401 | 403:
            return FetchedMedia(problem=f"The file could not be fetched: access refused ({reply.status}).", retry=True)
        case 0:
            words = reply.body.decode("utf-8", "replace")[:200]
            return FetchedMedia(problem=f"The file could not be fetched ({words}).", retry=_INSIDE not in words)
        case status:
            return FetchedMedia(problem=f"The file could not be fetched (status {status}).", retry=status >= 500 or status == 429)
