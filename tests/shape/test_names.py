"""Whoever knows one connector knows them all: the same files, the same names, in the same order."""

import ast
import inspect
from pathlib import Path

import pytest

from connectors import contract
from connectors.contract import Client, Connector
from connectors.registry import BUILT_IN, kinds, load_connector

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent.name for path in (ROOT / "connectors").glob("*/settings.py"))


def module_of(function: object) -> str:
    found = inspect.getmodule(function)
    assert found is not None
    return found.__name__


def defined_in(path: Path) -> list[str]:
    """Public functions and classes, in the order of the file."""
    kinds_of_node = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, kinds_of_node) and not node.name.startswith("_")
    ]


def test_every_folder_is_in_the_registry_and_the_other_way_round() -> None:
    assert sorted(BUILT_IN) == FOLDERS
    assert set(BUILT_IN) <= set(kinds())


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_connector_has_its_files_and_names(kind: str) -> None:
    folder = ROOT / "connectors" / kind
    for name in ("__init__", "inbound", "outbound", "client"):
        assert (folder / f"{name}.py").is_file(), f"{kind} has no {name}.py"
    inbound, outbound = defined_in(folder / "inbound.py"), defined_in(folder / "outbound.py")
    assert [name for name in inbound if name in {"verify", "parse"}] == ["verify", "parse"]
    assert [name for name in outbound if name in {"render", "read_reply"}] == ["render", "read_reply"]

    found = load_connector(kind)
    assert found.kind == kind
    assert module_of(found.verify) == module_of(found.parse) == f"connectors.{kind}.inbound"
    assert module_of(found.render) == module_of(found.read_reply) == f"connectors.{kind}.outbound"
    assert found.sources or kind == "webchat", "name the provider's documents, and when they were read"


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_pure_files_wait_for_nothing_and_reach_nothing(kind: str) -> None:
    forbidden = {"aiohttp", "asyncio", "time", "random", "secrets", "os", "socket", "ssl", "threading", "pathlib", "structlog", "logging"}
    for name in ("inbound", "outbound"):
        tree = ast.parse((ROOT / "connectors" / kind / f"{name}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), f"{kind}/{name}.py waits"
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                assert module.split(".")[0] not in forbidden, f"{kind}/{name}.py imports {module}"


def test_the_contract_has_these_names() -> None:
    with_defaults = {"keeps", "account", "handshake", "answer", "capabilities_for", "flood", "sources"}
    fields = [name for name in Connector.__dataclass_fields__ if name != "kind" and name not in with_defaults]
    assert fields == ["settings", "capabilities", "verify", "parse", "render", "read_reply", "client"]
    assert contract.Client is Client
