"""C01: is the connector complete?"""

import re
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import fields

from config import ConfigError, Secret
from config.decode import decode_section
from connectors.content import AnyPart
from connectors.contract import Connector
from gateway.kit.bench import Bench
from gateway.kit.findings import Findings

_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CREDENTIAL: Final = re.compile(r"token|secret|password|passphrase|api_?key|private_?key|credential", re.IGNORECASE)
_PARTS: Final = frozenset(str(part.__struct_config__.tag) for part in AnyPart.__args__)
#: What only goes out, and what only comes in.
_ONLY_OUT: Final = frozenset({"choices", "template"})
_ONLY_IN: Final = frozenset({"chosen", "unsupported", "html", "order", "referral", "activity"})


def complete(bench: Bench, to: Findings) -> None:
    """The names, the settings, the limits."""
    connector, able = bench.connector, bench.able
    to.expect(_KIND.fullmatch(connector.kind), f"the kind {connector.kind!r}", "Use a-z, 0-9 and _, beginning with a letter.")
    for name, parts, never in (("sends", able.sends, _ONLY_IN), ("receives", able.receives, _ONLY_OUT)):
        to.expect(parts <= _PARTS, f"CAPABILITIES.{name} has {sorted(parts - _PARTS)}", f"Part types are {', '.join(sorted(_PARTS))}.")
        to.expect(not parts & never, f"CAPABILITIES.{name} has {sorted(parts & never)}", "That is the other direction.")
    to.expect(able.sends or able.receives, "CAPABILITIES has neither sends nor receives", "Say what the channel carries.")
    if "text" in able.sends and not able.bundles:
        limit = "Limits.text is 0"
        to.expect(able.limits.text > 0, limit, "Give the provider's longest text, and the page where it says so.")
    more = able.sends - connector.capabilities.sends
    to.expect(not more, f"capabilities_for adds {sorted(more)}", "CAPABILITIES is the most: settings may only take something away.")
    _windows(bench, to)
    if "sources" in bench.sample.exempt:
        to.exempt(bench.sample.exempt["sources"])
    else:
        dated = connector.sources and all(re.search(r"20\d\d", source) for source in connector.sources)
        to.expect(dated, "sources names no document with its date", "Name the provider's pages, and when you read them.", "CONNECTOR")
    _settings(bench, to)


def _windows(bench: Bench, to: Findings) -> None:
    for window in bench.able.windows:
        known = window.sends <= bench.able.sends
        to.expect(known, f"window {window.name!r} sends what CAPABILITIES.sends does not", "Take it out of the one or into the other.")
    names = [window.name for window in bench.able.windows]
    to.expect(len(set(names)) == len(names), "two windows have one name", "Give each window a name of its own.")


def _settings(bench: Bench, to: Findings) -> None:
    type_: type[Struct] = bench.connector.settings
    what = type_.__name__
    to.expect(type_.__struct_config__.frozen, f"{what} is not frozen", "Declare it with frozen=True.")
    strict = type_.__struct_config__.forbid_unknown_fields
    to.expect(strict, f"{what} takes unknown keys", "Declare it with forbid_unknown_fields=True: an operator's typing error must be named.")
    for info in fields(type_):
        if _CREDENTIAL.search(info.name):
            to.expect(is_secret(info.type), f"{what}.{info.name} may be printed", "Make it a config.Secret.")
        titled = any(isinstance(meta, msgspec.Meta) and meta.title for meta in getattr(info.type, "__metadata__", ()))
        to.expect(titled, f"{what}.{info.name} has no title", "Annotate it with msgspec.Meta(title=…): operators read it.")
    try:
        msgspec.json.schema(type_, schema_hook=_schema_of)
    except TypeError as error:
        to.expect(right=False, what=f"{what} has no JSON Schema: {error}", remedy="Use types that msgspec knows, and Secret.")
    for case in bench.wrong_settings:
        said = bench.refusal(case, bench.connector)
        right = case.refused in said
        to.expect(right, f"{case.name}: {said or 'taken'}, instead of {case.refused!r}", "Correct __post_init__ or the case.", what)
    to.expect(_refuses_unknown(bench.connector), f"{what} takes the key 'kit_unknown'", "Declare it with forbid_unknown_fields=True.")
    if any(is_secret(info.type) for info in fields(type_)):
        to.expect(bench.secrets, "the sample's settings have no secret", "Give every secret an invented value: C12 looks for them.")


def is_secret(annotation: object) -> bool:
    """Is it a Secret, with whatever is said about it?"""
    info = inspect.type_info(annotation)
    while isinstance(info, inspect.Metadata):
        info = info.type
    return isinstance(info, inspect.CustomType) and info.cls is Secret


def _schema_of(type_: type[Any]) -> dict[str, Any]:
    if type_ is Secret:
        return {"type": "string", "writeOnly": True}
    raise NotImplementedError


def _refuses_unknown(connector: Connector[Any]) -> bool:
    try:
        decode_section(connector.settings, {"kit_unknown": 1}, ("settings",), {})
    except ConfigError as error:
        return any(problem.key.endswith("kit_unknown") for problem in error.problems)
    return False
