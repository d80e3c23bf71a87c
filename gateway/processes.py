"""Several processes of one gateway on one machine: a small parent starts them, starts again what dies, and stops them together.

All listen on the same port (SO_REUSEPORT), so the kernel deals out connections. Each child holds the reading end of a pipe
whose only writing end is the parent's: when the parent is gone, however it went, the pipe ends and so do the children.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from config import Config
from gateway.listener import reserve

#: Tells a child who it is; for the parent alone to set.
VARIABLE: Final = "SPORTELLO_SEAT"
#: Seconds that children have to stop, beside ``server.drain``.
STOP_SECONDS: Final = 12.0
#: Before a restart; doubled each time, up to the longest; begun anew after a child held out so long.
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
HEALTHY_AFTER: Final = 60.0


class Seat(Struct, frozen=True, kw_only=True):
    """What a child is told."""

    slot: int
    #: The common port.
    port: int
    #: File descriptor that ends when the parent does.
    lifeline: int

    def settle(self, config: Config) -> Config:
        """The configuration of this child."""
        return replace(config, server=replace(config.server, port=self.port), node=replace(config.node, slot=self.slot))


def seat_from(environment: Mapping[str, str]) -> Seat | None:
    """Who this process is, if a parent started it."""
    text = environment.get(VARIABLE)
    return msgspec.json.decode(text, type=Seat) if text else None


def own_command() -> list[str]:
    """How this very process was started."""
    return [sys.executable, *sys.orig_argv[1:]]


async def run_processes(config: Config, command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Keep ``config.node.processes`` children alive until SIGTERM or SIGINT. True if all ended by themselves when told.

    Raises CannotListen before anything is started.
    """
    told = asyncio.Event()
    with contextlib.closing(reserve(config)) as reserved, _lifeline() as lifeline, _signals(told):
        port = reserved.getsockname()[1]
        structlog.get_logger("processes").info("starting", processes=config.node.processes, port=port)
        grace = config.server.drain + STOP_SECONDS
        seats = [Seat(slot=slot, port=port, lifeline=lifeline) for slot in range(config.node.processes)]
        children = [Child(seat, command, environment, grace) for seat in seats]
        return all(await asyncio.gather(*(child.keep(told) for child in children)))


class Child:
    """One of the processes, over all its lives."""

    def __init__(self, seat: Seat, command: Sequence[str], environment: Mapping[str, str], grace: float) -> None:
        self._seat = seat
        self._command = command
        self._environment = {**environment, VARIABLE: msgspec.json.encode(seat).decode()}
        self._grace = grace
        self._log = structlog.get_logger("processes").bind(slot=seat.slot)

    async def keep(self, told: asyncio.Event) -> bool:
        """Start it, and again when it dies, until ``told``; then stop it. True if it ended well."""
        pause, loop = FIRST_PAUSE, asyncio.get_running_loop()
        while not told.is_set():
            began = loop.time()
            process = await asyncio.create_subprocess_exec(*self._command, env=self._environment, pass_fds=(self._seat.lifeline,))
            ended = asyncio.ensure_future(process.wait())
            await _first(ended, told)
            if told.is_set():
                return await self._stop(process, ended)
            if loop.time() - began >= HEALTHY_AFTER:
                pause = FIRST_PAUSE
            self._log.error("a process died; starting it again", pid=process.pid, status=process.returncode, pause=pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await told.wait()
            pause = min(pause * 2, LONGEST_PAUSE)
        return True

    async def _stop(self, process: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> bool:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._grace):
                status = await ended
        except TimeoutError:
            self._log.error("a process did not stop in time and is killed", pid=process.pid, seconds=self._grace)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return False
        if status:
            self._log.error("a process ended with an error", pid=process.pid, status=status)
        return status == 0


async def _first(ended: asyncio.Future[int], told: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(told.wait())
    either: set[asyncio.Future[Any]] = {ended, waiting}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """The reading end; the writing end is open as long as we are inside, or alive, and no child ever has it."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def _signals(told: asyncio.Event) -> Iterator[None]:
    loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Lifeline:
    """A child's end of the pipe: says when the parent is gone, and ends this process if that leads to nothing in time."""

    def __init__(self, seat: Seat, grace: float) -> None:
        self._descriptor = seat.lifeline
        self._timer = threading.Timer(grace, os._exit, (1,))
        self._timer.daemon = True

    @contextlib.contextmanager
    def watched(self, gone: Callable[[], None]) -> Iterator[None]:
        """While inside, ``gone`` is called when the parent is."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            # Nothing is ever written: what can be read is the end.
            loop.remove_reader(self._descriptor)
            structlog.get_logger("processes").error("the parent is gone; stopping")
            self._timer.start()
            gone()

        os.set_inheritable(self._descriptor, False)  # noqa: FBT003 - the system's shape
        loop.add_reader(self._descriptor, ended)
        try:
            yield
        finally:
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
