"""One section of the configuration -> its struct, with errors a person can act on. Also used for connectors' settings."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import NODEFAULT, Struct, inspect
from msgspec.structs import FieldInfo, fields

from config.errors import ConfigError, Problem
from config.model import Source
from config.secret import Secret

S = TypeVar("S", bound=Struct)

_NOWHERE = Source(place="")
_SEQUENCES = (inspect.ListType, inspect.VarTupleType, inspect.TupleType, inspect.SetType, inspect.FrozenSetType)


def decode_section(
    type_: type[S],
    values: Mapping[str, Any],
    path: tuple[str, ...],
    sources: Mapping[str, Source],
    *,
    fixed: Mapping[str, Any] | None = None,
) -> S:
    """``values`` as a ``type_``; ``fixed`` holds fields that are already decoded. Raises ConfigError naming every problem."""
    known = {info.encode_name: info for info in fields(type_) if info.name not in (fixed or {})}
    problems = [_unknown((*path, key), known, sources) for key in values if key not in known]
    decoded: dict[str, Any] = dict(fixed or {})
    for name, info in known.items():
        key = (*path, name)
        if name not in values:
            if info.default is NODEFAULT and info.default_factory is NODEFAULT:
                problems.append(_missing(key, info, sources))
            continue
        source = source_of(key, sources)
        try:
            decoded[info.name] = _convert(values[name], info.type, text=source.text)
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(Problem(key=".".join(key), place=source.place, what=_words(error), remedy=_remedy(info)))
    if problems:
        raise ConfigError(problems)
    try:
        return type_(**decoded)
    except (ValueError, TypeError) as error:
        place = source_of(path, sources).place
        raise ConfigError([Problem(key=".".join(path), place=place, what=str(error).rstrip("."), remedy="")]) from error


def source_of(key: tuple[str, ...], sources: Mapping[str, Source]) -> Source:
    """Where ``key`` was said; else something within it, else the nearest thing around it."""
    name = ".".join(key)
    if found := sources.get(name):
        return found
    if inner := next((place for other, place in sources.items() if other.startswith(f"{name}.")), None):
        return inner
    around = (sources.get(".".join(key[:size])) for size in range(len(key) - 1, 0, -1))
    return next((place for place in around if place), _NOWHERE)


def suggest(word: str, known: Mapping[str, Any] | list[str]) -> str:
    """A sentence about what ``word`` may have meant, or about what there is."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known here: {', '.join(sorted(known))}." if known else "There are no keys here."


def decode_hook(type_: type[Any], value: Any) -> Any:
    """Makes a Secret of a text; the message never shows the value."""
    if type_ is Secret:
        if not isinstance(value, str):
            raise ValueError("expected text in quotes")
        return Secret(value)
    raise NotImplementedError


def _convert(value: Any, type_: Any, *, text: bool) -> Any:
    if text and isinstance(value, str):
        return msgspec.convert(_structured(value, type_), type_, strict=False, dec_hook=decode_hook)
    # Settings that were partly said by the environment are nested: numbers in them may still be text.
    return msgspec.convert(value, type_, strict=not text, dec_hook=decode_hook)


def _structured(text: str, type_: Any) -> Any:
    """Text from the environment for a list: JSON, or items separated by commas."""
    info = inspect.type_info(type_)
    if isinstance(info, inspect.Metadata):
        info = info.type
    if not isinstance(info, (*_SEQUENCES, inspect.DictType, inspect.StructType)):
        return text
    if text.lstrip().startswith(("[", "{")):
        return msgspec.json.decode(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _unknown(key: tuple[str, ...], known: Mapping[str, FieldInfo], sources: Mapping[str, Source]) -> Problem:
    return Problem(
        key=".".join(key), place=source_of(key, sources).place, what="there is no such setting", remedy=suggest(key[-1], list(known))
    )


def _missing(key: tuple[str, ...], info: FieldInfo, sources: Mapping[str, Source]) -> Problem:
    variable = "SPORTELLO__" + "__".join(part.upper().replace("-", "_") for part in key)
    remedy = f"Set it in [{'.'.join(key[:-1])}], or set the environment variable {variable}. {_remedy(info)}".rstrip()
    return Problem(key=".".join(key), place=source_of(key, sources).place, what="is missing", remedy=remedy)


def _remedy(info: FieldInfo) -> str:
    help_ = help_of(info)
    words = [f"It is: {help_[0].lower()}{help_[1:]}"] if help_ else []
    type_ = inspect.type_info(info.type)
    literal = type_.type if isinstance(type_, inspect.Metadata) else type_
    if isinstance(literal, inspect.LiteralType):
        words.append(f"Allowed: {', '.join(map(str, literal.values))}.")
    return " ".join(words)


def help_of(info: FieldInfo) -> str:
    """The field's line of help, with its unit; empty if it has none."""
    meta = next((item for item in getattr(info.type, "__metadata__", ()) if isinstance(item, msgspec.Meta)), None)
    if meta is None or not (meta.title or meta.description):
        return ""
    words = ": ".join(part for part in (meta.title, meta.description) if part)
    unit = (meta.extra or {}).get("unit", "")
    return f"{words.rstrip('.')}{f', in {unit}' if unit else ''}."


def _words(error: Exception) -> str:
    """msgspec's words, for somebody who does not know msgspec."""
    words = str(error).rstrip(".")
    if words.startswith("Invalid enum value"):
        return "not one of the allowed words"  # msgspec quotes the value, which may be a secret in the wrong place
    for theirs, ours in (
        ("`str`", "text"),
        ("`int`", "a whole number"),
        ("`bool`", "true or false"),
        ("`array`", "a list"),
        (" - at `$", " at `"),
    ):
        words = words.replace(theirs, ours)
    return words[:1].lower() + words[1:]
