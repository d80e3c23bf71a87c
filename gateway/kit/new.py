"""``sportello connector new``: a skeleton whose kit is red where the author must fill in, and nowhere else."""

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Final

from connectors.registry import kinds
from gateway.kit.folder import BadFolder

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
#: Where each file of the skeleton goes; ``$name`` is the connector's kind.
PLACES: Final = MappingProxyType(
    {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "__init__.py": "sportello_$name/__init__.py",
        "settings.py": "sportello_$name/settings.py",
        "inbound.py": "sportello_$name/inbound.py",
        "outbound.py": "sportello_$name/outbound.py",
        "client.py": "sportello_$name/client.py",
        "sample.py": "tests/sample.py",
        "test_conformance.py": "tests/test_conformance.py",
        "text.json": "tests/payloads/text.json",
        "text.expect.json": "tests/payloads/text.expect.json",
        "inbound.case.json": "tests/cases/inbound.case.json",
        "outbound.case.json": "tests/cases/outbound.case.json",
        "replies.case.json": "tests/cases/replies.case.json",
    }
)


def write_skeleton(name: str, into: Path) -> Path:
    """The new folder ``into/sportello-<name>``. Raises :class:`BadFolder`, and changes nothing that is there."""
    if not _NAME.fullmatch(name):
        raise BadFolder(f"{name!r} cannot be a connector's kind: a-z, 0-9 and _, beginning with a letter, at most 32 characters")
    if name in kinds():
        raise BadFolder(f"there is a connector {name!r} already; what comes with Sportello wins over a stranger of the same name")
    folder = into / f"sportello-{name}"
    if folder.exists():
        raise BadFolder(f"{folder} is there already; choose another name or another --into")
    words = {"name": name, "title": name.replace("_", " ").capitalize()}
    for source, place in PLACES.items():
        target = folder / Template(place).substitute(words)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = files("gateway.kit").joinpath("skeleton", f"{source}.txt").read_text("utf-8")
        target.write_text(Template(text).substitute(words), "utf-8")
    return folder
