"""Changed copies of a connector's modules, loaded beside the true ones and without touching a file."""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from connectors.contract import Connector


class Copies(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads certain modules from code that it was given."""

    def __init__(self, codes: Mapping[str, CodeType]) -> None:
        self._codes = dict(codes)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """For our modules only."""
        del path, target
        if fullname not in self._codes:
            return None
        before = Path(self._codes[fullname].co_filename)
        is_package = before.name == "__init__.py"
        spec = importlib.util.spec_from_loader(fullname, self, origin=str(before), is_package=is_package)
        if spec is not None and is_package:
            spec.submodule_search_locations = [str(before.parent)]
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """An ordinary one."""
        del spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Runs the code."""
        module.__file__ = self._codes[module.__name__].co_filename
        exec(self._codes[module.__name__], module.__dict__)  # noqa: S102  the connector's own code, with one thing changed


def modules_of(root: str, more: Sequence[str], left: frozenset[str]) -> dict[str, ModuleType]:
    """The loaded modules of the package ``root`` and further ones, without those whose last name is in ``left``."""
    return {
        name: module
        for name, module in sorted(sys.modules.items())
        if (name == root or name.startswith(f"{root}.") or name in more)
        and isinstance(module.__file__, str)
        and not left & set(name.removeprefix(f"{root}.").split("."))
    }


def compiled(modules: Mapping[str, ModuleType]) -> dict[str, CodeType]:
    """Their code as it is."""
    return {name: compile(Path(str(module.__file__)).read_bytes(), str(module.__file__), "exec") for name, module in modules.items()}


def changed(codes: Mapping[str, CodeType], module: str, tree: ast.Module) -> dict[str, CodeType]:
    """The same with one module changed."""
    return {**codes, module: compile(tree, codes[module].co_filename, "exec")}


@contextmanager
def loaded(codes: Mapping[str, CodeType], root: str, attribute: str) -> Iterator[Connector[Any]]:
    """The connector made of these codes; afterwards everything is as before. Raises whatever the code raises."""
    kept = {name: sys.modules.pop(name) for name in codes if name in sys.modules}
    parents = [(sys.modules.get(name.rpartition(".")[0]), name.rpartition(".")[2], module) for name, module in kept.items()]
    finder = Copies(codes)
    sys.meta_path.insert(0, finder)
    try:
        yield getattr(import_module(root), attribute)
    finally:
        sys.meta_path.remove(finder)
        for name in codes:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
        for parent, name, module in parents:
            if parent is not None:
                setattr(parent, name, module)
