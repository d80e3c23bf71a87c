"""Watches what a function does beside computing: clock, randomness, network, files. For the calling thread only."""

import datetime as dt
import gc
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

#: Module of a C function -> names that are the world's, not the arguments'.
_WORLD: Final = {
    "time": frozenset(
        {
            "time",
            "time_ns",
            "monotonic",
            "monotonic_ns",
            "perf_counter",
            "perf_counter_ns",
            "sleep",
            "process_time",
            "thread_time",
            "localtime",
        }
    ),
    "posix": frozenset({"urandom", "getrandom", "getenv", "getpid", "fork", "system"}),
    "nt": frozenset({"urandom", "getpid", "system"}),
    "io": frozenset({"open"}),
    "_io": frozenset({"open"}),
    "_socket": frozenset({"getaddrinfo", "gethostbyname", "gethostname", "socketpair"}),
}
_CLOCK: Final = frozenset({"now", "utcnow", "today"})
_SOCKET: Final = frozenset({"connect", "connect_ex", "send", "sendall", "sendto", "recv", "bind", "listen"})


@contextmanager
def watching() -> Iterator[set[str]]:
    """Gives the set that fills with what was used, for example ``time.time``."""
    used: set[str] = set()
    before = sys.getprofile()

    def look(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and "importlib" not in frame.f_code.co_filename and (name := _worldly(called)):
            used.add(name)

    # A collection may call others' hooks (hypothesis has one that looks at the clock), and it would look like ours.
    collecting = gc.isenabled()
    gc.disable()
    # Neither is the time of a library's log lines.
    loud = logging.root.manager.disable
    logging.disable()
    sys.setprofile(look)
    try:
        yield used
    finally:
        sys.setprofile(before)
        logging.disable(loud)
        if collecting:
            gc.enable()


def _worldly(called: Any) -> str:
    """Its name if it is the world's; else empty."""
    name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
    module = str(getattr(called, "__module__", None) or getattr(owner, "__name__", ""))
    if name in _WORLD.get(module, ()):
        return f"{module}.{name}"
    if isinstance(owner, type):
        return f"{owner.__name__}.{name}" if issubclass(owner, dt.date) and name in _CLOCK else ""
    if isinstance(owner, random.Random):
        return f"random.{name}"
    return f"socket.{name}" if type(owner).__module__ in {"socket", "_socket"} and name in _SOCKET else ""
