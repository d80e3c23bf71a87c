"""``make bench``: what the gateway does, beside what a bare handler does that only checks, decodes and commits.

Each figure comes from interleaved pairs (floor, ours, floor, ours, …), because the clock of a shared machine drifts; the
ratio of each pair is what counts, and the median of the ratios is what to quote.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import timeit
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from config.decode import decode_section
from connectors.contract import Request
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.payload import Update
from connectors.telegram.simulator import create_simulator_app
from tests.bench.load import update
from tests.support.process import ROOT, SECRET, TOKEN, GatewayProcess, free_port, seed_agent, write_config
from tests.support.telegram import serving


@dataclass
class Bench:
    """Two servers and a counter that keeps all messages of the whole run apart."""

    floor_port: int
    gateway: GatewayProcess
    token: str
    session: aiohttp.ClientSession
    options: argparse.Namespace
    first: int = 0
    rows: list[tuple[str, list[float], list[float], str]] = field(default_factory=list)

    async def load(self, mode: str, port: int, *more: str) -> dict[str, Any]:
        """One run of the load from a process of its own."""
        self.first += 1_000_000
        arguments = [mode, "--port", str(port), "--secret", SECRET, "--first", str(self.first), *more]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.load", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        if process.returncode:
            raise SystemExit(f"the load failed with status {process.returncode}")
        result: dict[str, Any] = json.loads(out)
        if result.get("bad"):
            raise SystemExit(f"{result['bad']} requests were not answered 200")
        return result

    async def routed(self) -> float:
        """Wait until everything accepted is routed; returns the seconds that took."""
        begun = time.perf_counter()
        async with asyncio.timeout(300):
            while await self.lag() > 0:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return time.perf_counter() - begun

    async def lag(self) -> float:
        async with self.session.get(f"{self.gateway.url}/metrics") as answer:
            for line in (await answer.text()).splitlines():
                if line.startswith("sportello_route_lag_events "):
                    return float(line.split()[1])
        raise SystemExit("the gateway does not tell its route lag")

    def add(self, name: str, floor: list[float], ours: list[float], unit: str) -> None:
        self.rows.append((name, floor, ours, unit))

    async def accept(self) -> None:
        """Signed webhook -> durable 2xx, and all of it routed into histories."""
        floor: list[dict[str, Any]] = []
        ours: list[dict[str, Any]] = []
        sustained: list[float] = []
        seconds = ("--seconds", str(self.options.seconds))
        for pair in range(self.options.pairs):
            progress(f"webhook -> 2xx, pair {pair + 1} of {self.options.pairs}")
            floor.append(await self.load("closed", self.floor_port, *seconds))
            result = await self.load("closed", self.gateway.port, *seconds)
            drained = await self.routed()
            ours.append(result)
            sustained.append(result["count"] / (result["count"] / result["per_second"] + drained))
        per_second = [one["per_second"] for one in floor]
        self.add("accepted, 32 connections", per_second, [one["per_second"] for one in ours], "/s")
        self.add("accepted and routed into the history", per_second, sustained, "/s")
        self.add("time to 2xx, p50", [one["p50_ms"] for one in floor], [one["p50_ms"] for one in ours], "ms")
        self.add("time to 2xx, p99", [one["p99_ms"] for one in floor], [one["p99_ms"] for one in ours], "ms")

    async def warm_up(self) -> None:
        """Every shopper writes once: the figures are about conversations under way, not about the first word of each."""
        for port in (self.floor_port, self.gateway.port):
            await self.load("closed", port, "--seconds", "2")
        await self.routed()

    async def quiet(self) -> None:
        """One connection: what a single message waits for."""
        floor, ours = [], []
        for _ in range(self.options.pairs):
            floor.append(await self.load("closed", self.floor_port, "--connections", "1", "--seconds", "1"))
            ours.append(await self.load("closed", self.gateway.port, "--connections", "1", "--seconds", "1"))
            await self.routed()
        for key in ("p50_ms", "p99_ms"):
            self.add(f"time to 2xx, one connection, {key[:3]}", [one[key] for one in floor], [one[key] for one in ours], "ms")

    async def feed(self, rate: int) -> None:
        """Webhook -> frame on an agent's open feed."""
        floor, ours = [], []
        for pair in range(self.options.pairs):
            progress(f"webhook -> feed at {rate}/s, pair {pair + 1} of {self.options.pairs}")
            timing = ("--rate", str(rate), "--seconds", "3")
            floor.append(await self.load("feed", self.floor_port, "--feed", "/feed", *timing))
            ours.append(await self.load("feed", self.gateway.port, "--token", self.token, *timing))
            await self.routed()
        for key in ("p50_ms", "p99_ms"):
            self.add(f"webhook to agent's feed at {rate}/s, {key[:3]}", [one[key] for one in floor], [one[key] for one in ours], "ms")

    def parse(self) -> None:
        """A webhook's bytes -> events, beside the bare decoding of the same fields."""
        settings = decode_section(Settings, {"token": TOKEN, "secret_token": SECRET}, ("channels", "shop"), {})
        body, decoder = update(1, 1), msgspec.json.Decoder(Update)
        request = Request(method="POST", url="", headers={}, body=body, received_at=datetime.now(UTC))
        floor, ours = [], []
        for _ in range(self.options.pairs):
            floor.append(1e6 * timeit.timeit(lambda: decoder.decode(body), number=5000) / 5000)
            ours.append(1e6 * timeit.timeit(lambda: CONNECTOR.parse(request, settings), number=5000) / 5000)
        self.add("parse one Telegram text", floor, ours, "us")

    def report(self) -> None:
        say(f"\n{'':<42}{'floor':>12}{'gateway':>12}{'':>6}{'ratio of pairs (median, min … max)':>38}")
        for name, floor, ours, unit in self.rows:
            ratios = [mine / base for mine, base in zip(ours, floor, strict=True)]
            spread = f"{statistics.median(ratios):.2f}  ({min(ratios):.2f} … {max(ratios):.2f})"
            say(f"{name:<42}{statistics.median(floor):>12,.2f}{statistics.median(ours):>12,.2f}{unit:>6}{spread:>38}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def calibration() -> float:
    """A fixed loop: how fast this machine is just now, in million additions a second."""
    begun, total = time.perf_counter(), 0
    for number in range(3_000_000):
        total += number
    return 3 / (time.perf_counter() - begun)


@asynccontextmanager
async def floor_process(folder: Path) -> AsyncIterator[int]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.floor", "--port", str(port), "--secret", SECRET, "--database", str(folder / "floor.db"),
        cwd=ROOT, env=dict(os.environ),
    )  # fmt: skip
    try:
        async with asyncio.timeout(10), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
        yield port
    finally:
        process.kill()
        await process.wait()


async def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = create_simulator_app(token=TOKEN, rate_limits=False)
        async with serving(app) as telegram, aiohttp.ClientSession() as session, floor_process(folder) as floor_port:
            port = free_port()
            gateway = GatewayProcess(write_config(folder, port, telegram), port)
            token = await seed_agent(gateway.load())
            begun = time.perf_counter()
            await gateway.start()
            say(f"serve to first answer: {time.perf_counter() - begun:.2f} s; calibration {calibration():.1f} M additions/s")
            bench = Bench(floor_port, gateway, token, session, options)
            try:
                bench.parse()
                await bench.warm_up()
                await bench.quiet()
                await bench.accept()
                for rate in (100, 500):
                    await bench.feed(rate)
            finally:
                await gateway.kill()
            bench.report()
            say(f"calibration {calibration():.1f} M additions/s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs per figure")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one closed-loop run")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
