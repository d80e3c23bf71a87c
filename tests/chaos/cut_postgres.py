"""PostgreSQL as the victim of a power cut: its data folder on the disk that is cut, and a writer through the real store."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from storage import open_store
from storage.protocol import WHOLE
from tests.support.postgres import PostgresServer
from tests.support.process import ROOT

_PAGE: Final = 5000
_DATABASE: Final = "postgres"


@dataclass(slots=True)
class PostgresVictim:
    """A server and a writer."""

    server: PostgresServer
    writer: asyncio.subprocess.Process
    said: bytearray = field(default_factory=bytearray)

    def pids(self) -> Collection[int]:
        """See :class:`tests.chaos.powercut.Victim`. The writer first: nothing may be acknowledged after the cut."""
        assert self.server._process is not None
        return [self.writer.pid, self.server._process.pid, *self.server._children()]

    async def listen(self) -> None:
        """Keep what the writer says."""
        assert self.writer.stdout is not None
        while data := await self.writer.stdout.read(65536):
            self.said += data

    async def acknowledged(self) -> set[str]:
        """All whole lines; the writer stands still, so the pipe is soon empty."""
        before = -1
        while before != len(self.said):
            before = len(self.said)
            await asyncio.sleep(0.1)
        return set(bytes(self.said).rpartition(b"\n")[0].decode().split())


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """``lazily``: the server answers before the disk has it; the control."""

    name: str = "postgresql"
    lazily: bool = False

    def _server(self, folder: Path) -> PostgresServer:
        return PostgresServer(folder / "pg", durable=True, settings={"synchronous_commit": "off"} if self.lazily else {})

    @contextlib.asynccontextmanager
    async def writing(self, folder: Path) -> AsyncIterator[PostgresVictim]:
        """See :class:`tests.chaos.powercut.Target`."""
        server = self._server(folder)
        await asyncio.to_thread(server.start)
        # The folder was made without syncs, for speed; an operator's is old and on the disk.
        await asyncio.to_thread(_sync, folder)
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.cut_writer", server.url(_DATABASE), *(["--lazily"] if self.lazily else [])),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        victim = PostgresVictim(server, writer)
        listening = asyncio.create_task(victim.listen())
        try:
            while not victim.said:
                await asyncio.sleep(0.02)
                assert writer.returncode is None, "the writer has died"
            yield victim
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(writer.pid, signal.SIGKILL)
            await writer.wait()
            await listening
            await asyncio.to_thread(server.kill)

    async def recover(self, folder: Path) -> set[str]:
        """Start it on what is left; the keys in the stream. Raises AssertionError if the stream is not in order."""
        # It names a process of before the cut; after a real one none of those lives.
        await asyncio.to_thread((folder / "pg" / "data" / "postmaster.pid").unlink, missing_ok=True)
        server = PostgresServer(folder / "pg", durable=True)
        await asyncio.to_thread(server.start)
        try:
            store = await open_store(server.url(_DATABASE))
            try:
                found: list[str] = []
                pos = 0
                while page := await store.read(WHOLE, pos, _PAGE):
                    assert [one.pos for one in page] == list(range(pos + 1, pos + 1 + len(page))), "positions have gaps"
                    pos = page[-1].pos
                    found += [one.entry.key for one in page]
                assert len(found) == len(set(found)), "a key is in the stream twice"
                return set(found)
            finally:
                await store.close()
        finally:
            await asyncio.to_thread(server.kill)


def _sync(folder: Path) -> None:
    subprocess.run(["sync", "-f", folder], check=True, timeout=30)


SAFE: Final = PostgresTarget()
CONTROL: Final = PostgresTarget("postgresql, synchronous_commit=off", lazily=True)
