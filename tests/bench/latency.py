"""How long one message takes: until the provider has its 2xx, and until it stands on an agent's screen; and what parsing costs."""

import timeit
from collections.abc import Callable
from email import message_from_bytes, policy
from urllib.parse import parse_qs

import msgspec

from connectors.content import Text
from connectors.contract import Request
from connectors.event import AnyEvent, MessageReceived
from connectors.registry import BUILT_IN, load_connector
from gateway.kit.bench import Bench
from gateway.kit.folder import read_folder
from tests.bench.figures import Figure
from tests.bench.ground import CHATS, ENGINES, Engine, Floor, Ground, Site
from tests.support.process import ROOT

_PARSES = 1000
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
    """A webhook's bytes to events, for each connector, beside the bare decoding of the same bytes."""
    for kind in BUILT_IN:
        bench = Bench(load_connector(kind), read_folder(ROOT / "tests" / "connectors" / kind))
        request = _text(bench)
        decode = _bare(request)
        base, ours = [], []
        for _ in range(ground.pairs):
            base.append(1e6 * timeit.timeit(decode, number=_PARSES) / _PARSES)
            ours.append(1e6 * timeit.timeit(lambda bench=bench, request=request: bench.parse(request), number=_PARSES) / _PARSES)  # type: ignore[misc]
        ground.add(Figure("parse", f"parse one text, {kind}", "us", ours, base))


def _text(bench: Bench) -> Request:
    """The case that is called so, or the first that is nothing but one message with text."""
    plain = [one for one in bench.good if _only_text(bench.parse(one.request))]
    return next((one.request for one in plain if one.name == "text"), plain[0].request)


def _only_text(events: list[AnyEvent]) -> bool:
    return len(events) == 1 and isinstance(events[0], MessageReceived) and any(isinstance(part, Text) for part in events[0].parts)


def _bare(request: Request) -> Callable[[], object]:
    """What has to be done at least: the body as values, without any meaning."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return lambda: parse_qs(request.body.decode(), keep_blank_values=True)
    if request.body[:1] == b"{":
        return lambda: msgspec.json.decode(request.body)
    return lambda: message_from_bytes(request.body, policy=policy.default).get_content()
