"""C04 and C12: pure functions that keep secrets."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec

from connectors.content import Text
from connectors.contract import Outbound
from connectors.errors import BadPayload, ConnectorError
from gateway.channels import secrets_in
from gateway.kit import wild
from gateway.kit.bench import HELLO, Bench
from gateway.kit.elsewhere import facts, facts_elsewhere
from gateway.kit.findings import Findings
from gateway.kit.guard import watching

_PURE: Final = "It may use its arguments and nothing else: a payload is parsed again years later."
_HIDE: Final = "Credentials are added by the client, at the wire; take them out of the provider's words."
#: Shorter secrets are found by chance.
_SHORTEST: Final = 8


# --- C04 ----------------------------------------------------------------------------------------------------------------


def pure(bench: Bench, to: Findings) -> None:
    """C04."""
    for name, function, arguments in _uses(bench):
        _run_twice(to, name, function, arguments)
    if not bench.name:
        to.exempt("another process: the connector was given as an object and not by name")
        return
    messages = [bench.message(Text(text="kit " * 50))]
    try:
        there = facts_elsewhere(bench, bench.name, messages)
    except OSError as error:
        to.expect(right=False, what=f"it does not run in another process: {error}", remedy="It must be importable, and the sample too.")
        return
    here = facts(bench, messages)
    functions: tuple[Callable[..., Any], ...] = (bench.connector.parse, bench.connector.render, bench.connector.read_reply)
    for ours, theirs, function in zip(here, there, functions, strict=True):
        remedy = f"{_PURE} Look for hash(), sets, local time, the environment."
        to.expect(ours == theirs, "gives something else in another process and time zone", remedy, function)


def _uses(bench: Bench) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    connector, settings = bench.connector, bench.settings
    for arrival in bench.arrivals:
        yield arrival.name, connector.verify, (arrival.request, settings)
        yield arrival.name, connector.parse, (arrival.request, settings)
        yield arrival.name, connector.keeps, (arrival.request,)
    for case, requests in bench.reports:
        for request in requests:
            yield case.name, connector.parse, (request, settings)
    for question, asked in bench.questions:
        yield question.name, connector.handshake, (asked, settings)
    for sending, message in [*bench.sendings, (None, bench.message(HELLO))]:
        yield sending.name if sending else "a text", connector.render, (message, settings)
    for answer, reply in bench.answers:
        if call := answer.its_call() or bench.hello:
            yield answer.name, connector.read_reply, (call, reply, settings)
    yield "settings", connector.account, (settings,)


def _run_twice(to: Findings, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    before = _image(arguments)
    with watching() as used:
        first = _result(function, arguments)
    second = _result(function, arguments)
    to.expect(not used, f"{name}: uses {', '.join(sorted(used))}", _PURE, function)
    to.expect(_same(first, second), f"{name}: gives something else the second time", _PURE, function)
    to.expect(_image(arguments) == before, f"{name}: changes its arguments", _PURE, function)


def _result(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        found = function(*arguments)
        return list(found) if isinstance(found, list | tuple) else found
    except ConnectorError as error:
        return type(error), str(error)


def _same(first: Any, second: Any) -> bool:
    return bool(first == second)


def _image(arguments: tuple[Any, ...]) -> bytes:
    """All that they hold, secrets too: only compared, never shown."""
    return msgspec.json.encode(arguments, enc_hook=lambda value: value.reveal() if hasattr(value, "reveal") else repr(value))


# --- C12 ----------------------------------------------------------------------------------------------------------------


def discreet(bench: Bench, to: Findings) -> None:
    """C12: the pure part; ``check_wire`` looks at the client."""
    if not bench.secrets:
        to.exempt("the sample's settings have no secret")
        return
    for name, shown, function in _shown(bench):
        for found in leaks(bench.secrets, shown):
            to.expect(right=False, what=f"{name} shows {found}", remedy=_HIDE, place=function)
        to.looked += 1
    for settings in (bench.settings, *bench.others):
        for text in (repr(settings), str(settings), f"{settings}"):
            to.expect(not list(leaks(bench.secrets, text)), "the settings show a secret", "Make it a config.Secret.", "settings")
    unset = [secret for secret in secrets_in(bench.settings) if len(secret.reveal()) < _SHORTEST]
    to.expect(
        not unset,
        f"a secret of fewer than {_SHORTEST} characters",
        "Give the sample longer ones: short ones are not looked for.",
        "sample.py",
    )


def _shown(bench: Bench) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    connector = bench.connector
    for arrival in bench.arrivals:
        for body in (arrival.request.body, arrival.request.body[:-2], b"{"):
            found = bench.try_parse(msgspec.structs.replace(arrival.request, body=body))
            yield f"{arrival.name}: an event or error", _text(found), connector.parse
        yield f"{arrival.name}: a kept header", _text(dict(connector.keeps(arrival.request))), connector.keeps
    for case, message in [*bench.sendings, (None, bench.message(HELLO)), (None, Outbound(id="msg_1", to="kit nobody", parts=(HELLO,)))]:
        name = case.name if case else "a text"
        yield f"{name}: a call or refusal", _text(_tried(bench, message)), connector.render
    for answer, reply in bench.answers:
        if call := answer.its_call() or bench.hello:
            yield f"{answer.name}: an outcome", _text(bench.outcome(call, reply)), connector.read_reply
    yield "the account", connector.account(bench.settings), connector.account


def _tried(bench: Bench, message: Outbound) -> Any:
    try:
        return bench.try_render(message)
    except Exception as error:  # noqa: BLE001  its words are looked at; that it came is C10's
        return error


def echoing(body: bytes, words: str) -> bytes:
    """The provider's answer with more in its words: some repeat the request."""

    def walk(value: Any) -> Any:
        if isinstance(value, str) and " " in value:
            return f"{value} {words}"
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return {name: walk(inner) for name, inner in value.items()} if isinstance(value, dict) else value

    document = wild.as_json(body)
    return f"<html>{words}</html>".encode() if document is None else json.dumps(walk(document)).encode()


def _text(value: Any) -> str:
    if isinstance(value, BadPayload | Exception):
        return f"{value!r} {value} {value.__cause__!r}"
    items = value if isinstance(value, list) else [value]
    data = [msgspec.json.encode(item, enc_hook=repr).decode() for item in items]
    raw = [getattr(item, "raw", b"").decode("utf-8", "replace") for item in items]
    return " ".join([repr(value), *data, *raw])


def leaks(secrets: tuple[str, ...], text: str) -> Iterator[str]:
    """In words, how a secret can be read in ``text``; never the secret."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            for how, form in forms(secret):
                if form in text:
                    yield f"a secret ({how})"
                    break


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """The ways in which a secret is written, the plainest first."""
    yield "as it is", secret
    yield "URL-quoted", quote(secret, safe="")
    yield "URL-quoted", quote_plus(secret)
    yield "escaped for JSON", json.dumps(secret)[1:-1]
    yield "in hex", binascii.hexlify(secret.encode()).decode()
    for shift in range(3):
        # Whatever stands before it (a user name and a colon), the middle of its base64 is one of three texts.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            middle = encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
            yield "in base64", middle[4 if shift else 0 : len(middle) - 2]
