"""Who may import whom, by import-linter; and what it cannot see."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "connectors", "storage", "routing", "gateway")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts)


def test_the_layers_are_kept() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_imported_within_a_function(path: Path) -> None:
    """A late import hides a cycle. The registry's and the store's loading by name is done with importlib."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            late = [inner.lineno for inner in ast.walk(node) if isinstance(inner, (ast.Import, ast.ImportFrom))]
            assert not late, f"import in {node.name}, line {late}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_has_mutable_state(path: Path) -> None:
    """Two gateways live in one process: what a module holds must be the same for both, for ever."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            names = [ast.unparse(target) for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
            if names == ["__all__"]:
                continue
            annotated = isinstance(node, ast.AnnAssign)
            assert annotated or not isinstance(node.value, (ast.List, ast.Dict, ast.Set)), f"{names} can be changed: declare it Final"
        for inner in ast.walk(node):
            assert not isinstance(inner, ast.Global), f"global in line {inner.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nobody_waits_in_a_way_that_can_swallow_a_cancellation(path: Path) -> None:
    """Of Python 3.11: ``wait_for`` forgets that it was cancelled if its result comes at the same moment; ``asyncio.timeout`` does not."""
    assert "wait_for(" not in path.read_text("utf-8")
