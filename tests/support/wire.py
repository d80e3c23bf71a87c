"""HTTP and WebSocket by hand: for what no well-behaved client would send."""

import asyncio
import base64
import os
import struct
from collections.abc import Mapping

TIMEOUT = 15.0


async def raw_http(port: int, data: bytes, *, finish: bool = False) -> tuple[int, bytes]:
    """Send exactly ``data``; the status (0: the connection was closed without one) and all bytes that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        if finish:
            writer.write_eof()
        async with asyncio.timeout(TIMEOUT):
            answer = await reader.read(65536)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    first = answer.split(b"\r\n", 1)[0].split(b" ")
    return (int(first[1]) if len(first) > 1 else 0), answer


class RawSocket:
    """A WebSocket client without manners."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, path: str, headers: Mapping[str, str], *, read_buffer: int = 65536) -> "RawSocket":
        """Upgrade; raises AssertionError if that is refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=read_buffer)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return cls(reader, writer)

    def frame(self, payload: bytes, *, opcode: int = 1, final: bool = True, reserved: int = 0, masked: bool = True) -> None:
        """Write one frame."""
        first = (0x80 if final else 0) | reserved | opcode
        flag = 0x80 if masked else 0
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", first, flag | size)
        elif size < 65536:
            head = struct.pack("!BBH", first, flag | 126, size)
        else:
            head = struct.pack("!BBQ", first, flag | 127, size)
        self.writer.write(head + (b"\0\0\0\0" if masked else b"") + payload)

    async def close_code(self) -> int:
        """Read on until the close frame; its code, or 1006 if the connection just ends."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while True:
                    opcode, payload = await self._read()
                    if opcode == 8:
                        return int(struct.unpack("!H", payload[:2])[0]) if len(payload) >= 2 else 1005
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006
        finally:
            self.writer.close()

    async def _read(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)
