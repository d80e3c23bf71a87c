"""Ports for servers that have to know theirs before they start."""

import functools
import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

#: Processes that test side by side, and never take each other's ports.
_SHARES: Final = 4


@functools.cache
def _candidates() -> Iterator[int]:
    """Below the kernel's own choices, the second half left to clusters; each test process has its share, and repeats none soon."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
    width = 10_000 // _SHARES
    first = 10_000 + share * width
    # Not one after the other: some servers take the next one, too.
    return itertools.cycle([first + (os.getpid() * 7919 + step * 7) % width for step in range(width)])


def free_port() -> int:
    """A port that was free a moment ago, also as a cluster's (which adds 10000)."""
    for port in _candidates():
        with suppress(OSError), socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 10_000)):
            return port
    raise AssertionError
