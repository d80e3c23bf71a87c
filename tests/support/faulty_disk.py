"""A disk that counts, blocks or fails: a file system between SQLite and the real one."""

import threading
from collections import Counter
from typing import Any

import apsw


class FaultyDisk(apsw.VFS):
    """Registered with SQLite under ``name`` for as long as it lives."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        #: Completed syncs by file, for example ``-wal``.
        self.syncs: Counter[str] = Counter()
        self.full = False
        self.sync_fails = False
        #: Cleared: syncs wait until it is set.
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.sync_begun = threading.Event()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk
        self._kind = "-wal" if path.endswith("-wal") else "database"
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.sync_begun.set()
        self._disk.may_sync.wait(60)
        if self._disk.sync_fails:
            raise apsw.IOError("the disk has died")
        super().xSync(flags)
        self._disk.syncs[self._kind] += 1

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        if self._disk.full:
            raise apsw.FullError("no space left")
        super().xWrite(data, offset)
