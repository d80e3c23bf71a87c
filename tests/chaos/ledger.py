"""What the world outside remembers: one JSON object a line, in files that survive the one who writes them.

The provider writes down what it sent and got a 2xx for, and which replies it took; the agents write down which replies were
accepted; feed readers write down which positions they saw. Nobody writes what was not answered.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)

#: Longest time that a line may lie in memory or in the kernel's.
SYNC_SECONDS = 0.1


class Acknowledged(Struct, frozen=True, array_like=True):
    """A message of ours that the gateway answered with 2xx."""

    chat: int
    #: From 1, in the order of the chat.
    number: int
    #: Deliveries that it took, and seconds to the first 2xx.
    tries: int = 1
    seconds: float = 0.0
    #: When, in seconds since 1970 by the clock of this machine; 0: nobody noted it.
    at: float = 0.0


class Accepted(Struct, frozen=True, array_like=True):
    """A reply that the API answered with 2xx."""

    chat: int
    number: int
    message_id: str


class Seen(Struct, frozen=True, array_like=True):
    """A frame of a live feed."""

    pos: int


class Delivered(Struct, frozen=True):
    """A reply that the provider took; as the Telegram simulator's own ledger has it."""

    n: int
    chat_id: int
    text: str


class Ledger:
    """Appends lines; each is on the disk within a tenth of a second, or with the next :meth:`sync`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._synced = monotonic()
        self._encode = msgspec.json.Encoder().encode
        self.count = 0

    def add(self, entry: Struct) -> None:
        """One line."""
        self._file.write(self._encode(entry) + b"\n")
        self.count += 1
        if monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Return when the disk has everything."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = monotonic()

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_ledger(path: Path, type_: type[T]) -> Iterator[T]:
    """All whole lines, oldest first; a torn last line was never promised. No file: no lines."""
    if not path.exists():
        return
    decode = msgspec.json.Decoder(type_).decode
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield decode(line)
