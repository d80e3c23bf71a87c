"""What the files under ``deploy/`` may name, read from the program itself."""

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from cyclopts import App
from prometheus_client.metrics import MetricWrapperBase

from config import load_config
from config.load import SECTIONS
from gateway.__main__ import build_app
from gateway.cli.reference import all_groups
from gateway.metrics import Metrics, NodeFigures, SpoolFigures
from gateway.web.endpoints import ENDPOINTS

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"

#: The longest stop of all processes of a node, beside ``server.drain``.
STOP_SECONDS: Final = 12

#: What Prometheus itself adds.
SCRAPE_LABELS: Final = frozenset({"job", "instance", "le"})


def metrics() -> dict[str, frozenset[str]]:
    """Name as Prometheus sees it -> its labels."""
    watched = Metrics()
    watched.watch_spool(lambda: SpoolFigures(events={"web": 1}, bytes=1, oldest_seconds=1.0, set_aside=0))
    watched.watch_nodes(lambda: NodeFigures(duties={"router": 16}, nodes=1, bus_up=True))
    labels = {
        next(iter(one.describe())).name: frozenset(one._labelnames) for one in vars(watched).values() if isinstance(one, MetricWrapperBase)
    }
    found: dict[str, frozenset[str]] = {}
    for family in watched.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        seen = labels.get(family.name, frozenset()).union(*(sample.labels for sample in family.samples))
        found |= {family.name + suffix: seen for suffix in suffixes}
    return found


def variables() -> frozenset[str]:
    """Environment variables that are settings, channels' left out; any of them may be read from a file."""
    plain = {
        setting.variable.removesuffix("_FILE") for group in all_groups() for setting in group.settings if "channels" not in setting.key
    }
    return frozenset(plain | {f"{name}_FILE" for name in plain})


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Those that are neither settings of ours nor of some channel."""
    known = variables()
    return sorted(name for name in names if name not in known and not re.fullmatch(r"SPORTELLO__CHANNELS__[A-Z0-9_]+__[A-Z0-9_]+", name))


def load_variables(environment: Mapping[str, str]) -> None:
    """Their values are right, too. Raises ConfigError. What is read from files is left out: the files are elsewhere."""
    known = variables()
    load_config(None, {name: value for name, value in environment.items() if name in known and not name.endswith("_FILE")})


def default_of(section: str, key: str) -> object:
    """Of one setting."""
    return getattr(SECTIONS[section](), key)


def commands(app: App | None = None) -> dict[str, App]:
    """Name -> command or group of commands."""
    app = app or build_app()
    return {name: app[name] for name in app if not name.startswith("-")}


def check_arguments(arguments: list[str]) -> str:
    """Name of the command; fails if the command line does not understand the arguments."""
    assert arguments
    name, known = arguments[0], commands()
    assert name in known, f"there is no command {name}"
    command, _, _ = build_app().parse_args(arguments, exit_on_error=False, print_error=False)
    return command.__name__


def paths() -> frozenset[str]:
    """Paths that the gateway answers to a plain request."""
    return frozenset(endpoint.path for endpoint in ENDPOINTS)


def load_yaml(path: Path) -> Any:
    """One document."""
    return yaml.safe_load(path.read_text("utf-8"))


def instructions(path: Path) -> list[tuple[str, str]]:
    """A Dockerfile as (instruction, its text on one line)."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def environment_of(dockerfile: list[tuple[str, str]]) -> dict[str, str]:
    """What its last stage sets by ENV."""
    last = max(index for index, (word, _) in enumerate(dockerfile) if word == "FROM")
    pairs = [pair for word, rest in dockerfile[last:] if word == "ENV" for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)
