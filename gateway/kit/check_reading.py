"""C03, C05, C06, C07, C08, C18: what ``parse`` makes of good and bad bodies."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, pairwise
from time import thread_time
from typing import Final, get_args

from msgspec.structs import replace

from connectors.content import Unsupported
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import (
    AnyEvent,
    MessageReceived,
    PayloadIgnored,
    PayloadQuarantined,
    decode_event,
    encode_event,
)
from gateway.kit import wild
from gateway.kit.bench import Arrival, Bench, as_data, plain
from gateway.kit.findings import Findings, crash_of

#: Cases that are broken in every way, the shortest first: longer ones add time and little else.
_FUZZED: Final = 16
_PER_CASE: Final = 400
#: Seconds of processor time, the best of three: a generous bound for any body, and more for each megabyte.
_SECONDS: Final = 0.05
_PER_MEGABYTE: Final = 0.3
_HUGE: Final = 10_000_000
_LONGEST_KEY: Final = 512
_TOTAL: Final = "Turn it into BadPayload: catch msgspec.MsgspecError, UnicodeDecodeError and RecursionError."


def total(bench: Bench, to: Findings) -> None:
    """C03."""
    arrivals = sorted(bench.arrivals, key=lambda one: len(one.request.body))
    if not to.expect(arrivals, "there is no inbound case", "Write one: a recorded request and its events.", "cases"):
        return
    for arrival in arrivals[:_FUZZED]:
        body = arrival.request.body
        for changed in islice(_wild(body), _PER_CASE):
            _survives(bench, to, replace(arrival.request, body=changed), f"{arrival.name}, changed to {_shown(changed)}")
        for name in arrival.request.headers:
            for value in ("", "\0", "é", "x" * 10_000):
                headers = {**arrival.request.headers, name: value}
                _survives(bench, to, replace(arrival.request, headers=headers), f"{arrival.name} with header {name} changed")
        _survives(bench, to, replace(arrival.request, headers={}, query={}), f"{arrival.name} without headers")
    first = arrivals[0].request
    for body in (*wild.hostile(first.body), *wild.huge(first.body, _HUGE)):
        _survives(bench, to, replace(first, body=body), f"a body of {len(body):,} bytes, {_shown(body)}")
        _is_quick(bench, to, replace(first, body=body))


def _wild(body: bytes) -> Iterator[bytes]:
    yield from wild.broken(body)
    yield from wild.confused(body)


def _shown(body: bytes) -> str:
    return repr(body if len(body) <= 80 else body[:60] + b"...")[1:]


def _survives(bench: Bench, to: Findings, request: Request, what: str) -> None:
    """Events that can be stored, or BadPayload."""
    parse = bench.connector.parse
    try:
        events = parse(request, bench.settings)
    except BadPayload:
        to.looked += 1
        return
    except NotImplementedError:
        raise
    except BaseException as error:  # noqa: BLE001  whatever it is, it is the finding
        crash = crash_of(error)
        to.expect(right=False, what=f"{what}: {crash.what}", remedy=f"{_TOTAL} ({crash.place})", place=parse)
        return
    to.expect(len(events), f"{what}: accepted, and no event", "Give PayloadIgnored(why=…).", parse)
    for event in events:
        # One broken element of a batch may be set aside by itself, as a whole body that holds nothing else.
        storable = isinstance(event, get_args(AnyEvent)) and not (isinstance(event, PayloadQuarantined) and not event.raw)
        remedy = "Give events of connectors.event; PayloadQuarantined only for an element of a batch, with `raw` to parse again."
        if not to.expect(storable, f"{what}: gave a {type(event).__name__}", remedy, parse):
            continue
        to.expect(0 < len(event.key) <= _LONGEST_KEY, f"{what}: a key of {len(event.key)} characters", "1 to 512 characters.", parse)
        try:
            data = encode_event(event)
            decode_event(data)
        except Exception as error:  # noqa: BLE001  what cannot be stored is the finding
            to.expect(
                right=False, what=f"{what}: the event cannot be stored ({error})", remedy="Check types, surrogates and times.", place=parse
            )
            continue
        to.expect(
            b"\\u0000" not in data or not _has_nul(as_data(event)),
            f"{what}: NUL in the event",
            "Replace it by U+FFFD: PostgreSQL cannot store it.",
            parse,
        )


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(name) or _has_nul(inner) for name, inner in value.items())
    return any(map(_has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


def _is_quick(bench: Bench, to: Findings, request: Request) -> None:
    allowed = _SECONDS + _PER_MEGABYTE * len(request.body) / 1_000_000
    taken = allowed + 1
    for _ in range(3):
        began = thread_time()
        with suppress(Exception):  # a crash is noted elsewhere
            bench.try_parse(request)
        taken = min(taken, thread_time() - began)
        if taken <= allowed:
            break
    what = f"a body of {len(request.body):,} bytes, {_shown(request.body)}, took {taken:.2f} s"
    to.expect(taken <= allowed, what, "Read it once, by msgspec; look for what is quadratic.", bench.connector.parse)


def keys(bench: Bench, to: Findings) -> None:
    """C05."""
    parse = bench.connector.parse
    seen: dict[str, tuple[str, object]] = {}
    for name, request in _all_requests(bench):
        events = bench.try_parse(request)
        if isinstance(events, BadPayload):
            continue
        mine = [event.key for event in events]
        to.expect(all(0 < len(key) <= _LONGEST_KEY for key in mine), f"{name}: an empty or too long key", "1 to 512 characters.", parse)
        to.expect(len(set(mine)) == len(mine), f"{name}: two events with one key", "Put what the event is about into its key.", parse)
        again = replace(bench.sign(replace(request, received_at=request.received_at.replace(year=2027))), url=request.url)
        later = bench.try_parse(again)
        same = not isinstance(later, BadPayload) and [event.key for event in later] == mine
        to.expect(
            same, f"{name}: other keys when it is delivered again", "Make keys of what the provider sends, and of nothing else.", parse
        )
        for event in events:
            other = seen.setdefault(event.key, (name, as_data(event)))
            what = f"{name} and {other[0]} share the key {event.key!r}"
            to.expect(other[1] == as_data(event), what, "An edit, and each status, needs a key of its own.", parse)
    to.expect(seen, "there is no inbound case with events", "Write one.", "cases")


def _all_requests(bench: Bench) -> Iterator[tuple[str, Request]]:
    for arrival in bench.arrivals:
        yield arrival.name, arrival.request
    for case, requests in bench.reports:
        for index, request in enumerate(requests):
            yield f"{case.name} {index + 1}", request


def batches(bench: Bench, to: Findings) -> None:
    """C06."""
    _accounts(bench, to)
    if bench.sample.merge is None:
        to.exempt("no merger in the sample: the provider sends one thing per request")
        return
    arrivals = [one for one in bench.good if not one.case.closed]
    groups = [[one, other] for one, other in pairwise(arrivals)] + [arrivals, arrivals[::-1]]
    if not to.expect(len(arrivals) > 1, "a merger, and fewer than two inbound cases", "Write more cases.", "cases"):
        return
    for group in groups:
        body = bench.sample.merge([one.request.body for one in group])
        found = bench.try_parse(bench.sign(replace(group[0].bare, body=body)))
        wanted = [event for one in group for event in plain(bench.parse(one.request))]
        got = str(found) if isinstance(found, BadPayload) else plain(found)
        names = " + ".join(one.name for one in group[:3]) + (" + …" if len(group) > 3 else "")
        remedy = "Read all entries, in their order, and keep nothing of one for the next."
        to.expect(got == wanted, f"{names} in one body gives other events than each alone", remedy, bench.connector.parse)


def _accounts(bench: Bench, to: Findings) -> None:
    ours = bench.connector.account(bench.settings)
    if not ours:
        to.exempt("one account per webhook: Connector.account says nothing")
        return
    if "accounts" in bench.sample.exempt:
        named = {event.account for one in bench.good for event in bench.parse(one.request)} - {""}
        to.expect(
            not named, f"an event names the account {sorted(named)}", 'Write cases instead of Sample.exempt["accounts"].', "sample.py"
        )
        to.exempt(bench.sample.exempt["accounts"])
        return
    found = {event.account for one in bench.good for event in bench.parse(one.request)}
    remedy = "Event.account says which account it is for, in the words of Connector.account."
    to.expect(found & {"", ours}, "no inbound case is for the sample's own account", remedy, "cases")
    to.expect(found - {"", ours}, "no inbound case is for another account of the provider's", f"Write one. {remedy}", "cases")


def golden(bench: Bench, to: Findings) -> None:
    """C07."""
    to.expect(bench.good or not bench.able.receives, "there is no inbound case with events", "Write one.", "cases")
    for arrival in bench.arrivals:
        found = bench.try_parse(arrival.request)
        if isinstance(found, BadPayload) or arrival.case.events is None:
            right = isinstance(found, BadPayload) and bool(arrival.case.bad) and arrival.case.bad in str(found)
            got = f"BadPayload: {found}" if isinstance(found, BadPayload) else plain(found)
            wanted = arrival.case.bad or "events"
            to.expect(right, f"{arrival.name}: {got}, instead of {wanted}", "Correct it or its case.", bench.connector.parse)
            continue
        events = plain(found)
        what = f"{arrival.name}: {difference(arrival.case.events, events)}"
        if to.expect(events == arrival.case.events, what, "Correct it or its case.", bench.connector.parse):
            _with_extra(bench, to, arrival, events)
    missing = sorted(bench.able.receives - _part_types(bench))
    remedy = "Write a case for each, or take it out of CAPABILITIES.receives."
    to.expect(not missing, f"no inbound case has {', '.join(missing)}", remedy, "cases")


def _with_extra(bench: Bench, to: Findings, arrival: Arrival, events: list[object]) -> None:
    if "unknown_fields" in bench.sample.exempt:
        to.exempt(f"unknown fields: {bench.sample.exempt['unknown_fields']}")
        return
    body = wild.extended(arrival.request.body)
    if arrival.case.closed or body is None:
        return
    found = bench.try_parse(bench.sign(replace(arrival.bare, body=body)))
    got = str(found) if isinstance(found, BadPayload) else plain(found)
    what = f"{arrival.name} with fields that nobody knows: {got if isinstance(got, str) else difference(events, got)}"
    remedy = 'Read only the fields that you use; if the field is the content, mark the case "closed".'
    to.expect(got == events, what, remedy, bench.connector.parse)


def _part_types(bench: Bench) -> set[str]:
    events = [event for one in bench.good for event in bench.parse(one.request)]
    return {str(part.__struct_config__.tag) for event in events for part in getattr(event, "parts", ())}


def difference(wanted: object, got: object, path: str = "events") -> str:
    """The first place where two documents differ."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for name in [*wanted, *(name for name in got if name not in wanted)]:
            if wanted.get(name, "<none>") != got.get(name, "<none>"):
                return difference(wanted.get(name, "<none>"), got.get(name, "<none>"), f"{path}.{name}")
    if isinstance(wanted, list) and isinstance(got, list):
        for index, (one, other) in enumerate(zip(wanted, got, strict=False)):
            if one != other:
                return difference(one, other, f"{path}[{index}]")
        return f"{path} has {len(got)} instead of {len(wanted)}"
    return f"{path} is {got!r:.200} instead of {wanted!r:.200}"


