"""Reads the configuration: defaults < file (TOML) < environment < flags.

``SPORTELLO__SERVER__PORT=9000`` is ``port`` in ``[server]``; ``SPORTELLO__CHANNELS__BOT__TOKEN_FILE=/run/secrets/bot``
reads ``token`` of ``[channels.bot]`` from a file, so that a secret stands in no process list.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import fields

from config.address import scanner_address, why_no_origin
from config.decode import decode_section, source_of, suggest
from config.errors import ConfigError, Problem
from config.lines import find_lines
from config.model import Bus, ChannelConfig, Config, Log, Media, Node, Routing, Section, Server, Source, Spool, Storage

PREFIX: Final = "SPORTELLO__"
#: Names the file when no ``--config`` does.
FILE_VARIABLE: Final = "SPORTELLO_CONFIG"
DEFAULT_FILE: Final = "sportello.toml"

SECTIONS: Final[Mapping[str, type[Section]]] = {
    "server": Server,
    "storage": Storage,
    "bus": Bus,
    "node": Node,
    "spool": Spool,
    "media": Media,
    "routing": Routing,
    "log": Log,
}
#: Keys of every channel; the others are its connector's.
CHANNEL_KEYS: Final = frozenset(info.name for info in fields(ChannelConfig)) - {"settings"}


class _Tree:
    """What was said so far, and where."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, Source] = {}
        self.problems: list[Problem] = []

    def put(self, path: tuple[str, ...], value: Any, source: Source) -> None:
        table = self.values
        for part in path[:-1]:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                self.problems.append(_problem(path, source, f"{part!r} is a single value, not a section", "Remove one of the two."))
                return
            table = inner
        table[path[-1]] = value
        self.sources[".".join(path)] = source


