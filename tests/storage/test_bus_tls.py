"""The bus over TLS: a server whose certificate does not fit is not spoken to."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storage.buses import open_bus
from tests.support.redis import running_server
from tests.support.waiting import until


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself: (certificate, key)."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("NOT TESTED: openssl is missing")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=cache", "-addext", "subjectAltName=IP:127.0.0.1"]
    made: list[str | Path] = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, "-keyout", key, "-out", cert]
    subprocess.run([program, *made], check=True, capture_output=True, timeout=60)
    return cert, key


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tls_in_front_of(port: int, certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    """The port where the server can be reached by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as front:
        yield front.sockets[0].getsockname()[1]


async def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    async with running_server(tmp_path / "redis") as server, tls_in_front_of(server.port, certificate) as port:
        one = await open_bus(f"rediss://127.0.0.1:{port}?ca={certificate[0]}&timeout=2")
        two = await open_bus(f"rediss://127.0.0.1:{port}?ca={certificate[0]}&timeout=2")
        heard: list[bytes] = []
        two.hear("word", heard.append)
        assert one.state == two.state == ""
        one.tell("word", b"secretly")
        await until(lambda: heard == [b"secretly"])
        stranger = await open_bus(f"rediss://127.0.0.1:{port}?timeout=2")
        assert "certificate" in stranger.state.lower()
        other_name = await open_bus(f"rediss://localhost:{port}?ca={certificate[0]}&timeout=2")
        assert "certificate" in other_name.state.lower()
        nowhere = await open_bus(f"rediss://127.0.0.1:{port}?ca={tmp_path}/missing.pem&timeout=2")
        assert nowhere.state
        for bus in (one, two, stranger, other_name, nowhere):
            await bus.close()
