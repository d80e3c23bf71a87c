"""How long one message takes: until the provider has its 2xx, and until it stands on an agent's screen; and what parsing costs."""

import timeit
from datetime import UTC, datetime

import msgspec

from config.decode import decode_section
from connectors.contract import Request
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.payload import Update
from tests.bench.figures import Figure
from tests.bench.ground import CHATS, ENGINES, Engine, Floor, Ground, Site
from tests.bench.load import update
from tests.support.process import SECRET, TOKEN

_ACKS = 200


async def latency(ground: Ground) -> None:
    """Both engines, one node each, at rates that are far from what it can do."""
    for engine in ENGINES:
        async with ground.floor(engine) as floor, ground.site(engine) as site:
            await ground.warm_up(floor, site)
            await _acks(ground, engine, floor, site)
            for rate in (100, 1000) if ground.long else (100,):
                await _feed(ground, engine, floor, site, rate)


async def _acks(ground: Ground, engine: Engine, floor: Floor, site: Site) -> None:
    timing = ("--rate", str(_ACKS), "--seconds", "5" if ground.long else "1", *CHATS)
    base, ours = [], []
    for _ in range(ground.pairs_on(engine)):
        base.append(await ground.load("paced", floor.port, *timing))
        ours.append(await ground.load("paced", site.edge.port, *timing))
    for name in ("p50", "p99"):
        key = f"{name}_ms"
        what = f"webhook to 2xx at {_ACKS}/s, {name}, {engine}"
        ground.add(Figure(f"ack {name}", what, "ms", [one[key] for one in ours], [one[key] for one in base]))


async def _feed(ground: Ground, engine: Engine, floor: Floor, site: Site, rate: int) -> None:
    timing = ("--rate", str(rate), "--seconds", "5" if ground.long else "1.5", *CHATS)
    base, ours = [], []
    for _ in range(ground.pairs_on(engine)):
        base.append(await ground.load("feed", floor.port, "--feed", "/feed", *timing))
        ours.append(await ground.load("feed", site.edge.port, "--token", site.token, *timing))
    for name in ("p50", "p99"):
        key = f"{name}_ms"
        what = f"webhook to agent's feed at {rate}/s, {name}, {engine}"
        ground.add(Figure(f"feed {name}", what, "ms", [one[key] for one in ours], [one[key] for one in base]))


async def parse(ground: Ground) -> None:
    """A webhook's bytes to events, beside the bare decoding of the same fields."""
    settings = decode_section(Settings, {"token": TOKEN, "secret_token": SECRET}, ("channels", "shop"), {})
    body, decoder = update(1, 1), msgspec.json.Decoder(Update)
    request = Request(method="POST", url="", headers={}, body=body, received_at=datetime.now(UTC))
    base, ours = [], []
    for _ in range(ground.pairs):
        base.append(1e6 * timeit.timeit(lambda: decoder.decode(body), number=5000) / 5000)
        ours.append(1e6 * timeit.timeit(lambda: CONNECTOR.parse(request, settings), number=5000) / 5000)
    ground.add(Figure("parse", "parse one Telegram text", "us", ours, base))
