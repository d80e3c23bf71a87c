"""B71-B75: names that lie, redirects that lead inside, servers that never end, and ourselves."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.abc import ResolveResult

from gateway.fetch import LOOP_HEADER, GuardedFetcher, loop_mark
from gateway.names import Resolver
from tests.support.cast import Cast

PUBLIC = "93.184.216.34"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handle: Handler) -> AsyncIterator[int]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def untouched() -> AsyncIterator[int]:
    """A port that nobody may connect to."""
    visits: list[None] = []

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(None)
        writer.close()

    async with listening(count) as port:
        yield port
    assert not visits


@contextlib.asynccontextmanager
async def fetching(*allowed: str, **more: str) -> AsyncIterator[GuardedFetcher]:
    fetcher = GuardedFetcher(allowed, **more)
    try:
        yield fetcher
    finally:
        await fetcher.close()


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The name server gives these addresses, one list at each question; the names that it was asked."""
    asked: list[str] = []

    async def resolve(_: Any, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        del family
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for address, kind in zip(found, kinds, strict=True)
        ]

    monkeypatch.setattr(Resolver, "resolve", resolve)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], ["2606:4700::1111", "::1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]],
)
async def test_b71_a_name_with_any_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    async with untouched() as port, fetching() as fetcher:
        monkeypatch.setattr("gateway.fetch.PORTS", frozenset({port}))
        asked = resolving(monkeypatch, addresses)
        found = await fetcher.fetch(f"http://shop.example:{port}/x", 1000)
        assert asked == ["shop.example"]
    assert found.problem == "the address of the file is refused: not a public address"
    assert not found.retry


async def test_b71_a_name_is_asked_once_for_each_connection_and_never_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public at the check, private at the connection: there is no second look that could differ, and the next fetch looks anew."""
    made: list[str] = []
    real = socket.socket

    def never(family: int = -1, *rest: Any, **more: Any) -> socket.socket:
        made.append("socket")
        found = real(family, *rest, **more)
        found.close()
        return found

    async with untouched() as port, fetching() as fetcher:
        monkeypatch.setattr("gateway.fetch.PORTS", frozenset({port}))
        asked = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
        monkeypatch.setattr("gateway.fetch.socket.socket", never)
        # The socket for the public address is made, but leads nowhere here.
        first = await fetcher.fetch(f"http://shop.example:{port}/x", 1000)
        monkeypatch.undo()
        assert (len(asked), len(made), bool(first.problem)) == (1, 1, True)
        monkeypatch.setattr("gateway.fetch.PORTS", frozenset({port}))
        asked = resolving(monkeypatch, ["127.0.0.1"])
        assert "refused" in (await fetcher.fetch(f"http://shop.example:{port}/x", 1000)).problem
        assert asked == ["shop.example"]


async def test_b71_the_socket_is_the_second_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the names were not checked."""
    async with untouched() as port, fetching() as fetcher:
        monkeypatch.setattr("gateway.fetch.PORTS", frozenset({port}))
        monkeypatch.setattr("gateway.fetch._GuardedResolver.resolve", Resolver().resolve)
        resolving(monkeypatch, ["127.0.0.1"])
        assert "refused" in (await fetcher.fetch(f"http://localhost:{port}/x", 1000)).problem


