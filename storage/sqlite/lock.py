"""One process per database, on a disk of its own machine."""

import fcntl
import os
from pathlib import Path
from typing import Final

from storage.errors import SchemaError, Unavailable

#: File systems whose locks or memory maps do not hold between machines, so that SQLite would sooner or later damage the file.
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)
_MOUNTS: Final = Path("/proc/mounts")


class FileLock:
    """Holds ``<database>.lock`` while the process lives; the kernel gives it back even after a kill."""

    def __init__(self, database: Path) -> None:
        """Raises Unavailable, naming the holder, if another process has the database."""
        path = database.with_name(database.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"{path} cannot be made ({error.strerror}): check that the folder exists and is ours to write") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise Unavailable(
                f"{database} is in use by process {holder}: one Sportello per SQLite database; stop that one first, or set another data_dir"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        # The file stays: removing it would let two processes lock two different files of this name.
        os.ftruncate(self._file, 0)
        os.close(self._file)


def filesystem_of(path: Path, mounts: str) -> str:
    """Type of the file system that holds ``path``, by the text of /proc/mounts; empty if unknown."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # The last of equal ones is on top.
        if (path == mount or mount in path.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind


def network_filesystem(path: Path) -> str:
    """Type of the network file system that holds ``path``; empty if it is a local one, or cannot be told."""
    if not _MOUNTS.exists():
        return ""
    kind = filesystem_of(path.resolve(), _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    return kind if kind in _NETWORK else ""


def refuse_network(path: Path) -> None:
    """Raises SchemaError if ``path`` lies on a network file system."""
    kind = network_filesystem(path)
    if kind:
        raise SchemaError(f"{path} lies on a network file system ({kind}), where SQLite databases get damaged: move it to a local disk")
