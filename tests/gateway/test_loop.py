"""The event loop of the gateway."""

import asyncio
import gc
import os
import sys

import pytest

from gateway.loop import run


async def _kind() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_work_runs_on_the_quick_loop_and_its_result_comes_back() -> None:
    before = gc.get_threshold()
    gc.set_threshold(700)
    try:
        assert run(_kind()) == ("asyncio.windows_events" if sys.platform == "win32" else "uvloop")
        assert gc.get_threshold()[0] > 700
        # Half of them may wait for name servers at once.
        assert int(os.environ["UV_THREADPOOL_SIZE"]) >= 32
    finally:
        gc.set_threshold(*before)


def test_what_goes_wrong_comes_out() -> None:
    async def fails() -> None:
        raise LookupError

    before = gc.get_threshold()
    try:
        with pytest.raises(LookupError):
            run(fails())
    finally:
        gc.set_threshold(*before)
