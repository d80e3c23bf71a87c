"""A file does one thing, and so does a function: no list of exceptions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "connectors", "storage", "routing", "gateway")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts)
MOST_LINES = 400
MOST_FUNCTION_LINES = 50
MOST_PARAMETERS = 7


def test_there_is_something_to_measure() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_size(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MOST_FUNCTION_LINES, f"{node.name} has {lines} lines"
            positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args) if argument.arg not in {"self", "cls"}]
            assert len(positional) <= MOST_PARAMETERS, f"{node.name} takes {len(positional)}"
