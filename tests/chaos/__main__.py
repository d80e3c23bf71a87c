"""``make chaos``: break everything on purpose, and count what was lost.

  storm      shoppers write, agents answer, gateways are killed with -9 (embedded: SQLite, one gateway)
  cluster    the same on two gateways, PostgreSQL and Valkey, each of which is killed too
  power      power cuts under the embedded gateway, beside a setting that is known to lose (it must be caught)
  power-pg   the same under PostgreSQL
  power-all  the same under two gateways, PostgreSQL and Valkey, with the messages in the database or in the spools
  sweep      the n-th write, sync, read … of the embedded store fails, for every n
  freeze     a node is stopped and comes back as a zombie; how long others need to take over
  cut-off    a node loses its database and goes on taking messages; the same
  outage     two nodes under load while PostgreSQL is stopped, then killed, and Valkey is emptied, killed, then cut off
  ten        PostgreSQL is away for ten minutes under 100 messages a second (only with --long)
  backlog    a million messages wait for the router at the start (short: 50,000)
  crowd      thousands begin to upload and never finish; what it costs in memory

Each prints its figures in one line; any broken promise is named, and the exit status is 1. The short run takes some minutes; --long is the
run before a release (1,000,000 messages over 200 kills, 20 + 10 + 50 power cuts, every n up to 200) and takes hours.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from _pytest.outcomes import Failed, Skipped

from tests.chaos import cut_cluster, cut_embedded, cut_postgres, outage
from tests.chaos.backlog import backlog
from tests.chaos.crowd import crowd
from tests.chaos.freeze import freezes
from tests.chaos.powercut import CannotCut, Target, power_cuts, summary
from tests.chaos.site import cluster_site, embedded_site
from tests.chaos.storm import LONG, SHORT, SHORT_CLUSTER, OpenSite, Size, part_of, storm
from tests.chaos.sweep import Fault, sweep

#: A control that catches less than this share of its cuts shows a blind harness.
LEAST_CAUGHT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    long: bool
    seed: int
    progress: Callable[[str], None]
    #: Into how many storms a long one is divided, each on servers of its own.
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """Figures in one line, and every broken promise."""

    figures: str
    violations: tuple[str, ...] = ()
    skipped: bool = False


async def _storm(order: Order, short: Size, open_site: OpenSite) -> Result:
    if not order.long:
        outcome = await storm(short, order.seed, open_site, order.progress)
        return Result(outcome.line(), tuple(outcome.verdict.violations))
    size = part_of(LONG, order.parts)
    lines, violations = [], []
    for part in range(order.parts):
        outcome = await storm(size, order.seed + part, open_site, order.progress)
        order.progress(outcome.line())
        lines.append(outcome.line())
        violations += outcome.verdict.violations
    return Result(f"\n{'':16}".join(lines), tuple(violations))


async def _embedded(order: Order) -> Result:
    return await _storm(order, SHORT, embedded_site)


async def _cluster(order: Order) -> Result:
    return await _storm(order, SHORT_CLUSTER, cluster_site)


async def _power(order: Order, safe: Target, control: Target, number: int, controls: int) -> Result:
    kept = await power_cuts(safe, number, order.seed, order.progress)
    broken = await power_cuts(control, controls, order.seed, order.progress)
    violations = [f"lost by a power cut: {key}" for key in kept.missing]
    if broken.caught < LEAST_CAUGHT * broken.cuts:
        violations.append(f"the control was caught in {broken.caught} of {broken.cuts} cuts only: this harness sees too little")
    return Result(summary(kept, broken), tuple(violations))


async def _power_embedded(order: Order) -> Result:
    return await _power(order, cut_embedded.SAFE, cut_embedded.CONTROL, *((20, 10) if order.long else (2, 2)))


async def _power_postgres(order: Order) -> Result:
    return await _power(order, cut_postgres.SAFE, cut_postgres.CONTROL, *((10, 5) if order.long else (1, 1)))


async def _power_all(order: Order) -> Result:
    return await _power(order, cut_cluster.SAFE, cut_cluster.CONTROL, *((50, 10) if order.long else (2, 1)))


async def _sweep(order: Order) -> Result:
    most, lines, violations = 200 if order.long else 25, [], []
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for fault in Fault:
            for for_ever in (False, True):
                result = await sweep(Path(folder), fault, range(1, most + 1), for_ever=for_ever, progress=order.progress)
                lines.append(f"{result.fault}{' for ever' if for_ever else ''} {result.failed}/{result.trials}")
                violations += result.violations
    return Result(f"violations {len(violations)} | trials with a fault: {', '.join(lines)}", tuple(violations))


async def _freeze(order: Order) -> Result:
    outcome = await freezes(20 if order.long else 3, order.seed, order.progress)
    return Result(outcome.line(), tuple(outcome.violations))


async def _cut_off(order: Order) -> Result:
    outcome = await freezes(20 if order.long else 2, order.seed, order.progress, cut_off=True)
    return Result(outcome.line(), tuple(outcome.violations))


async def _outage(order: Order) -> Result:
    outcome = await outage.outages(outage.LONG if order.long else outage.SHORT, order.seed, order.progress)
    return Result(f"\n{'':16}".join(outcome.lines), tuple(outcome.violations))


async def _ten(order: Order) -> Result:
    if not order.long:
        return Result("NOT RUN: it takes twelve minutes; add --long", skipped=True)
    outcome = await outage.outages(outage.TEN, order.seed, order.progress, ["PostgreSQL stopped"])
    return Result(f"\n{'':16}".join(outcome.lines), tuple(outcome.violations))


async def _crowd(order: Order) -> Result:
    found = await crowd(10_000 if order.long else 1_000, order.progress)
    return Result(found.line(), tuple(found.violations))


async def _backlog(order: Order) -> Result:
    found = await backlog(*((1_000_000, 60.0) if order.long else (50_000, 15.0)), order.progress)
    return Result(found.line(), tuple(found.violations))


RUNS: Final[dict[str, Callable[[Order], Awaitable[Result]]]] = {
    "storm": _embedded,
    "cluster": _cluster,
    "power": _power_embedded,
    "power-pg": _power_postgres,
    "power-all": _power_all,
    "sweep": _sweep,
    "freeze": _freeze,
    "cut-off": _cut_off,
    "outage": _outage,
    "ten": _ten,
    "crowd": _crowd,
    "backlog": _backlog,
}


async def run(names: list[str], order: Order) -> dict[str, Result]:
    """One after the other; one that cannot be run here says why."""
    results: dict[str, Result] = {}
    for name in names:
        began = monotonic()
        order.progress(f"--- {name}")
        try:
            results[name] = await RUNS[name](order)
        except (CannotCut, Skipped) as reason:
            results[name] = Result(f"NOT RUN: {reason}", skipped=True)
        except (Exception, Failed) as error:  # noqa: BLE001 - the others still have something to say
            results[name] = Result("did not end", (f"{type(error).__name__}: {error}",))
        order.progress(f"--- {name}: {monotonic() - began:.0f} s")
    return results


def table(results: dict[str, Result]) -> str:
    """The summary."""
    lines = []
    for name, result in results.items():
        mark = "skip" if result.skipped else "FAIL" if result.violations else "ok"
        lines.append(f"{mark:4}  {name:9}  {result.figures}")
        lines += [f"{'':16}{violation}" for violation in result.violations[:20]]
        if len(result.violations) > 20:
            lines.append(f"{'':16}… and {len(result.violations) - 20} more")
    return "\n".join(lines)


def main() -> int:
    """``python -m tests.chaos``; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="the run before a release; hours")
    parser.add_argument("--only", action="append", choices=sorted(RUNS), help="only this one (may be repeated)")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices; 0 (default): a new one, which is printed")
    parser.add_argument("--parts", type=int, default=1, help="make each long storm of so many, with a seed each; what has ended counts")
    given = parser.parse_args()
    if given.parts < 1 or LONG.kills % given.parts:
        parser.error(f"--parts: {LONG.kills} kills are to be divided into equal parts")
    seed = given.seed or random.SystemRandom().randrange(1, 1_000_000)
    began = monotonic()

    def progress(line: str) -> None:
        sys.stderr.write(f"{monotonic() - began:7.1f}  {line}\n")

    sys.stdout.write(f"seed {seed}: repeat this run with --seed {seed}\n")
    sys.stdout.flush()
    # Asked to end, it takes the servers that it started along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = asyncio.run(run(given.only or list(RUNS), Order(given.long, seed, progress, given.parts)))
    sys.stdout.write(table(results) + "\n")
    return int(any(result.violations for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
