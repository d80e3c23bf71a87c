"""Payloads that end the process which reads them, or never let it go on. Twice is enough: then they are set aside unread.

Whoever sent one sends it again for want of an answer, or it lies first in a mailbox, so the gateway would die of it for ever. While
something is read its digest stands in a small mapped file, which outlives the process: no system call, no sync. What stands there at
the next start was being read when the process died. A death counts for all processes of the data folder, but is known to those that
start after it.
"""

import hashlib
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Final, TypeVar

import structlog

T = TypeVar("T")

#: So often a payload may have ended a process before it is no longer read.
DEATHS: Final = 2
#: The processor's seconds that reading one payload may take; while it is read nothing else is done.
SECONDS: Final = 10.0
#: What never came again is forgotten after so many seconds.
_REMEMBERED: Final = 30 * 86400.0
#: Payloads that are read at once: one by the intake, others by threads that take files out of mails.
_PLACES: Final = 8
_DIGEST: Final = 32
_NOTHING: Final = bytes(_DIGEST)
_HAS_TIMER: Final = hasattr(signal, "ITIMER_VIRTUAL")


class Poisonous(Exception):
    """It is not read, because it has ended the process before. The message is for people."""


class _TookTooLong(BaseException):
    """Not an Exception: a parser that forgives every mistake must not forgive this."""


class PoisonGuard:
    """One per process; ``folder`` is shared by those with another ``slot``. Without a folder nothing is remembered. :meth:`close` it."""

    def __init__(self, folder: Path | None = None, slot: int = 0) -> None:
        self._folder = folder
        self._deaths: dict[str, int] = {}
        self._places: mmap.mmap | None = None
        self._free = list(range(_PLACES))
        if folder is None:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = folder / f"reading-{slot}"
            self._count(_unfinished(file))
            self._deaths = self._known()
            self._places = _mapped(file)
        except OSError as error:
            # A full disk, for example; the gateway must be there to say so.
            structlog.get_logger("poison").warning("payloads that end the process will not be known again", error=type(error).__name__)

    def close(self) -> None:
        """In good order: nothing was being read."""
        if self._places is not None:
            self._places.close()
            self._places = None

    def read(self, payload: bytes, work: Callable[[], T]) -> T:
        """``work()``, which reads ``payload``. Raises Poisonous without trying if that has ended two processes."""
        if self._deaths and (deaths := self._deaths.get(hashlib.sha256(payload).hexdigest(), 0)) >= DEATHS:
            raise Poisonous(f"reading it ended the gateway {deaths} times; after a fix of its connector, reprocess it")
        return self.read_anyway(payload, work)

    def read_anyway(self, payload: bytes, work: Callable[[], T]) -> T:
        """The same, whatever it has done: somebody says that it can be read now. Raises Poisonous if it takes too long."""
        digest = hashlib.sha256(payload)
        place = self._enter(digest.digest())
        try:
            found = _bounded(work)
        finally:
            self._leave(place)
        if self._deaths and self._deaths.pop(digest.hexdigest(), 0) and self._folder is not None:
            (self._folder / digest.hexdigest()).unlink(missing_ok=True)
        return found

    def _enter(self, digest: bytes) -> int:
        # Lists are changed in one step each: threads come here, too.
        place = self._free.pop() if self._places is not None and self._free else -1
        self._write(place, digest)
        return place

    def _leave(self, place: int) -> None:
        self._write(place, _NOTHING)
        if place >= 0:
            self._free.append(place)

    def _write(self, place: int, digest: bytes) -> None:
        if self._places is not None and place >= 0:
            self._places[place * _DIGEST : (place + 1) * _DIGEST] = digest

    def _count(self, digests: Iterable[str]) -> None:
        assert self._folder is not None
        for digest in digests:
            file = self._folder / digest
            deaths = _number(file) + 1
            file.write_text(str(deaths), "ascii")
            structlog.get_logger("poison").error("the process ended while it was reading a payload", sha256=digest, deaths=deaths)

    def _known(self) -> dict[str, int]:
        assert self._folder is not None
        found, long_ago = {}, time.time() - _REMEMBERED
        for file in self._folder.iterdir():
            if len(file.name) == 2 * _DIGEST:
                if file.stat().st_mtime < long_ago:
                    file.unlink(missing_ok=True)
                else:
                    found[file.name] = _number(file)
        return found


def watch_the_time() -> None:
    """Have this process stop what takes too long. For the main thread; elsewhere, and on Windows, there is no such bound."""
    if _HAS_TIMER:
        signal.signal(signal.SIGVTALRM, _give_up)


def _bounded(work: Callable[[], T]) -> T:
    # Other threads cannot be interrupted.
    if not _HAS_TIMER or signal.getsignal(signal.SIGVTALRM) is not _give_up or current_thread() is not main_thread():
        return work()
    try:
        return _timed(work)
    except _TookTooLong:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        raise Poisonous(f"reading it took more than {SECONDS:g} s; after a fix of its connector, reprocess it") from None


def _timed(work: Callable[[], T]) -> T:
    # Again every second: the first may be lost in a place that cannot be interrupted.
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 1.0)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(number: int, frame: FrameType | None) -> None:
    """A signal that comes a moment too late interrupts nothing."""
    del number
    while frame is not None:
        if frame.f_code is _timed.__code__:
            raise _TookTooLong
        frame = frame.f_back


def _unfinished(file: Path) -> list[str]:
    """Whatever stands in the file of a process that is no more."""
    if not file.exists():
        return []
    data = file.read_bytes()
    digests = {data[at : at + _DIGEST] for at in range(0, len(data) - _DIGEST + 1, _DIGEST)} - {_NOTHING}
    return sorted(digest.hex() for digest in digests)


def _mapped(file: Path) -> mmap.mmap:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Written, not only made longer: a hole in it on a full disk would end the process by itself.
        os.write(handle, _NOTHING * _PLACES)
        return mmap.mmap(handle, _DIGEST * _PLACES)
    finally:
        os.close(handle)


def _number(file: Path) -> int:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return 0
