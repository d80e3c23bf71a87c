"""The default client: performs calls of any plain HTTP API over the gateway's shared session."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any, Final

import aiohttp
from msgspec.structs import replace

from connectors.contract import Call, ClientContext, Reply

#: Largest answer that is read, in bytes; providers' answers to a sending are a few hundred.
MAX_REPLY: Final = 1 << 20
#: Seconds for one call from beginning to end, and for its connection alone.
TOTAL_TIMEOUT: Final = 30.0
CONNECT_TIMEOUT: Final = 10.0

#: Shorter words are found in any text by chance.
_SHORTEST_CREDENTIAL: Final = 8

#: The request has not left us: nobody answered at the address, or there is no such address.
_NOT_WRITTEN: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)


def _no_credentials(_call: Call) -> Mapping[str, str]:
    return {}


class HttpClient:
    """Performs :class:`Call` s. Never raises for what the network does: that is ``Reply(status=0)``.

    ``credentials`` gives the headers that authenticate a call; they never become part of the call, which is kept and shown.
    """

    def __init__(
        self,
        context: ClientContext,
        credentials: Callable[[Call], Mapping[str, str]] = _no_credentials,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self._context = context
        self._credentials = credentials
        self._timeout = timeout_of(total_timeout)

    async def send(self, call: Call) -> Reply:
        """One request, one answer: no retry, no redirect, at most ``MAX_REPLY`` bytes of body."""
        body = await self._body(call)
        if isinstance(body, Reply):
            return body
        credentials = self._credentials(call)
        headers = {**call.headers, **credentials}
        reply = await exchange(self._context.session, call.method, call.url, headers=headers, timeout=self._timeout, **body)
        return hushed(reply, credentials.values()) if reply.status >= 300 else reply

    async def close(self) -> None:
        """Nothing to do: the session is lent."""

    async def _body(self, call: Call) -> dict[str, Any] | Reply:
        if call.uploads:
            form = aiohttp.FormData(quote_fields=False)
            for name, value in {**_strings(call.json), **(call.form or {})}.items():
                form.add_field(name, value)
            for upload in call.uploads:
                data = await stored_file(self._context, upload.stored)
                if isinstance(data, Reply):
                    return data
                # As a stream: aiohttp warns of bytes above 1 MiB, which would go out in one piece.
                form.add_field(upload.field, BytesIO(data), filename=header_safe(upload.name), content_type=upload.mime)
            return {"data": form}
        if call.form is not None:
            return {"data": dict(call.form)}
        return {} if call.json is None else {"json": call.json}


async def stored_file(context: ClientContext, stored: str) -> bytes | Reply:
    """The bytes of a file that goes out; or, if it cannot be read, a reply which says that nothing was sent."""
    try:
        return await context.read_file(stored)
    except Exception as error:  # noqa: BLE001  whatever it is, the provider has not seen the call
        return Reply(status=0, body=f"the file {stored} could not be read: {type(error).__name__}".encode(), written=False)


def timeout_of(total: float) -> aiohttp.ClientTimeout:
    """A limit for the whole exchange; connecting alone gets less, so that its failure is known to be harmless."""
    return aiohttp.ClientTimeout(total=total, connect=min(CONNECT_TIMEOUT, total / 2))


async def exchange(session: aiohttp.ClientSession, method: str, url: str, *, limit: int = MAX_REPLY, **options: Any) -> Reply:
    """One request over ``session`` as a :class:`Reply` of at most ``limit`` bytes; ``options`` are aiohttp's.

    With status 0 the body says in a few words what happened, without the URL: it may hold a credential.
    """
    try:
        async with session.request(method, url, allow_redirects=False, **options) as answer:
            body = await read_bounded(answer, limit)
            headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() != "set-cookie"}
            return Reply(status=answer.status, body=body, headers=headers)
    except _NOT_WRITTEN as error:
        return Reply(status=0, body=describe(error).encode(), written=False)
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        return Reply(status=0, body=describe(error).encode(), written=True)


async def read_bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The first ``limit`` bytes of the body. A longer one is cut: it will not parse, and that is the right answer to it."""
    chunks: list[bytes] = []
    left = limit
    async for chunk in answer.content.iter_chunked(64 * 1024):
        chunks.append(chunk[:left])
        left -= len(chunk)
        if left <= 0:
            answer.close()
            break
    return b"".join(chunks)


def hushed(reply: Reply, credentials: Iterable[str]) -> Reply:
    """``reply`` without what authenticated the call: some proxies repeat the whole request in their page of errors, and agents read it."""
    body = reply.body
    for value in credentials:
        # Of "Bearer …" the second word alone is as bad.
        for word in (value, *value.split()):
            if len(word) >= _SHORTEST_CREDENTIAL:
                body = body.replace(word.encode("utf-8", "surrogateescape"), b"********")
    return reply if body == reply.body else replace(reply, body=body)


def describe(error: BaseException) -> str:
    """What happened, without addresses: ``connection refused``, ``timeout``."""
    if isinstance(error, TimeoutError):
        return "timeout"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    words = cause.strerror if isinstance(cause, OSError) and isinstance(cause.strerror, str) else ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def header_safe(name: str) -> str:
    """A file name that can stand in a multipart header: no line breaks, no other control characters, no lone surrogates."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", name)[:255]


def _strings(value: Any) -> dict[str, str]:
    """A JSON object as form fields, beside which files can stand."""
    if value is None:
        return {}
    return {name: item if isinstance(item, str) else json.dumps(item) for name, item in value.items()}
