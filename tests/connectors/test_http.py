"""The default client over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from connectors.contract import Call, ClientContext, Reply, Upload
from connectors.http import MAX_REPLY, HttpClient
from tests.support.serving import serving

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as ready:
        yield ready


def client(session: aiohttp.ClientSession, seconds: float = 5.0) -> HttpClient:
    async def read_file(stored: str) -> bytes:
        return {"med_1": b"x" * 3_000_000}[stored]

    context = ClientContext(session=session, channel="c", read_file=read_file)
    return HttpClient(context, lambda _call: {"Authorization": "Bearer canary"}, total_timeout=seconds)


async def ask(session: aiohttp.ClientSession, handler: Handler, seconds: float = 5.0) -> Reply:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handler)
    async with serving(app) as root:
        return await client(session, seconds).send(Call(method="POST", url=f"{root}/x", json={"a": 1}))


async def test_json_there_and_back(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        seen = {"body": await request.json(), "auth": request.headers["Authorization"]}
        return web.json_response(seen, status=201, headers={"X-Id": "7", "Set-Cookie": "a=b"})

    reply = await ask(session, handler)
    assert (reply.status, reply.headers["x-id"], "set-cookie" in reply.headers) == (201, "7", False)
    assert b'"auth": "Bearer canary"' in reply.body


async def test_forms_and_files(session: aiohttp.ClientSession) -> None:
    seen: list[dict[str, object]] = []

    async def handler(request: web.Request) -> web.Response:
        form = await request.post()
        seen.append(
            {
                name: (value.filename, value.content_type, len(value.file.read())) if isinstance(value, web.FileField) else value
                for name, value in form.items()
            }
        )
        return web.Response()

    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", handler)
    async with serving(app) as root:
        mine = client(session)
        await mine.send(Call(method="POST", url=root, form={"To": "+39", "Body": "é&="}))
        upload = Upload(field="file", name='a "b" ü\r\nX-Evil: 1.jpg', mime="image/jpeg", stored="med_1")
        await mine.send(Call(method="POST", url=root, json={"to": "x", "n": 1}, form={"k": "v"}, uploads=(upload,)))
        await mine.close()
    assert seen[0] == {"To": "+39", "Body": "é&="}
    assert seen[1] == {"to": "x", "n": "1", "k": "v", "file": ('a "b" ü__X-Evil: 1.jpg', "image/jpeg", 3_000_000)}


async def test_a_file_that_cannot_be_read_means_not_written(session: aiohttp.ClientSession) -> None:
    upload = Upload(field="file", name="a", mime="image/jpeg", stored="med_gone")
    reply = await client(session).send(Call(method="POST", url="http://127.0.0.1:1/", uploads=(upload,)))
    assert (reply.status, reply.written, reply.body) == (0, False, b"the file med_gone could not be read: KeyError")


async def test_redirects_are_not_followed(session: aiohttp.ClientSession) -> None:
    """Or credentials would go where a provider's answer says."""
    hits = 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal hits
        hits += 1
        return web.Response(status=307, headers={"Location": "/again"})

    assert (await ask(session, handler)).status == 307
    assert hits == 1


async def test_an_endless_answer_is_cut(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"x" * 65_536)
        return response

    reply = await ask(session, handler)
    assert (reply.status, len(reply.body)) == (200, MAX_REPLY)


async def test_refused_means_not_written(session: aiohttp.ClientSession) -> None:
    reply = await client(session).send(Call(method="GET", url="http://127.0.0.1:1/secret-path"))
    assert (reply.status, reply.written) == (0, False)
    assert b"secret-path" not in reply.body
    assert b"ClientConnectorError" in reply.body


@pytest.mark.parametrize("url", ["http://nowhere.invalid/", "http://[::1", "ftp://127.0.0.1/", "http://"])
async def test_an_address_that_is_none_means_not_written(session: aiohttp.ClientSession, url: str) -> None:
    reply = await client(session).send(Call(method="GET", url=url))
    assert (reply.status, reply.written) == (0, False)


async def test_a_reset_after_the_request_means_written(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        raise asyncio.CancelledError

    reply = await ask(session, handler)
    assert (reply.status, reply.written) == (0, True)


async def test_a_reset_within_the_answer_means_written(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    reply = await ask(session, handler)
    assert (reply.status, reply.written) == (0, True)


async def test_a_timeout_after_the_request_means_written(session: aiohttp.ClientSession) -> None:
    async def handler(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    reply = await ask(session, handler, seconds=0.2)
    assert (reply.status, reply.written, reply.body) == (0, True, b"timeout")


async def test_a_drip_ends_with_the_total_timeout(session: aiohttp.ClientSession) -> None:
    """B74: each byte in time, the whole not."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    reply = await ask(session, handler, seconds=0.3)
    assert (reply.status, reply.written) == (0, True)
