"""A ClamAV daemon, as far as files that are streamed to it are concerned: real sockets, no signatures but the one for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

#: What every scanner finds, put together here so that none finds it in this file.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = "Eicar-Test-Signature"
VERSION = "ClamAV 1.4.3/27800/Sun Nov 22 09:26:05 2026"


@dataclass(eq=False)
class FakeClamd:
    """``StreamMaxLength`` is ``limit``; tests say how it misbehaves."""

    socket: Path | None = None
    limit: int = 25 * 1024 * 1024
    #: Reads all and never answers.
    silent: bool = False
    #: Hangs up after so many bytes of a stream.
    drops_after: int | None = None
    #: Said instead of an answer.
    says: bytes = b""
    version: str = VERSION
    #: Nobody gets an answer before so many have asked.
    together: asyncio.Barrier | None = None
    #: How many asked at once, at most.
    most: int = 0
    #: All commands, and all that was streamed to an end.
    commands: list[str] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _port: int = 0
    _asking: int = 0

    @property
    def url(self) -> str:
        return f"clamd://{self.socket}" if self.socket is not None else f"clamd://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen; after a stop at the same address."""
        if self.socket is not None:
            self._server = await asyncio.start_unix_server(self._serve, self.socket)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self.socket is not None:
            self.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            command = (await reader.readuntil(b"\0")).rstrip(b"\0").decode()
            self.commands.append(command)
            answer = await self._in_turn(command, reader)
            if self.silent:
                await reader.read()
            elif answer:
                writer.write(self.says or answer + b"\0")
                await writer.drain()
        writer.close()

    async def _in_turn(self, command: str, reader: asyncio.StreamReader) -> bytes:
        self._asking += 1
        self.most = max(self.most, self._asking)
        try:
            answer = await self._answer(command, reader)
            if self.together is not None:
                await self.together.wait()
        finally:
            # Before it is said: whoever hears it may ask again at once.
            self._asking -= 1
        return answer

    async def _answer(self, command: str, reader: asyncio.StreamReader) -> bytes:
        match command:
            case "zPING":
                return b"PONG"
            case "zVERSION":
                return self.version.encode()
            case "zINSTREAM":
                return await self._scan(reader)
            case _:
                return b"UNKNOWN COMMAND"

    async def _scan(self, reader: asyncio.StreamReader) -> bytes:
        data = b""
        while length := int.from_bytes(await reader.readexactly(4), "big"):
            data += await reader.readexactly(length)
            if self.drops_after is not None and len(data) >= self.drops_after:
                return b""
            if len(data) > self.limit:
                return b"INSTREAM size limit exceeded. ERROR"
        self.streams.append(data)
        return f"stream: {SIGNATURE} FOUND".encode() if EICAR in data else b"stream: OK"


@contextlib.asynccontextmanager
async def fake_clamd(socket: Path | None = None) -> AsyncIterator[FakeClamd]:
    """One that listens."""
    scanner = FakeClamd(socket=socket)
    await scanner.start()
    try:
        yield scanner
    finally:
        await scanner.stop()
