"""C02 and C17: is it really the provider?"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from msgspec.structs import force_setattr, replace

from config import Secret
from connectors.contract import Request
from gateway.kit.bench import Arrival, Bench
from gateway.kit.findings import Findings

#: So many cases, the shortest bodies first, and so many of a body's bytes are changed.
_CASES: Final = 3
_BYTES: Final = 4096
#: Headers that describe a body and prove nothing.
_DESCRIBING: Final = frozenset({"content-type", "content-length", "host", "user-agent"})
_USE: Final = "Compare the raw bytes by connectors.signature, with the header that the provider documents and nothing else."


def genuine(bench: Bench, to: Findings) -> None:
    """C02."""
    arrivals = sorted(bench.arrivals, key=lambda one: len(one.request.body))
    if not to.expect(arrivals, "there is no inbound case", "Write one: a recorded request and its events.", "cases"):
        return
    for arrival in arrivals:
        right = bench.connector.verify(arrival.request, bench.settings)
        if not to.expect(right is True, f"{arrival.name}: the provider's own request is refused", _USE, bench.connector.verify):
            return
    for arrival in bench.forgeries:
        _refused(bench, to, arrival.request, f"{arrival.name}: the forged request")
    # Those that bring a proof of their own cannot be signed anew.
    signed = [one for one in arrivals if one.request != one.bare] or arrivals
    for arrival in [one for one in signed if one.request.body][:_CASES] or signed[:1]:
        _proofs(bench, to, arrival.request)
        _body(bench, to, arrival)
        _secrets(bench, to, arrival)
        _address(bench, to, arrival)


def _refused(bench: Bench, to: Findings, request: Request, what: str, settings: Any = None) -> None:
    judged = bench.connector.verify(request, bench.settings if settings is None else settings)
    to.expect(judged is False, f"{what} is taken for genuine", _USE, bench.connector.verify)


def _taken(bench: Bench, to: Findings, request: Request, what: str) -> None:
    judged = bench.connector.verify(request, bench.settings)
    to.expect(judged is True, f"{what} is refused", _USE, bench.connector.verify)


def _proofs(bench: Bench, to: Findings, request: Request) -> None:
    """Without each of the things that prove it, and with each of them changed."""
    named = [name for name in request.headers if name not in _DESCRIBING]
    proofs = [name for name in named if not bench.connector.verify(without(request, name), bench.settings)]
    asked = [name for name in request.query if not bench.connector.verify(_asked(request, name, None), bench.settings)]
    what = "a request with nothing that proves it"
    to.expect(proofs or asked, f"{what} is taken for genuine", _USE, bench.connector.verify)
    for name in proofs:
        value = request.headers[name]
        for changed in _changed(value):
            _refused(bench, to, replace(request, headers={**request.headers, name: changed}), f"{name} changed from what it should be")
        moved = replace(without(request, name), query={**request.query, name: value})
        _refused(bench, to, moved, f"{name} in the query instead of the header")
    for name in asked:
        for changed in _changed(request.query[name]):
            _refused(bench, to, _asked(request, name, changed), f"the query's {name} changed from what it should be")


def _changed(value: str) -> Iterator[str]:
    yield from ("", " ", value[:-1], value + "x", f"{value}, {value}", "é" * len(value), "\udce9", "x" * 10_000, "\0")
    for index, char in enumerate(value[:512]):
        yield value[:index] + ("A" if char != "A" else "B") + value[index + 1 :]


def _body(bench: Bench, to: Findings, arrival: Arrival) -> None:
    """Every byte of the body counts, if the signature covers it."""
    request = arrival.request
    resigned = bench.sign(replace(arrival.bare, body=request.body + "é✓".encode()))
    _taken(bench, to, resigned, "a genuine request with bytes beyond ASCII in its body")
    if (resigned.headers, resigned.query, resigned.url) == (request.headers, request.query, request.url):
        to.exempt("the sample's proof does not depend on the body, so a changed body cannot be seen")
        return
    body = request.body
    step = max(1, len(body) // _BYTES)
    for index in range(0, len(body), step):
        changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        _refused(bench, to, replace(request, body=changed), f"a body with byte {index} changed")
    for changed, how in ((body[:-1], "cut by one byte"), (body + b"x", "with one byte more"), (b"", "taken away")):
        if changed != body:
            _refused(bench, to, replace(request, body=changed), f"a body {how}")


def _secrets(bench: Bench, to: Findings, arrival: Arrival) -> None:
    """Of another secret, and of none."""
    request = arrival.request
    if not bench.others:
        remedy = "Give the changes of the settings that make what is signed for `settings` wrong."
        to.expect(not bench.secrets, "the sample has secrets and no other_secrets", remedy, "sample.py")
    for index, other in enumerate(bench.others):
        _refused(bench, to, request, f"a request for other settings (other_secrets[{index}])", other)
        _refused(bench, to, bench.sign(arrival.bare, other), f"a request signed with another secret (other_secrets[{index}])")
        empty = bench.settings_with({})
        for name in bench.sample.other_secrets[index]:
            if isinstance(getattr(empty, name, None), Secret):
                force_setattr(empty, name, Secret(""))
        _refused(bench, to, request, "a request for settings without a secret", empty)
        try:
            unsigned = bench.sign(arrival.bare, empty)
        except Exception as error:  # noqa: BLE001  whatever the author's own function says: then nobody can sign it so
            to.exempt(f"the sample cannot sign with an empty secret ({type(error).__name__})")
            continue
        _refused(bench, to, unsigned, "a request signed with an empty secret", empty)


def _address(bench: Bench, to: Findings, arrival: Arrival) -> None:
    """The address counts, if the signature covers it."""
    request = arrival.request
    place = urlsplit(request.url)
    elsewhere = bench.sign(replace(arrival.bare, url=urlunsplit(place._replace(path=f"{place.path}/kit"))))
    if elsewhere.headers == request.headers:
        to.exempt("the sample's proof does not depend on the address")
        return
    others = (
        place._replace(netloc="other.example"),
        place._replace(path=f"{place.path}x"),
        place._replace(query="kit=1"),
        place._replace(scheme="http"),
    )
    for other in others:
        _refused(bench, to, replace(request, url=urlunsplit(other)), f"a request for another address ({urlunsplit(other)})")
    if not bench.sample.signs_port:
        to.exempt("the provider does not sign the address with its port (sample.signs_port)")
        return
    for signed, called in (("", ":443"), (":443", ""), (":443", ":443")):
        signed_url, called_url = (urlunsplit(place._replace(netloc=f"{place.hostname}{port}")) for port in (signed, called))
        made = replace(bench.sign(replace(arrival.bare, url=signed_url)), url=called_url)
        _taken(bench, to, made, f"a request to {called_url} that was signed for {signed_url}")


def answers(bench: Bench, to: Findings) -> None:
    """C17."""
    if not bench.questions:
        request = Request(method="GET", url=bench.sample.url, headers={}, body=b"", received_at=bench.sample.received_at)
        challenge = {
            "hub.mode": "subscribe",
            "hub.challenge": "kit4711",
            "hub.verify_token": "",
            "challenge": "kit4711",
            "crc_token": "kit",
        }
        for query in ({}, challenge):
            found = bench.connector.handshake(replace(request, query=query), bench.settings)
            what = "a question is answered, and no case says so"
            to.expect(found is None, what, "Write handshake cases.", bench.connector.handshake)
        to.exempt("no handshake: the provider asks nothing before it trusts an address")
        return
    for case, request in bench.questions:
        found = bench.connector.handshake(request, bench.settings)
        wanted = None if case.body is None else case.body.encode()
        to.expect(
            found == wanted, f"{case.name}: the answer is {found!r}, not {wanted!r}", "Correct it or its case.", bench.connector.handshake
        )
        if found is not None:
            _asked_wrongly(bench, to, request, found)


def _asked_wrongly(bench: Bench, to: Findings, request: Request, answer: bytes) -> None:
    ask, remedy = (
        bench.connector.handshake,
        "Give the challenge back as it came, and only to the right token, compared by connectors.signature.",
    )
    mirrored = [name for name, value in request.query.items() if value and value.encode() in answer]
    for name, value in request.query.items():
        if name in mirrored:
            strange = "<script>kit</script> é%00"
            given = ask(_asked(request, name, strange), bench.settings)
            right = given is None or given == answer.replace(value.encode(), strange.encode())
            to.expect(right, f"the challenge {name} comes back changed", remedy, ask)
    tokens = [name for name, value in request.query.items() if name not in mirrored and value in bench.secrets]
    tokens = tokens or [name for name in request.query if name not in mirrored]
    what = "no token of the question counts"
    to.expect(any(ask(_asked(request, name, None), bench.settings) is None for name in tokens), what, remedy, ask)
    for name in tokens:
        if ask(_asked(request, name, None), bench.settings) is not None:
            continue
        for wrong in _changed(request.query[name]):
            to.expect(ask(_asked(request, name, wrong), bench.settings) is None, f"a wrong {name} is answered", remedy, ask)


def without(request: Request, header: str) -> Request:
    """The request without one of its headers."""
    return replace(request, headers={name: value for name, value in request.headers.items() if name != header})


def _asked(request: Request, name: str, value: str | None) -> Request:
    query = {key: one for key, one in request.query.items() if key != name} | ({} if value is None else {name: value})
    url = f"{request.url.partition('?')[0]}?{urlencode(query, errors='replace')}" if query else request.url.partition("?")[0]
    return replace(request, query=query, url=url)
