"""The event loop that the gateway runs on, and how often Python looks for garbage: with 5,000 open feeds both together halve a restart."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

if sys.platform != "win32":
    import uvloop

T = TypeVar("T")

#: Thousands of open sockets are a million objects that stay; to look through them again and again costs a tenth of the processor.
_COLLECT_AFTER: Final = (20_000, 20, 50)
#: Names of databases and mail servers are looked up in threads, by half of these at once: a name server that does not answer holds one
#: for ten seconds and more. ``gateway.names`` does without.
_LOOKUP_THREADS: Final = "32"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end. Raises what it raises; KeyboardInterrupt after it has been cancelled and has cleaned up."""
    gc.set_threshold(*_COLLECT_AFTER)
    os.environ.setdefault("UV_THREADPOOL_SIZE", _LOOKUP_THREADS)
    with asyncio.Runner(loop_factory=factory()) as runner:
        return runner.run(work)


def factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop; None: Python's own, where there is no uvloop."""
    return None if sys.platform == "win32" else uvloop.new_event_loop
