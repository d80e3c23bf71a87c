"""A name server on loopback that a test can have say something else, or nothing."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_HEADER: Final = struct.Struct(">HHHHHH")
_A: Final = 1
_ANSWER: Final = 0x8180
_NO_SUCH_NAME: Final = 0x8183


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers questions for IPv4 addresses. What it is not told of does not exist; what is mapped to "" is never answered."""

    names: dict[str, str]
    #: Of an answer, in seconds.
    life: int = 0
    #: Where it listens; with the port 53 this is all that a machine is told of it.
    address: str = ""
    #: Every question, in its order.
    asked: list[str] = field(default_factory=list)
    _transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, kind, end = _question(data)
        self.asked.append(name)
        address = self.names.get(name)
        if address == "":
            return
        flags, answers = (_NO_SUCH_NAME, b"") if address is None else (_ANSWER, b"")
        if address is not None and kind == _A:
            # The name is the question's own, at byte 12.
            answers = struct.pack(">HHHIH", 0xC00C, _A, 1, self.life, 4) + socket.inet_aton(address)
        number = _HEADER.unpack_from(data)[0]
        self._transport.sendto(_HEADER.pack(number, flags, 1, bool(answers), 0, 0) + data[12:end] + answers, addr)


def _question(data: bytes) -> tuple[str, int, int]:
    """(name, type, where it ends)"""
    labels, at = [], 12
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    return ".".join(labels).lower(), int.from_bytes(data[at + 1 : at + 3]), at + 5


@contextlib.asynccontextmanager
async def name_server(names: Mapping[str, str], address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[tuple[NameServer, str]]:
    """The server, and its ``address:port``."""
    server = NameServer(dict(names))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=(address, port))
    try:
        server.address, found = transport.get_extra_info("sockname")
        yield server, f"{server.address}:{found}"
    finally:
        transport.close()
