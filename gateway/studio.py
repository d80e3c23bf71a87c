"""Strangers' pictures made anew, by processes of their own (``gateway.picture_worker``): what a browser shows is never a stranger's bytes.

Two at a time, started at the first picture and ended when there has been none for a while. One that takes too much memory or time, or
that a picture kills, is replaced; that picture is not shown.
"""

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from gateway.pictures import MAX_FRAMES, MAX_PIXELS

_WORKER: Final = Path(__file__).with_name("picture_worker.py")
_LETTERS: Final = {"image/png": b"P", "image/jpeg": b"J", "image/gif": b"G", "image/webp": b"W"}
#: What a linker or Windows needs; secrets may stand in all the others.
_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "SYSTEMROOT")
_AT_ONCE: Final = 2
#: Then it is replaced: whatever a picture may have done to it ends.
_PICTURES_EACH: Final = 100
_START_SECONDS: Final = 30.0
#: For a turn, when many come at once.
_TURN_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 60.0


class Limits(Struct, frozen=True, kw_only=True):
    """What making one picture may take. Figures: 12 megapixels need 0.2 s as JPEG, 1 s as WebP, 2-4 s as PNG; 40 need up to 0.9 GB."""

    memory_bytes: int = 1024 * 1024 * 1024
    #: The processor's.
    cpu_seconds: int = 20
    #: By the clock; others may want the processor too.
    seconds: float = 45.0


class StudioClosed(Exception):
    """No picture can be made now; what was asked for may well be one."""


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._in, self._out = process.stdin, process.stdout
        self.made = 0

    async def ready(self) -> None:
        """Raises EOFError if it is not going to be."""
        await self._out.readexactly(1)

    async def make(self, data: bytes, letter: bytes) -> bytes | None:
        """Raises EOFError, ConnectionError when it has died of it."""
        self.made += 1
        self._in.write(letter + struct.pack(">I", len(data)))
        self._in.write(data)
        await self._in.drain()
        if await self._out.readexactly(1) != b"Y":
            return None
        (length,) = struct.unpack(">I", await self._out.readexactly(4))
        return await self._out.readexactly(length)

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self._in.close()
        await self.process.wait()


class Studio:
    """One per process of the gateway; :meth:`close` it."""

    def __init__(self, limits: Limits | None = None, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._limits = limits or Limits()
        self._idle_seconds = idle_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._idle: list[_Worker] = []
        self._endings: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("studio")

    async def make(self, source: Path | bytes, mime: str) -> bytes | None:
        """A picture of the same type that shows the same; None for what does not decode, or not within the limits.

        Raises StudioClosed if that cannot be told now, FileNotFoundError.
        """
        letter = _LETTERS.get(mime)
        if letter is None:
            return None
        async with self._turn():
            data = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
            worker = self._rested() or await self._start()
            return await self._made(worker, data, letter)

    async def close(self) -> None:
        """End them all."""
        if self._timer is not None:
            self._timer.cancel()
        self._dismiss()
        while self._endings:
            await asyncio.gather(*self._endings)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise StudioClosed("too many pictures at once") from None
        try:
            yield
        finally:
            self._turns.release()

    def _rested(self) -> _Worker | None:
        """One that waits, and has not been ended by somebody else meanwhile."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.returncode is None:
                return worker
            self._end(worker)
        return None

    async def _start(self) -> _Worker:
        limits = map(str, (self._limits.memory_bytes, self._limits.cpu_seconds, MAX_PIXELS, MAX_FRAMES))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(_WORKER), *limits),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                # A Ctrl-C at the terminal is meant for the gateway.
                start_new_session=True,
            )
        except OSError as error:
            raise StudioClosed(f"no process for pictures: {type(error).__name__}") from None
        worker = _Worker(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.ready()
        except (EOFError, TimeoutError):
            self._end(worker)
            raise StudioClosed("the process for pictures does not start") from None
        except BaseException:
            self._end(worker)
            raise
        return worker

    async def _made(self, worker: _Worker, data: bytes, letter: bytes) -> bytes | None:
        whole = False
        try:
            async with asyncio.timeout(self._limits.seconds):
                made = await worker.make(data, letter)
            whole = True
        except (EOFError, ConnectionError, TimeoutError) as error:
            self._log.warning("a picture took too much, or ended its process; it is a download", error=type(error).__name__)
            return None
        finally:
            # Also when nobody waits for it any more: half an answer is in its pipe.
            if whole and worker.made < _PICTURES_EACH:
                self._keep(worker)
            else:
                self._end(worker)
        return made

    def _keep(self, worker: _Worker) -> None:
        self._idle.append(worker)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._dismiss)

    def _dismiss(self) -> None:
        while self._idle:
            self._end(self._idle.pop())

    def _end(self, worker: _Worker) -> None:
        ending = asyncio.create_task(worker.end())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
