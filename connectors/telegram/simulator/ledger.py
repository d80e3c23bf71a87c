"""What the simulator accepted: the proof of what was sent, and how often."""

import json
import os
from collections import deque
from pathlib import Path
from typing import Any, Final

KEPT: Final = 100_000


class Ledger:
    """Accepted sendings in order; with a path, each is on disk before it is answered, so that it survives a kill."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._count = len(path.read_bytes().splitlines()) if path is not None and path.exists() else 0
        self._file = path.open("ab") if path is not None else None

    def add(self, *, chat_id: int, method: str, text: str, message_id: int, at: float) -> None:
        """One accepted call."""
        self._count += 1
        entry = {"n": self._count, "chat_id": chat_id, "method": method, "text": text, "message_id": message_id, "at": at}
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def entries(self) -> list[dict[str, Any]]:
        """All of this run, oldest first."""
        return list(self._entries)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
