"""Calls of the Graph API over the gateway's shared session. The token travels in a header, never in an address."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from connectors.abilities import FetchedMedia
from connectors.contract import Call, ClientContext, Reply
from connectors.http import HttpClient, describe, exchange, timeout_of
from connectors.meta.access import Access, graph_url

#: Seconds; files of 100 MB over a slow line need the longer one.
CALL_TIMEOUT: Final = 30.0
FILE_TIMEOUT: Final = 180.0
#: Where Meta keeps files: a link elsewhere is not one of Meta's, and gets neither a request nor our token.
MEDIA_HOSTS: Final = ("fbcdn.net", "fbsbx.com", "cdninstagram.com", "facebook.com", "instagram.com", "whatsapp.net", "whatsapp.com")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 3
_MAX_PAGES: Final = 100


class Download(Struct, frozen=True, kw_only=True):
    """What became of fetching a file's bytes."""

    #: HTTP status of the last answer; 0: none came.
    status: int
    data: bytes = b""
    mime: str = ""
    #: In a few words; empty if there is data.
    problem: str = ""
    too_large: bool = False


class GraphClient:
    """Client of one account. Products build theirs on it."""

    def __init__(self, settings: Access, context: ClientContext) -> None:
        self._settings = settings
        self._context = context
        self._http = HttpClient(context, lambda _: self._bearer(), FILE_TIMEOUT)

    async def send(self, call: Call) -> Reply:
        """Performs one call; a call with files as multipart."""
        if not same_origin(call.url, self._settings.graph_base):
            return Reply(status=0, body=b"the call is not for the Graph API that is configured", written=False)
        if call.uploads:
            return await self._http.send(call)
        return await self.ask(call.method, call.url, json=call.json)

    async def close(self) -> None:
        """Nothing to do: the session is lent."""

    async def ask(self, method: str, url: str, *, json: Any = None, params: Mapping[str, str] | None = None) -> Reply:
        """One call of ``url`` (see :func:`graph_url`). Never raises for what the network does."""
        options: dict[str, Any] = {} if json is None else {"json": json}
        return await exchange(
            self._context.session,
            method,
            url,
            headers=self._bearer(),
            params=dict(params or {}),
            timeout=timeout_of(CALL_TIMEOUT),
            **options,
        )

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """``GET /<version>/<path>``."""
        return await self.ask("GET", graph_url(self._settings, path), params=params)

    async def post(self, path: str, json: Any = None, params: Mapping[str, str] | None = None) -> Reply:
        """``POST /<version>/<path>``."""
        return await self.ask("POST", graph_url(self._settings, path), json=json, params=params)

    async def items(self, path: str, params: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        """All of a list, page by page. Raises OSError if a page does not come.

        By the cursor and not by ``paging.next``: that address carries the token.
        """
        after = ""
        for _ in range(_MAX_PAGES):
            reply = await self.get(path, {**(params or {}), **({"after": after} if after else {})})
            page = self.result(reply)
            if page is None or not isinstance(page.get("data"), list):
                raise OSError(f"Meta did not give the list {path.rpartition('/')[2]} (status {reply.status})")
            for item in page["data"]:
                yield item
            paging = page.get("paging") or {}
            cursor = str((paging.get("cursors") or {}).get("after") or "")
            if not paging.get("next") or not cursor or cursor == after:
                return
            after = cursor

    def result(self, reply: Reply) -> dict[str, Any] | None:
        """The JSON object of a good answer; None otherwise."""
        if not 200 <= reply.status < 300:
            return None
        try:
            found = msgspec.json.decode(reply.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    async def download(self, url: str, max_bytes: int, *, bearer: bool) -> Download:
        """The bytes behind a link of Meta's. ``bearer``: the first host wants our token; no other ever gets it."""
        first = url
        for _ in range(_MAX_REDIRECTS + 1):
            if not accept_media_url(url, self._settings.graph_base):
                return Download(status=0, problem="the link does not lead to a host of Meta's")
            headers = self._bearer() if bearer and same_origin(url, first) else {}
            found = await self._bytes(url, headers, max_bytes)
            if isinstance(found, Download):
                return found
            url = urljoin(url, found)
        return Download(status=0, problem="too many redirects")

    async def _bytes(self, url: str, headers: Mapping[str, str], max_bytes: int) -> Download | str:
        """The file, or where it has gone."""
        try:
            async with self._context.session.get(url, headers=headers, timeout=timeout_of(FILE_TIMEOUT), allow_redirects=False) as answer:
                if answer.status in _REDIRECTS and "location" in answer.headers:
                    return answer.headers["location"]
                if answer.status != 200:
                    return Download(status=answer.status, problem=f"status {answer.status}")
                data = bytearray()
                async for chunk in answer.content.iter_chunked(64 * 1024):
                    data += chunk
                    if len(data) > max_bytes:
                        return Download(status=200, problem=f"larger than {max_bytes} bytes", too_large=True)
                return Download(status=200, data=bytes(data), mime=answer.content_type)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Download(status=0, problem=describe(error))

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._settings.access_token.reveal()}"}


def fetched(found: Download, *, mime: str = "", name: str = "") -> FetchedMedia:
    """A download as the gateway wants it; ``mime`` and ``name`` where the provider has told them."""
    if found.too_large:
        return FetchedMedia(problem=f"The file is {found.problem}.")
    if found.problem:
        final = found.status in (404, 410)
        return FetchedMedia(problem=f"Meta did not give the file ({found.problem}).", retry=not final)
    return FetchedMedia(data=found.data, mime=mime or found.mime, name=name)


def same_origin(one: str, other: str) -> bool:
    """Do both addresses have the same scheme, host and port?"""
    return _origin(one) == _origin(other) != ("", "", 0)


def accept_media_url(url: str, graph_base: str) -> bool:
    """May a file be fetched from there: https and one of Meta's hosts, or the very server that plays the Graph API."""
    scheme, host, port = _origin(url)
    if same_origin(url, graph_base):
        return True
    return scheme == "https" and port == 443 and any(host == known or host.endswith(f".{known}") for known in MEDIA_HOSTS)


def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.username or parts.password:
            return "", "", 0
        return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", 0