def unknown(bench: Bench, to: Findings) -> None:
    """C08."""
    parse, strange = bench.connector.parse, False
    strict = "unknown_fields" in bench.sample.exempt
    for arrival in bench.good:
        events = bench.try_parse(arrival.request)
        if isinstance(events, BadPayload):
            continue
        to.expect(events, f"{arrival.name}: accepted, and no event", "Give PayloadIgnored(why=…).", parse)
        strange = strange or any(_is_strange(event) for event in events)
        for field, body in wild.unknown_kinds(arrival.request.body):
            found = bench.try_parse(bench.sign(replace(arrival.bare, body=body)))
            refused = isinstance(found, BadPayload) and field.lower() == "type" and not strict
            what = f"{arrival.name} with an unknown {field}: " + ("no event" if not refused else str(found))
            remedy = "Give Unsupported(kind=…) in a message, or PayloadIgnored(why=…)."
            to.expect((isinstance(found, BadPayload) and not refused) or (not isinstance(found, BadPayload) and found), what, remedy, parse)
    if strict:
        to.exempt(f"unknown kinds: {bench.sample.exempt['unknown_fields']}")
    else:
        remedy = "Write a case for a kind that the connector does not know: providers invent them."
        to.expect(strange, "no inbound case gives PayloadIgnored or Unsupported", remedy, "cases")


def _is_strange(event: AnyEvent) -> bool:
    parts = getattr(event, "parts", ())
    return isinstance(event, PayloadIgnored) or any(isinstance(part, Unsupported) for part in parts)


def loops(bench: Bench, to: Findings) -> None:
    """C18."""
    own = [one for one in bench.good if one.case.own]
    if not own and "own" in bench.sample.exempt:
        to.exempt(bench.sample.exempt["own"])
        return
    remedy = 'Write one with "own": true; or say in Sample.exempt["own"] why the provider never shows our own messages.'
    to.expect(own, "no inbound case shows a message of our own", remedy, "cases")
    for arrival in own:
        events = bench.parse(arrival.request)
        what = f"{arrival.name}: our own message comes back as a shopper's"
        right = events and not any(isinstance(event, MessageReceived) for event in events)
        to.expect(right, what, "Give MessageEchoed, or PayloadIgnored.", bench.connector.parse)
