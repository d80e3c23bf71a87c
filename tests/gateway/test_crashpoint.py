"""The hook by which tests kill the process."""

import os
import signal
import subprocess
import sys

import pytest

from gateway.crashpoint import CrashPoints

PROGRAM = """
import os
from gateway.crashpoint import CrashPoints
points = CrashPoints.from_environment(os.environ)
for number in range(5):
    points.reach("other")
    points.reach("here")
    print(number, flush=True)
"""


def test_it_dies_at_the_nth_pass_as_by_kill_9() -> None:
    environment = {**os.environ, "SPORTELLO_CRASH_AT": "here:3"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1"]


def test_it_does_nothing_unless_told() -> None:
    points = CrashPoints.from_environment({})
    for _ in range(3):
        points.reach("here")


@pytest.mark.parametrize("text", ["here", "here:", ":1", "here:0", "here:x", "here:-1"])
def test_a_wrong_order_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SPORTELLO_CRASH_AT must be"):
        CrashPoints.from_environment({"SPORTELLO_CRASH_AT": text})
