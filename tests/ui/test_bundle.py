"""The built browser code: its size, what its pages may hold, and when it is built anew."""

import gzip
import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
UI = ROOT / "gateway" / "ui"
DIST = UI / "dist"
#: Bytes after gzip, as a browser loads them.
WIDGET_BUDGET = 25_000
INBOX_BUDGET = 60_000


def _hatch_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hatch_build = _hatch_build()


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if hatch_build.is_stale(UI):
        hatch_build.build(UI)


def _zipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def _sources() -> Iterator[Path]:
    return (path for path in (UI / "src").rglob("*") if path.suffix in {".ts", ".tsx", ".html"})


def test_widget_is_one_file_within_its_budget() -> None:
    size = _zipped(DIST / "widget.js")
    assert size < WIDGET_BUDGET, f"{size} bytes"
    assert not re.search(r"\bimport\s*\(|^\s*(import|export)\s", (DIST / "widget.js").read_text(), re.MULTILINE)


def test_inbox_is_within_its_budget() -> None:
    size = sum(_zipped(path) for path in (DIST / "inbox" / "assets").iterdir())
    assert size < INBOX_BUDGET, f"{size} bytes"


@pytest.mark.parametrize("page", ["inbox", "shop", "phone"])
def test_pages_need_no_inline_code_and_no_other_host(page: str) -> None:
    text = (DIST / page / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\bstyle=|\son\w+=", text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert address.startswith(("/", "#")), address
        if address.startswith(f"/{page}/assets/"):
            assert (DIST / address.lstrip("/")).is_file()
    for sheet in (DIST / page).rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//", sheet.read_text())


def test_text_is_only_ever_shown_as_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function|setAttribute\('style'"
        r"|addEventListener\('message'|onmessage\s*=\s*\(?window"
    )
    found = [f"{path.name}: {match[0]}" for path in _sources() for match in forbidden.finditer(path.read_text())]
    assert found == []


def test_files_stay_small() -> None:
    assert [path.name for path in _sources() if len(path.read_text().splitlines()) >= 400] == []


@pytest.mark.parametrize("lock", [UI / "package-lock.json", ROOT / "tests" / "browser" / "package-lock.json"])
def test_locks_name_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert '"resolved"' not in text
    assert "registry" not in text
    assert '"integrity"' in text


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The UI folder with its build, without packages."""
    return Path(shutil.copytree(UI, tmp_path / "ui", ignore=shutil.ignore_patterns("node_modules")))


def test_fresh_until_a_source_changes(copy: Path) -> None:
    assert not hatch_build.is_stale(copy)
    source = copy / "src" / "common" / "time.ts"
    original = source.read_text()
    source.write_text(original + "\n")
    assert hatch_build.is_stale(copy)
    source.write_text(original)
    assert not hatch_build.is_stale(copy)
    (copy / "src" / "new.ts").write_text("")
    assert hatch_build.is_stale(copy)


@pytest.mark.parametrize("name", ["widget.js", "inbox/index.html", "sources.sha256"])
def test_stale_without_an_expected_file(copy: Path, name: str) -> None:
    (copy / "dist" / name).unlink()
    assert hatch_build.is_stale(copy)


def test_a_torn_source_tree_is_named(copy: Path) -> None:
    (copy / "build.mjs").unlink()
    with pytest.raises(hatch_build.UiError, match=r"build\.mjs is missing"):
        hatch_build.is_stale(copy)


def test_node_is_asked_for_only_when_stale(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = object.__new__(hatch_build.UiBuildHook)
    monkeypatch.setattr(hook, "_ui", lambda: copy)
    assert hook.dependencies() == []
    (copy / "dist" / "widget.js").unlink()
    assert hook.dependencies() == [hatch_build.NODE_REQUIREMENT]
    monkeypatch.setenv("SPORTELLO_SKIP_UI", "1")
    assert hook.dependencies() == []


def test_unit_tests_and_types_hold() -> None:
    hatch_build.check(UI)
