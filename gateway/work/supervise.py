"""Keeps the background workers alive: one that dies is logged, counted and started again, never silently gone."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.metrics import Metrics
from storage.errors import Unavailable

#: Seconds before a restart; doubled each time, up to the longest; begun anew after a worker held out so long.
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 30.0
HEALTHY_AFTER: Final = 60.0
#: Between looks at a database that is away.
OUTAGE_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Worker:
    """Something that runs until it is cancelled."""

    name: str
    run: Callable[[], Awaitable[None]]


class Supervisor:
    """Runs workers from :meth:`start` to :meth:`stop`."""

    def __init__(self, metrics: Metrics, *, first_pause: float = FIRST_PAUSE) -> None:
        self._metrics = metrics
        self._first_pause = first_pause
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, worker: Worker) -> None:
        """Begin to run a worker. Names are unique."""
        if worker.name in self._tasks:
            raise ValueError(f"worker {worker.name!r} runs already")
        self._tasks[worker.name] = asyncio.create_task(self._keep(worker), name=f"worker {worker.name}")

    async def stop(self, seconds: float) -> None:
        """Cancel all and wait; those that do not finish what they were doing within ``seconds`` are named in the log."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        late = [name for name, task in self._tasks.items() if not task.done()]
        if late:
            structlog.get_logger("supervisor").error("workers did not stop in time", workers=late, seconds=seconds)
        self._tasks.clear()

    async def _keep(self, worker: Worker) -> None:
        log = structlog.get_logger("supervisor").bind(worker=worker.name)
        up, restarts = self._metrics.worker_up.labels(worker.name), self._metrics.worker_restarts.labels(worker.name)
        loop = asyncio.get_running_loop()
        pause = self._first_pause
        while True:
            began = loop.time()
            up.set(1)
            try:
                await worker.run()
                log.error("worker ended by itself; starting it again", pause=pause)
            except Unavailable as error:
                # The worker is well, the database is not: whoever frees some disk must not wait for a long pause to end.
                pause = OUTAGE_PAUSE
                log.warning("the database is away; the worker waits for it", error=str(error))
            except Exception:
                log.exception("worker failed; starting it again", pause=pause)
            finally:
                up.set(0)
            if loop.time() - began >= HEALTHY_AFTER:
                pause = self._first_pause
            restarts.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
