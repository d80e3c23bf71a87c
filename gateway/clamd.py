"""Asks ClamAV's daemon about a file. Sources: ``man 8 clamd`` and docs.clamav.net/manual/Usage/ClamdProtocol.html, read 2026-11.

A client of our own: it is a dozen lines, and those that there are read whole files into memory and wait without an end.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from config.address import ScannerAddress

CONNECT_SECONDS: Final = 5.0
#: For one file; clamd itself gives up after two minutes (``MaxScanTime``).
SCAN_SECONDS: Final = 130.0
#: clamd has ten threads unless told otherwise (``MaxThreads``); others may use it too.
AT_ONCE: Final = 4
_CHUNK: Final = 256 * 1024
_MOST_REPLY: Final = 4096
_MOST_NAME: Final = 200
#: After what we sent could not be sent: what it had said before it hung up is already here, or never comes.
_LAST_WORDS_SECONDS: Final = 1.0


class ScannerAway(Exception):
    """Nobody is there, or nobody answers, or the line was cut."""


class NotScanned(Exception):
    """It is there, and could not look at this file."""


def signatures_of(version: str) -> datetime | None:
    """When the signatures were made; of ``27800/Sun Nov 22 09:26:05 2026``, which stands behind the program in :meth:`Clamd.version`."""
    _, _, made = version.partition("/")
    try:
        return datetime.strptime(made.strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


class Clamd:
    """One daemon, at one address. Each question has a connection of its own, as the daemon wants it."""

    def __init__(self, address: ScannerAddress, *, seconds: float = SCAN_SECONDS) -> None:
        self._address = address
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)

    async def scan(self, path: Path) -> str:
        """What it found in the file, by its name; empty if nothing. Raises ScannerAway, NotScanned, OSError for the file."""
        async with self._places:
            size = (await asyncio.to_thread(path.stat)).st_size
            reply = await self._ask(b"zINSTREAM\0", path)
        said = reply.removeprefix("stream: ")
        if said == "OK":
            return ""
        if said.endswith(" FOUND"):
            name = "".join(char for char in said.removesuffix(" FOUND") if char.isprintable())
            return name[:_MOST_NAME] or "unnamed"
        if "size limit exceeded" in said:
            raise NotScanned(f"the scanner takes no file of {size} bytes: raise its StreamMaxLength")
        raise NotScanned(f"the scanner could not look at it: {said[:_MOST_NAME]}")

    async def version(self) -> str:
        """Of the program and its signatures: ``ClamAV 1.4.3/27800/Sun Nov 22 09:26:05 2026``. Raises ScannerAway."""
        return await self._ask(b"zVERSION\0", None)

    async def _ask(self, command: bytes, path: Path | None) -> str:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await self._connect()
            async with asyncio.timeout(self._seconds):
                answer = asyncio.ensure_future(reader.readuntil(b"\0"))
                try:
                    return await _talk(writer, answer, command, path)
                finally:
                    answer.cancel()
                    await asyncio.wait([answer])
                    if not answer.cancelled():
                        answer.exception()
        except TimeoutError:
            raise ScannerAway("the scanner did not answer in time") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ScannerAway("the scanner hung up without an answer") from None
        except asyncio.LimitOverrunError:
            raise NotScanned("the scanner's answer has no end") from None
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            if self._address.path:
                return await asyncio.open_unix_connection(self._address.path, limit=_MOST_REPLY)
            return await asyncio.open_connection(self._address.host, self._address.port, limit=_MOST_REPLY)
        except OSError as error:
            raise ScannerAway(f"the scanner cannot be reached ({error.strerror or type(error).__name__})") from None


async def _talk(writer: asyncio.StreamWriter, answer: "asyncio.Future[bytes]", command: bytes, path: Path | None) -> str:
    try:
        writer.write(command)
        if path is not None:
            await _stream(writer, answer, path)
        await writer.drain()
    except ConnectionError:
        # It hangs up in the middle of a file that is too large for it, and has said so before.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await asyncio.shield(answer)
        if not answer.done():
            raise
    return (await answer).rstrip(b"\0\n").decode(errors="replace").strip()


async def _stream(writer: asyncio.StreamWriter, answer: "asyncio.Future[bytes]", path: Path) -> None:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while (chunk := await asyncio.to_thread(file.read, _CHUNK)) and not answer.done():
            writer.write(len(chunk).to_bytes(4, "big") + chunk)
            await writer.drain()
    finally:
        await asyncio.to_thread(file.close)
    writer.write(bytes(4))
