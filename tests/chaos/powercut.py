"""Power cuts: what was acknowledged must be there when only what had reached the disk is left.

A file system in an image file on tmpfs is mounted with ``commit=600``, so that the kernel writes nothing by itself. Somebody writes
to it and acknowledges; then all writers are stopped, and the image is copied as it is at this instant: the copy is the disk after
the power came back. On the copy the same program recovers, and everything acknowledged must be in it.

A harness that finds nothing may be blind. So the same is done with a setting that is known to be unsafe, and that must be caught.

A cut comes within 25 s of load, because after 30 s the kernel writes back old pages whatever ``commit`` says.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

#: The kernel's dirty_expire_centisecs is 30 s; margin for a slow machine.
CUT_SECONDS = 25.0
#: Mostly holes; large enough that the doctor does not complain of a full disk.
IMAGE_BYTES = 1536 << 20
#: What two of them really take.
_ROOM = 1 << 30
#: A user's path may lack what only root needs.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_MEMORY = Path("/dev/shm")  # noqa: S108 - a tmpfs is what is wanted


class CannotCut(Exception):
    """This machine gives us no disk to cut; the message says why."""


class Victim(Protocol):
    """Something that writes to a folder and acknowledges."""

    def pids(self) -> Collection[int]:
        """Of everybody who writes to the folder."""

    async def acknowledged(self) -> set[str]:
        """What was promised up to now. Called once, when all writers have been stopped."""


class Target(Protocol):
    """A program whose promises are tested."""

    @property
    def name(self) -> str:
        """For the report."""

    def writing(self, folder: Path) -> AbstractAsyncContextManager[Victim]:
        """Started in ``folder`` and under load; at the end it is killed."""

    async def recover(self, folder: Path) -> set[str]:
        """Start again on what is left in ``folder``; everything that is there."""


@dataclass(slots=True)
class Cuts:
    """What came of several power cuts."""

    name: str
    cuts: int = 0
    acknowledged: int = 0
    lost: int = 0
    #: Cuts after which something was missing.
    caught: int = 0
    slowest: float = 0.0
    #: Some of what was missing.
    missing: list[str] = field(default_factory=list)


def why_not() -> str:
    """Why this machine cannot do it; empty if it can. Tries it out."""
    if os.geteuid():
        return "only root can mount a disk image"
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program, path=_PATH) is None:
            return f"there is no {program}"
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM:
        return f"{_MEMORY} has no {_ROOM >> 20} MiB free for two disk images"
    try:
        with _workshop() as place, mounted(new_disk(place / "probe"), place / "mount"):
            return ""
    except CannotCut as error:
        return str(error)


def new_disk(path: Path) -> Path:
    """An empty file system in a file."""
    with path.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    _run("mkfs.ext4", "-q", "-F", "-N", "4096", "-J", "size=32", str(path))
    return path


@contextlib.contextmanager
def mounted(image: Path, where: Path) -> Iterator[Path]:
    """``image`` mounted at ``where``; the loop device goes when it is unmounted. Raises CannotCut."""
    where.mkdir()
    _run("mount", "-t", "ext4", "-o", "loop,commit=600", str(image), str(where))
    try:
        yield where
    finally:
        _unmount(where)


def _unmount(where: Path) -> None:
    for _ in range(50):
        if not subprocess.run(["umount", where], check=False, capture_output=True).returncode:
            return
        # Whoever was killed a moment ago may still have a file open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "0.1"], check=False, timeout=5)
    subprocess.run(["umount", "--lazy", where], check=False)


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": _PATH}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    if done.returncode:
        raise CannotCut(f"{command[0]} does not work here: {(done.stderr or done.stdout).strip()}")


@contextlib.contextmanager
def _workshop() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=_MEMORY) as name:
        yield Path(name)


async def cut(target: Target, seconds: float) -> tuple[set[str], set[str]]:
    """One power cut after about so many seconds of load: what was acknowledged, and what is there afterwards."""
    with _workshop() as place:
        image = await asyncio.to_thread(new_disk, place / "image")
        # What the cut leaves: what had reached the image when everybody stood still.
        left = place / "left"
        with mounted(image, place / "before") as folder:
            async with target.writing(folder) as victim:
                began = monotonic()
                await asyncio.sleep(seconds)
                with stopped(victim.pids()):
                    await asyncio.to_thread(_copy, image, left)
                    acknowledged = await victim.acknowledged()
                    if monotonic() - began > CUT_SECONDS:
                        raise RuntimeError(f"the cut came after {monotonic() - began:.0f} s: the kernel may have written by itself")
        image.unlink()
        with mounted(left, place / "after") as folder:
            return acknowledged, await target.recover(folder)


@contextlib.contextmanager
def stopped(pids: Collection[int]) -> Iterator[None]:
    """All of them standing still; they are not let go again unless the block fails to kill them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        _await_stop(pid)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _await_stop(pid: int) -> None:
    """Until no thread of it runs: one that waits for the disk stops a little later."""
    deadline = monotonic() + 10
    for task in Path(f"/proc/{pid}/task").iterdir():
        while monotonic() < deadline:
            try:
                state = (task / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
            except OSError:
                break
            if state in "TtZX":
                break
            os.sched_yield()


def _copy(image: Path, copy: Path) -> None:
    # The file's holes stay holes.
    _run("cp", "--sparse=always", str(image), str(copy))


async def power_cuts(target: Target, number: int, seed: int, progress: Callable[[str], None]) -> Cuts:
    """Several cuts at random times. Raises CannotCut."""
    reason = await asyncio.to_thread(why_not)
    if reason:
        raise CannotCut(reason)
    rng, result = random.Random(f"{seed}-{target.name}"), Cuts(target.name)
    for index in range(number):
        began = monotonic()
        acknowledged, there = await cut(target, rng.uniform(0.4, 1.6))
        missing = acknowledged - there
        result.cuts += 1
        result.acknowledged += len(acknowledged)
        result.lost += len(missing)
        result.caught += bool(missing)
        result.missing += sorted(missing)[:3]
        result.slowest = max(result.slowest, monotonic() - began)
        progress(f"{target.name}: cut {index + 1} of {number}, {len(acknowledged)} acknowledged, {len(missing)} lost")
        if not acknowledged:
            raise RuntimeError(f"{target.name}: nothing was acknowledged before the cut, so it proves nothing")
    return result


def summary(safe: Cuts, control: Cuts) -> str:
    """In one line."""
    return (
        f"{safe.name}: cuts {safe.cuts}, acknowledged {safe.acknowledged}, lost {safe.lost} | "
        f"control {control.name}: caught {control.caught} of {control.cuts}, lost {control.lost} of {control.acknowledged}"
    )