async def test_b71_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    answer = _saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    async with untouched() as port, listening(answer) as open_, fetching(f"127.0.0.1:{open_}") as fetcher:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert (await fetcher.fetch(f"http://127.0.0.1:{open_}/", 1000)).data == b"ok"
        assert "refused" in (await fetcher.fetch("http://10.0.0.1/x", 1000)).problem


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://[::ffff:127.0.0.1]/", "file:///etc/passwd", "http://u:p@x/"]
)
async def test_b72_every_redirect_is_judged_anew(monkeypatch: pytest.MonkeyPatch, status: int, to: str) -> None:
    async with untouched() as port:
        monkeypatch.setattr("gateway.fetch.PORTS", frozenset({port, 80}))
        head = f"HTTP/1.1 {status} x\r\nLocation: {to.format(port=port)}\r\nContent-Length: 0\r\n\r\n"
        async with listening(_saying(head.encode())) as first, fetching(f"127.0.0.1:{first}") as fetcher:
            assert "refused" in (await fetcher.fetch(f"http://127.0.0.1:{first}/", 1000)).problem


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com@127.0.0.1/",
        "http://a\\@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1?@example.com/",
        "http://example.com:80@127.0.0.1/",
        "http://127.0.0.1:25/",
        "http://127.0.0.1:6379/%0d%0aFLUSHALL",
        "http://127.0.0.1/\r\nHost: x",
        "http://exa\r\nmple.com/",
        "http://127.0.0.1%00.example.com/",
        "http://[::1%25lo]/",
        "jar:http://127.0.0.1/",
        "HTTP+unix://run/x",
    ],
)
async def test_b73_spellings_that_parsers_read_in_two_ways(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    made: list[tuple[Any, ...]] = []
    real = socket.socket

    def noted(*parts: Any, **more: Any) -> socket.socket:
        made.append(parts)
        return real(*parts, **more)

    resolving(monkeypatch, ["127.0.0.1"])
    async with fetching() as fetcher:
        monkeypatch.setattr("gateway.fetch.socket.socket", noted)
        found = await fetcher.fetch(url, 1000)
    assert found.problem
    assert not found.data
    assert not made


@pytest.mark.parametrize("rest", ["drip", "silence"])
async def test_b74_a_server_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" if rest == "drip" else b"")
            while not reader.at_eof():
                writer.write(b"x" if rest == "drip" else b"")
                await writer.drain()
                # How slowly it drips.
                await asyncio.sleep(0.02)
        writer.close()

    monkeypatch.setattr("gateway.fetch.TOTAL_SECONDS", 0.3)
    async with listening(handle) as port, fetching(f"127.0.0.1:{port}") as fetcher:
        found = await fetcher.fetch(f"http://127.0.0.1:{port}/", 10_000_000)
    assert found.problem == "the file's server did not answer in time"


async def test_b74_the_time_is_for_all_hops_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # How slow it is.
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    monkeypatch.setattr("gateway.fetch.TOTAL_SECONDS", 0.5)
    async with listening(handle) as port, fetching(f"127.0.0.1:{port}") as fetcher:
        found = await fetcher.fetch(f"http://127.0.0.1:{port}/", 1000)
    assert found.problem == "the file's server did not answer in time"


async def test_b74_an_endless_body_is_cut_off_where_the_limit_is() -> None:
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
                sent += 65536
        writer.close()

    async with listening(handle) as port, fetching(f"127.0.0.1:{port}") as fetcher:
        found = await fetcher.fetch(f"http://127.0.0.1:{port}/", 1024 * 1024)
    assert found.problem == "the file is larger than 1 MiB"
    assert sent < 64 * 1024 * 1024


async def test_b75_our_own_address_is_not_fetched() -> None:
    async with fetching(own_url="https://Shop.example.org/base") as fetcher:
        assert (
            await fetcher.fetch("https://shop.EXAMPLE.org/files/x", 1000)
        ).problem == "the address of the file is refused: it is our own"


async def test_b75_under_another_name_the_gateway_knows_itself(stage: Cast) -> None:
    """One hop: the request that comes back to us ends there. Another gateway's is welcome."""
    config = stage.gateway.services.config
    mark = loop_mark(config.server.secret_key)
    for path in ("/files/x", "/api/v1/me", "/webhooks/bot", "/health/live"):
        status, _, body = await stage.gateway.request("GET", path, headers={LOOP_HEADER: mark})
        assert (status, b'"loop"' in body) == (403, True)
    for other in ("", "x", "é", mark[:-1]):
        assert (await stage.gateway.request("GET", "/files/x", headers={LOOP_HEADER: other}))[0] == 404
    async with fetching(f"127.0.0.1:{stage.gateway.port}", mark=mark) as fetcher:
        assert (await fetcher.fetch(f"{stage.gateway.url}/", 10_000)).problem == "the file's server answered 403"


def _saying(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    return handle
