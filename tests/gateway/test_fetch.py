"""A stranger's address never leads into our own network: proved by a listener that counts connections."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web

from gateway.fetch import GuardedFetcher, is_public


@dataclass
class Target:
    """A server on loopback that must not be reached."""

    port: int
    connections: int = 0


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    found = Target(0)

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        writer.close()

    # Both families: "localhost" and mapped addresses go to either.
    server = await asyncio.start_server(count, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",  # noqa: S104
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127。0。0。1",
        "ⓛocalhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
    ],
)
async def test_no_form_of_a_private_address_is_connected(target: Target, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Take the port out of the question: the address alone must be refused.
    monkeypatch.setattr("gateway.fetch.PORTS", frozenset({target.port}))
    fetcher = GuardedFetcher()
    try:
        found = await fetcher.fetch(f"http://{host}:{target.port}/x", 1000)
    finally:
        await fetcher.close()
    assert found.data == b""
    assert found.problem
    assert target.connections == 0


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://x/", "gopher://x/", "data:text/plain,x", "unix:/run/x", "//x", "", "http://", "http://[", "x" * 10_000],
)
async def test_only_http_and_https(url: str) -> None:
    fetcher = GuardedFetcher()
    try:
        found = await fetcher.fetch(url, 1000)
    finally:
        await fetcher.close()
    assert found.problem
    assert not found.retry


@pytest.mark.parametrize("port", [22, 25, 6379, 8080])
async def test_only_the_webs_ports(port: int) -> None:
    fetcher = GuardedFetcher()
    try:
        assert (await fetcher.fetch(f"http://93.184.216.34:{port}/", 1000)).problem == f"the address of the file is refused: port {port}"
    finally:
        await fetcher.close()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("172.15.0.1", True),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("192.0.0.192", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fec0::1", False),
        ("64:ff9b:1::1", False),
        ("fe80::1%lo", False),
        ("2001::1", False),
        ("not an address", False),
    ],
)
def test_the_block_list(address: str, *, public: bool) -> None:
    assert is_public(address) is public


async def serve(handler_by_path: dict[str, web.Response | Exception], seen: list[dict[str, str]]) -> tuple[web.AppRunner, int]:
    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        answer = handler_by_path[request.path]
        if isinstance(answer, Exception):
            raise answer
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def test_an_exempt_server_is_fetched_and_bounded_and_its_redirects_are_guarded(target: Target) -> None:
    answers: dict[str, web.Response | Exception] = {
        "/ok": web.Response(body=b"hello", content_type="text/plain"),
        "/bomb": web.Response(body=gzip.compress(b"0" * 1_000_000), headers={"Content-Encoding": "gzip"}),
        "/inside": web.Response(status=302, headers={"Location": f"http://127.0.0.1:{target.port}/x"}),
        "/file": web.Response(status=302, headers={"Location": "file:///etc/passwd"}),
        "/again": web.Response(status=302, headers={"Location": "/ok"}),
        "/loop": web.Response(status=302, headers={"Location": "/loop"}),
        "/gone": web.Response(status=404),
        "/busy": web.Response(status=503),
    }
    seen: list[dict[str, str]] = []
    runner, port = await serve(answers, seen)
    fetcher = GuardedFetcher([f"127.0.0.1:{port}"])
    try:
        found = {path: await fetcher.fetch(f"http://127.0.0.1:{port}{path}", 10_000) for path in answers}
    finally:
        await fetcher.close()
        await runner.cleanup()
    assert found["/ok"].data == found["/again"].data == b"hello"
    assert found["/bomb"].data == b""
    assert "larger than" in found["/bomb"].problem
    assert "refused" in found["/inside"].problem
    assert target.connections == 0
    assert "only http and https" in found["/file"].problem
    assert "redirects too often" in found["/loop"].problem
    assert (found["/gone"].retry, found["/busy"].retry) == (False, True)
    assert all("Authorization" not in headers and "Cookie" not in headers for headers in seen)


async def test_a_server_that_is_not_there_may_come_back() -> None:
    listener = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    fetcher = GuardedFetcher([f"127.0.0.1:{port}"])
    try:
        found = await fetcher.fetch(f"http://127.0.0.1:{port}/", 1000)
    finally:
        await fetcher.close()
    assert found.retry
