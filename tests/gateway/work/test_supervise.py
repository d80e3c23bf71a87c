"""A worker that dies comes back, and somebody hears of it."""

import asyncio
import io
import json

import pytest

from gateway.log import configure
from gateway.metrics import Metrics
from gateway.work.supervise import Supervisor, Worker
from tests.support.waiting import eventually


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    return stream


async def test_a_dead_worker_is_logged_counted_and_started_again(lines: io.StringIO) -> None:
    metrics, runs = Metrics(), 0
    alive = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("broken")
        if runs == 2:
            return
        alive.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(metrics, first_pause=0.01)
    supervisor.start(Worker("route", run))
    async with asyncio.timeout(60):
        await alive.wait()
    assert metrics.value("sportello_worker_restarts_total", worker="route") == 2
    assert metrics.value("sportello_worker_up", worker="route") == 1
    await supervisor.stop(5)
    assert metrics.value("sportello_worker_up", worker="route") == 0
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(line["event"], line["worker"]) for line in logged] == [
        ("worker failed; starting it again", "route"),
        ("worker ended by itself; starting it again", "route"),
    ]


async def test_a_worker_that_does_not_stop_is_named(lines: io.StringIO) -> None:
    release, stuck = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stuck.set()
            await release.wait()

    supervisor = Supervisor(Metrics())
    supervisor.start(Worker("outbox", run))

    async def up() -> bool:
        return any(task.get_name() == "worker outbox" for task in asyncio.all_tasks())

    await eventually(up)
    await asyncio.sleep(0)
    await supervisor.stop(0.05)
    assert stuck.is_set()
    assert json.loads(lines.getvalue())["workers"] == ["outbox"]
    release.set()


async def test_two_workers_of_one_name_are_refused() -> None:
    supervisor = Supervisor(Metrics())
    supervisor.start(Worker("x", asyncio.Event().wait))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="runs already"):
        supervisor.start(Worker("x", asyncio.Event().wait))  # type: ignore[arg-type]
    await supervisor.stop(1)
