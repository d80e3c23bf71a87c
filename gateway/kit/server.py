"""Scripted providers on loopback ports, and a session that reaches nothing else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.contract import ClientContext

#: The bytes of every stored file that goes out.
STORED: Final = b"kit 4711 " * 100
_LIMIT: Final = 64 * 1024


@dataclass(slots=True)
class Heard:
    """What a server was asked: everything that came, as text."""

    requests: list[str] = field(default_factory=list)


Handler = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def serving(handle: Handler, heard: Heard) -> AsyncIterator[tuple[str, int]]:
    """An HTTP server; gives (host, port)."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read(_LIMIT)
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        heard.requests.append(f"{request.method} {request.path_qs}\n{headers}\n\n{body.decode('utf-8', 'replace')}")
        assert isinstance(request, web.Request)
        return handle(request)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "127.0.0.1", runner.addresses[0][1]
    finally:
        await runner.cleanup()


Says = Callable[[Sequence[bytes]], bytes | None]


class Silent:
    """A server that takes everything and says nothing; or hangs up when something has come.

    One that ``says`` something (see ``Talk.says``) does so only when it has got the whole message.
    """

    def __init__(self, *, hang_up: bool, says: Says | None) -> None:
        self._hang_up = hang_up
        self._says = says
        self.got = asyncio.Event()
        self.connected = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.append(writer)
        self.connected.set()
        lines: list[bytes] = []
        try:
            if self._says is not None:
                writer.write(self._says(lines) or b"")
            while data := await (reader.read(_LIMIT) if self._says is None else reader.readline()):
                lines.append(data)
                answer = self._says(lines) if self._says is not None else None
                if answer is not None:
                    writer.write(answer)
                    continue
                self.got.set()
                if self._hang_up:
                    writer.transport.abort()
                    return
        except OSError:
            return

    def drop(self) -> None:
        """Ends all connections."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def silent(*, hang_up: bool, says: Says | None = None) -> AsyncIterator[tuple[Silent, str, int]]:
    """Gives the server, host and port."""
    mute = Silent(hang_up=hang_up, says=says)
    server = await asyncio.start_server(mute.meet, "127.0.0.1", 0)
    try:
        yield mute, "127.0.0.1", server.sockets[0].getsockname()[1]
    finally:
        mute.drop()
        server.close()
        await server.wait_closed()


class _NoNames(AbstractResolver):
    """Every name is an address in a private network, of which nobody may be asked."""

    def __init__(self, tried: list[str]) -> None:
        self._tried = tried

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        self._tried.append(host)
        raise OSError(f"the kit resolves no names: {host}:{port} {family.name}")

    async def close(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def contained(*, linked: str = "") -> AsyncIterator[tuple[ClientContext, list[str]]]:
    """What the gateway lends to a client, in a world of loopback only; and the list of other places that it tried."""
    tried: list[str] = []

    def make_socket(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = address
        if place[0] != "127.0.0.1":
            tried.append(f"{place[0]}:{place[1]}")
            raise OSError("outside of the kit")
        return socket.socket(family, kind, protocol)

    async def read_file(stored: str) -> bytes:
        return STORED if stored else b""

    async def link_file(stored: str, *, for_people: bool = False) -> str:
        del for_people
        return f"{linked or 'https://gateway.example'}/files/{stored}"

    connector = aiohttp.TCPConnector(resolver=_NoNames(tried), socket_factory=make_socket, force_close=True)
    async with aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield ClientContext(session=session, channel="kit", read_file=read_file, link_file=link_file), tried