def load_config(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Config:
    """The configuration; ``flags`` maps dotted keys to text. Raises ConfigError with everything that is wrong."""
    tree = _Tree()
    chosen = _choose(file, environment)
    if chosen is not None:
        _read_file(chosen, tree)
    _read_environment(environment, tree)
    for key, text in (flags or {}).items():
        tree.put(tuple(key.split(".")), text, Source(place=f"flag --{key.rsplit('.', 1)[-1].replace('_', '-')}", text=True))
    return _decode(tree)


def _choose(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    if file is not None:
        return file
    if name := environment.get(FILE_VARIABLE):
        return Path(name)
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _read_file(file: Path, tree: _Tree) -> None:
    try:
        text = file.read_text("utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError as error:
        raise _whole_file(file, "there is no such file", "Name another one by --config, or leave it out to use defaults.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _whole_file(file, f"it cannot be read ({_reason(error)})", "It has to be a readable text file in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise _whole_file(
            file, f"it is not valid TOML ({error})", "Text needs quotes, lists need [ ], and each key may appear once."
        ) from error
    tree.values = values
    for path, line in find_lines(text).items():
        tree.sources[".".join(path)] = Source(place=f"{file}, line {line}")


def _read_environment(environment: Mapping[str, str], tree: _Tree) -> None:
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        path = _own_spelling(tuple(part.lower() for part in name[len(PREFIX) :].split("__")), tree.values)
        source = Source(place=f"environment variable {name}", text=True)
        value = environment[name]
        if not all(path):
            tree.problems.append(_problem((), source, "the name has an empty part", f"Write {PREFIX}SECTION__KEY."))
            continue
        if path[-1].endswith("_file"):
            path = (*path[:-1], path[-1].removesuffix("_file"))
            try:
                value = Path(value).read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                remedy = "It has to name a readable text file which holds the value."
                tree.problems.append(_problem(path, source, f"the file cannot be read ({_reason(error)})", remedy))
                continue
        tree.put(path, value, source)


def _own_spelling(path: tuple[str, ...], values: Mapping[str, Any]) -> tuple[str, ...]:
    """A variable cannot hold "-" or capitals: find the channel that is meant."""
    channels = values.get("channels")
    if len(path) < 3 or path[0] != "channels" or not isinstance(channels, dict):
        return path
    for id_ in channels:
        if id_.lower().replace("-", "_") == path[1]:
            return (path[0], id_, *path[2:])
    return path


def _decode(tree: _Tree) -> Config:
    problems = tree.problems
    decoded: dict[str, Any] = {"sources": tree.sources, "channels": {}}
    top = [info.name for info in fields(Config) if info.name != "sources"]
    for name, value in tree.values.items():
        source = source_of((name,), tree.sources)
        try:
            if name in SECTIONS:
                decoded[name] = decode_section(SECTIONS[name], _table((name,), value, source), (name,), tree.sources)
            elif name == "channels":
                for id_, section in _table((name,), value, source).items():
                    _decode_channel(id_, section, tree, decoded["channels"])
            elif name == "data_dir":
                decoded[name] = msgspec.convert(value, str)
            else:
                problems.append(_problem((name,), source, "there is no such setting", suggest(name, top)))
        except ConfigError as error:
            problems.extend(error.problems)
        except msgspec.ValidationError:
            problems.append(_problem((name,), source, "expected text", "It is: the folder for the database, files and keys."))
    if problems:
        raise ConfigError(problems)
    config = Config(**decoded)
    _check_whole(config)
    return config


def _decode_channel(id_: str, section: Any, tree: _Tree, into: dict[str, ChannelConfig]) -> None:
    path = ("channels", id_)
    try:
        table = _table(path, section, source_of(path, tree.sources))
        if not id_.replace("-", "").replace("_", "").isalnum() or not id_.isascii() or len(id_) > 64:
            source = source_of(path, tree.sources)
            tree.problems.append(_problem(path, source, "a channel's name may hold letters, digits, - and _, at most 64", "Rename it."))
            return
        own = {key: value for key, value in table.items() if key in CHANNEL_KEYS}
        rest = {key: value for key, value in table.items() if key not in CHANNEL_KEYS}
        into[id_] = decode_section(ChannelConfig, own, path, tree.sources, fixed={"settings": rest})
    except ConfigError as error:
        tree.problems.extend(error.problems)


def _check_whole(config: Config) -> None:
    """What no single field can know."""
    problems = []
    url = config.server.public_url
    if url and not url.startswith(("http://", "https://")):
        key = ("server", "public_url")
        problems.append(
            _problem(key, source_of(key, config.sources), "it has to begin with https:// or http://", "Write the whole address.")
        )
    secret = config.server.secret_key
    if secret and len(secret.reveal()) < 32:
        key = ("server", "secret_key")
        remedy = "Leave it out and one is made, or take the output of: openssl rand -hex 32."
        problems.append(_problem(key, source_of(key, config.sources), "it is shorter than 32 characters", remedy))
    problems += _check_media(config)
    if problems:
        raise ConfigError(problems)


def _check_media(config: Config) -> list[Problem]:
    problems = []
    if config.media.scanner:
        key = ("media", "scanner")
        try:
            scanner_address(config.media.scanner)
        except ValueError as error:
            remedy = "Write for example clamd://127.0.0.1:3310, or leave it out."
            problems.append(_problem(key, source_of(key, config.sources), str(error), remedy))
    if config.media.origin and (why := why_no_origin(config.media.origin, config.public_url)):
        key = ("media", "origin")
        remedy = "Write for example https://files.example.org, with a name of its own that leads to this gateway, or leave it out."
        problems.append(_problem(key, source_of(key, config.sources), why, remedy))
    return problems


def _table(path: tuple[str, ...], value: Any, source: Source) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ConfigError([_problem(path, source, "this is a section, not a single value", f"Write [{'.'.join(path)}] and its keys below.")])


def _problem(path: tuple[str, ...], source: Source, what: str, remedy: str) -> Problem:
    return Problem(key=".".join(path), place=source.place, what=what, remedy=remedy)


def _whole_file(file: Path, what: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(key="", place=str(file), what=what, remedy=remedy)])


def _reason(error: Exception) -> str:
    return (error.strerror or "unreadable").lower() if isinstance(error, OSError) else "it is not UTF-8"
