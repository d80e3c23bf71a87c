"""``make bench``: what the gateway does, each figure beside a floor that was measured in the same run.

  parse       a webhook's bytes to events
  throughput  messages a second: accepted; and accepted = routed = in the history = on a feed
  latency     webhook to 2xx at 200/s, webhook to an agent's WebSocket at 100/s (--long: and 1,000/s)
  replies     an agent's reply to the provider's Bot API: how long, and how many a second
  replay      reading the stream again, from the database and from the mirror in Valkey
  takeover    two nodes: one is killed with -9 or frozen; how long until the other has routed what came next
  storm       500 agents' windows (--long: 5,000) on a gateway that restarts; how long until all are back, and none has missed anything
  memory      what 1,000 idle windows (--long: 5,000) of visitors and of agents cost the server

The gateway runs as it does in a shop, as processes of its own, on SQLite and on PostgreSQL (which syncs) with Valkey. The floor is
a bare aiohttp handler with a group commit on the same engine (tests/bench/floor.py), unless the table says otherwise. Absolute
figures drift with the machine's neighbours by a factor of two, so runs are interleaved (floor, ours, floor, ours …), each pair
gives a ratio, and the median of the ratios is what to quote; the goals are in tests/bench/figures.py.

A goal that is missed is shown, and no failure. A part that breaks is named, the others go on, and the exit status is 1.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from _pytest.outcomes import Failed, Skipped

from tests.bench.crowd import memory, storm
from tests.bench.figures import table
from tests.bench.ground import Ground, ground, progress, say
from tests.bench.latency import latency, parse
from tests.bench.replay import replay
from tests.bench.replies import replies
from tests.bench.takeover import takeover
from tests.bench.throughput import throughput

PARTS: Final[dict[str, Callable[[Ground], Awaitable[None]]]] = {
    "parse": parse,
    "throughput": throughput,
    "latency": latency,
    "replies": replies,
    "replay": replay,
    "takeover": takeover,
    "storm": storm,
    "memory": memory,
}


def calibration() -> float:
    """A fixed loop: how fast this machine is just now, in million additions a second."""
    begun, total = time.perf_counter(), 0
    for number in range(3_000_000):
        total += number
    return 3 / (time.perf_counter() - begun)


async def run(names: list[str], *, long: bool, pairs: int) -> list[str]:
    """Measure and print; returns what broke."""
    broken: list[str] = []
    begun = time.monotonic()
    async with ground(long=long, pairs=pairs) as place:
        speeds = [calibration()]
        for name in names:
            began = time.monotonic()
            progress(f"--- {name}")
            try:
                await PARTS[name](place)
            except Skipped as reason:
                say(f"NOT MEASURED, {name}: {reason}")
            except (Exception, Failed) as error:  # noqa: BLE001 - the others still have something to say
                broken.append(f"{name}: {type(error).__name__}: {error}")
                progress(f"    BROKEN {broken[-1]}")
            speeds.append(calibration())
            progress(f"--- {name}: {time.monotonic() - began:.0f} s, calibration {speeds[-1]:.1f} M additions/s")
        say("\n" + table(place.figures))
    said = " ".join(f"{speed:.1f}" for speed in speeds)
    say(f"\ncalibration, before and after each part: {said} M additions/s; {time.monotonic() - begun:.0f} s in all")
    return broken


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure, all by default: {', '.join(PARTS)}")
    parser.add_argument("--long", action="store_true", help="longer runs and larger crowds: the figures before a release")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs per figure [5]")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in PARTS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    # Thousands of sockets, here and in the servers that are started from here.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    broken = asyncio.run(run(options.names or list(PARTS), long=options.long, pairs=options.pairs))
    for line in broken:
        say(f"BROKEN {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
