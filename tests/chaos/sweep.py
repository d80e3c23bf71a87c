"""The n-th call to the disk fails, for every n: between SQLite and the file system, under the real store.

For each n a small load runs with that one call failing (once, or it and all after it). Whatever happens, afterwards the file is
opened without faults: everything acknowledged is there, nothing is there by half, positions have no gap, and SQLite finds no damage.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import apsw

from storage import utc_now
from storage.errors import StorageError
from storage.protocol import WHOLE, Transaction
from storage.sqlite import open_sqlite
from storage.sqlite.store import SqliteStore
from tests.support.rows import customer, entry

CALLERS: Final = 6
TURNS: Final = 4


class Fault(StrEnum):
    """A call to the disk."""

    WRITE = "write"
    FULL = "full"
    SYNC = "sync"
    READ = "read"


_ERRORS: Final = {
    Fault.WRITE: apsw.IOError,
    Fault.FULL: apsw.FullError,
    Fault.SYNC: apsw.IOError,
    Fault.READ: apsw.IOError,
}


class FailingDisk(apsw.VFS):
    """Registered with SQLite under ``name`` for as long as it lives."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self._fault: Fault | None = None
        self._number = 0
        self._for_ever = False
        self.calls: Counter[Fault] = Counter()
        #: How often it has failed.
        self.failed = 0

    def arm(self, fault: Fault, number: int, *, for_ever: bool) -> None:
        """From now on count, and fail at the ``number``-th call."""
        self.calls.clear()
        self._fault, self._number, self._for_ever = fault, number, for_ever
        self.failed = 0

    def disarm(self) -> None:
        """No more faults."""
        self._fault = None

    def pass_(self, fault: Fault) -> None:
        """Count a call. Raises the error if it is its turn."""
        self.calls[fault] += 1
        if fault is self._fault and (self.calls[fault] == self._number or (self._for_ever and self.calls[fault] > self._number)):
            self.failed += 1
            raise _ERRORS[fault]("the disk fails because a test says so")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.pass_(Fault.READ)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.pass_(Fault.WRITE)
        self._disk.pass_(Fault.FULL)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.pass_(Fault.SYNC)
        super().xSync(flags)


@dataclass(slots=True)
class Swept:
    """What came of one kind of fault."""

    fault: Fault
    trials: int = 0
    #: Trials in which the n-th call happened at all.
    failed: int = 0
    acknowledged: int = 0
    refused: int = 0
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """In one line."""
        return (
            f"{self.fault}: {self.trials} trials, {self.failed} with a fault; {self.acknowledged} acknowledged, "
            f"{self.refused} refused, violations {len(self.violations)}"
        )


@dataclass(slots=True)
class _Load:
    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


async def sweep(folder: Path, fault: Fault, numbers: Iterable[int], *, for_ever: bool, progress: Callable[[str], None]) -> Swept:
    """One trial for each number. ``folder`` exists, and takes one database per trial."""
    template = folder / f"template-{fault}.db"
    await (await open_sqlite(template, clock=utc_now)).close()
    disk, result = FailingDisk(f"failing-{fault}"), Swept(fault)
    for number in numbers:
        path = folder / f"{fault}-{number}.db"
        await asyncio.to_thread(shutil.copyfile, template, path)
        load = await _suffer(path, disk, fault, number, for_ever=for_ever)
        result.trials += 1
        result.failed += bool(disk.failed)
        result.acknowledged += len(load.acknowledged)
        result.refused += len(load.refused)
        result.violations += [f"{fault} {number}: {what}" for what in [*load.wrong, *await _examine(path, load)]]
        _remove(path)
    progress(result.line())
    return result


def _remove(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


async def _suffer(path: Path, disk: FailingDisk, fault: Fault, number: int, *, for_ever: bool) -> _Load:
    load = _Load()
    store = await open_sqlite(path, clock=utc_now, vfs=disk.name)
    disk.arm(fault, number, for_ever=for_ever)
    try:
        await asyncio.gather(*(_call(store, load, f"c{caller}") for caller in range(CALLERS)))
    finally:
        disk.disarm()
        try:
            await store.close()
        except StorageError as error:
            load.wrong.append(f"closing raised {error}")
    return load


async def _call(store: SqliteStore, load: _Load, caller: str) -> None:
    """By turns an append of two events, a transaction over two nouns, and a look."""
    for turn in range(TURNS):
        name = f"{caller}-{turn}"
        try:
            if turn % 2:
                await store.transact(lambda tx, name=name: _pair(tx, name))  # type: ignore[misc]
            else:
                await store.append([entry(f"{name}-a", data=b"x" * 3000), entry(f"{name}-b")])
            load.acknowledged.add(name)
        except StorageError:
            load.refused.add(name)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            load.wrong.append(f"{name} raised {type(error).__name__}: {error}")
        try:
            await store.read(WHOLE, 0, 50)
        except StorageError:
            continue


async def _pair(tx: Transaction, name: str) -> None:
    await tx.customers.put(customer(name))
    await tx.stream.append([entry(f"{name}-a"), entry(f"{name}-b")])


async def _examine(path: Path, load: _Load) -> list[str]:
    """What is wrong with what is left."""
    store = await open_sqlite(path, clock=utc_now)
    try:
        events = await store.read(WHOLE, 0, 10_000)
        customers = {
            name
            for name in load.acknowledged | load.refused
            if await store.view(lambda tx, name=name: tx.customers.get(name))  # type: ignore[misc]
        }
        found = await store.check()
    finally:
        await store.close()
    if [event.pos for event in events] != list(range(1, len(events) + 1)):
        found.append("positions have gaps")
    keys = Counter(event.entry.key for event in events)
    found += [f"{key} is there {number} times" for key, number in keys.items() if number > 1]
    for name in sorted(load.acknowledged | load.refused):
        halves = [f"{name}-a" in keys, f"{name}-b" in keys]
        if int(name[-1]) % 2:
            halves.append(name in customers)
        if name in load.acknowledged and not all(halves):
            found.append(f"{name} was acknowledged and is not there")
        elif any(halves) != all(halves):
            found.append(f"{name} is there by half")
    return found
