"""C20: would the author's cases notice if the connector were wrong?"""

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from msgspec.structs import replace

from connectors.contract import Connector, Failure
from connectors.errors import BadPayload, Inexpressible
from connectors.event import Status, StatusReported, WatermarkReported
from gateway.kit.bench import Bench, decode, plain
from gateway.kit.check_saying import call_data
from gateway.kit.copies import changed, compiled, loaded, modules_of
from gateway.kit.findings import Findings
from gateway.kit.mutants import Mutant, chosen, mutants_of, used_names
from routing.delivery import advance

#: So many changes are tried, the same ones every time.
SAMPLED: Final = 60
#: So many of a hundred must be noticed.
WANTED: Final = 80


@dataclass(frozen=True, slots=True)
class Tally:
    """How it went."""

    killed: int
    survivors: tuple[Mutant, ...]

    @property
    def percent(self) -> float:
        made = self.killed + len(self.survivors)
        return 100 * self.killed / made if made else 0.0


def noticed(bench: Bench, to: Findings) -> None:
    """C20."""
    if not bench.name:
        to.exempt("the connector was given as an object and not by name")
        return
    tally = tried(bench, SAMPLED)
    shown = "; ".join(f"{mutant.module.rpartition('.')[2]}.py:{mutant.line}: {mutant.change}" for mutant in tally.survivors)
    made = tally.killed + len(tally.survivors)
    what = f"{tally.killed} of {made} changes of the code are noticed ({tally.percent:.0f} %). Not noticed: {shown}"
    to.notes.append(f"{tally.killed} of {made} changes are noticed")
    to.expect(tally.percent >= WANTED, what, "Write a case for what is named; or take out of the code what no case needs", "cases")


def tried(bench: Bench, most: int) -> Tally:
    """Makes up to ``most`` mutants, and counts those that a case notices. Raises AssertionError if the true code fails its cases."""
    root, attribute = _root(bench)
    modules = modules_of(root, bench.sample.modules, frozenset({"simulator"}))
    codes = compiled(modules)
    skipped = frozenset({bench.connector.settings.__name__, getattr(bench.connector.client, "__name__", "")})
    sources = {name: Path(str(modules[name].__file__)).read_text("utf-8") for name in _pure(bench, modules)}
    used = used_names(list(sources.values()), {function.__name__ for function in _functions(bench.connector)})
    made = [mutant for name, source in sources.items() for mutant in mutants_of(name, source, skipped, used)]
    with loaded(codes, root, attribute) as copy:
        wrong = first_wrong(bench, copy)
    if wrong:
        raise AssertionError(f"the code as it is fails the case {wrong!r}: see C07, C10, C11 first")
    killed, survivors = 0, []
    for mutant in chosen(made, most):
        if is_noticed(bench, changed(codes, mutant.module, mutant.tree), root, attribute):
            killed += 1
        else:
            survivors.append(mutant)
    return Tally(killed, tuple(survivors))


def _pure(bench: Bench, modules: Mapping[str, ModuleType]) -> list[str]:
    """Where the pure functions are, and what these modules import of the connector's own; without its settings, which C01 judges."""
    connector = bench.connector
    waiting = [name for function in _functions(connector) if (name := getattr(function, "__module__", "")) in modules]
    found = dict.fromkeys(waiting)
    while waiting:
        for name in _imports(modules[waiting.pop()]):
            if name in modules and name not in found and name != connector.settings.__module__:
                found[name] = None
                waiting.append(name)
    return sorted(found)


def _functions(connector: Connector[Any]) -> list[Callable[..., Any]]:
    found = (connector.verify, connector.parse, connector.render, connector.read_reply, connector.account, connector.handshake)
    return [function for function in found if hasattr(function, "__name__")]


def _imports(module: ModuleType) -> Iterator[str]:
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(package, module.__package__) if node.level else package
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _root(bench: Bench) -> tuple[str, str]:
    """Module and attribute of the connector."""
    module, _, attribute = bench.name.partition(":")
    attribute = attribute or "CONNECTOR"
    if getattr(sys.modules.get(module), attribute, None) is bench.connector:
        return module, attribute
    for name, loaded_module in sorted(sys.modules.items()):
        if getattr(loaded_module, "__dict__", {}).get("CONNECTOR") is bench.connector:
            return name, "CONNECTOR"
    raise AssertionError(f"no module has {bench.name} as its CONNECTOR")


def is_noticed(bench: Bench, codes: dict[str, CodeType], root: str, attribute: str) -> bool:
    """Does a case fail with this code?"""
    try:
        with loaded(codes, root, attribute) as connector:
            return bool(first_wrong(bench, connector))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return True


def first_wrong(bench: Bench, connector: Connector[Any]) -> str:
    """The name of the first case that this connector fails; empty if it passes them all. Raises what it raises."""
    settings = decode(connector, bench.sample.settings, {}, bench.folder.path)
    return next((name for name, right in _judged(bench, connector, settings) if not right), "")


def _judged(bench: Bench, connector: Connector[Any], settings: Any) -> Iterator[tuple[str, bool]]:
    for wrong in bench.wrong_settings:
        yield wrong.name, wrong.refused in bench.refusal(wrong, connector)
    yield from _inbound(bench, connector, settings)
    yield from _reported(bench, connector, settings)
    for question, asked in bench.questions:
        wanted = None if question.body is None else question.body.encode()
        yield question.name, connector.handshake(asked, settings) == wanted
    for sending, message in bench.sendings:
        try:
            calls = [call_data(call) for call in connector.render(message, settings)]
        except Inexpressible as error:
            yield sending.name, bool(sending.refused) and sending.refused in str(error)
        else:
            yield sending.name, calls == sending.calls
    for answer, reply in bench.answers:
        call = answer.its_call() or bench.hello
        assert call is not None
        outcome, expected = connector.read_reply(call, reply, settings), answer.expected()
        if "detail" not in answer.outcome and isinstance(outcome, Failure) and isinstance(expected, Failure):
            outcome = replace(outcome, detail="")
        yield answer.name, outcome == expected


def _inbound(bench: Bench, connector: Connector[Any], settings: Any) -> Iterator[tuple[str, bool]]:
    others = [decode(connector, bench.sample.settings, changes, bench.folder.path) for changes in bench.sample.other_secrets]
    for arrival in bench.forgeries:
        yield arrival.name, connector.verify(arrival.request, settings) is False
    for arrival in bench.arrivals:
        yield arrival.name, connector.verify(arrival.request, settings) is True
        yield arrival.name, not any(connector.verify(arrival.request, other) for other in others)
        try:
            events = plain(list(connector.parse(arrival.request, settings)))
        except BadPayload as error:
            yield arrival.name, bool(arrival.case.bad) and arrival.case.bad in str(error)
        else:
            yield arrival.name, events == arrival.case.events


def _reported(bench: Bench, connector: Connector[Any], settings: Any) -> Iterator[tuple[str, bool]]:
    for case, requests in bench.reports:
        status = Status.SENT
        for request in requests:
            for event in connector.parse(request, settings):
                if isinstance(event, StatusReported | WatermarkReported):
                    status = advance(status, event.status)
        yield case.name, status is case.ends
