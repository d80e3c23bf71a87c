"""The conformance kit as a plugin of pytest: ``pytest --conformance my_package --conformance-cases tests``. Does nothing unless asked.

pytest loads it in every run where Sportello is installed, so the kit itself is imported only when it is wanted.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("sportello")
    group.addoption("--conformance", metavar="CONNECTOR", default="", help="run the checks of Sportello's kit on this kind or module, only")
    group.addoption("--conformance-cases", metavar="DIR", default="tests", help="folder with sample.py and the cases")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """When the kit is asked for, nothing else is collected."""
    del collection_path
    return True if config.getoption("--conformance") else None


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """One item per check."""
    name: str = config.getoption("--conformance")
    if not name:
        return
    bench_of, checks, folders = (import_module(f"gateway.kit.{module}") for module in ("bench", "checks", "folder"))
    try:
        bench = bench_of.open_bench(name, Path(config.getoption("--conformance-cases")).resolve())
    except folders.BadFolder as error:
        raise pytest.UsageError(str(error)) from error
    items[:] = [CheckItem.from_parent(session, name=f"{name}::{check.id}", check=check, bench=bench) for check in checks.CHECKS]


class CheckItem(pytest.Item):
    """One check on one connector."""

    def __init__(self, *, check: Any, bench: Any, **more: Any) -> None:
        super().__init__(**more)
        self._check = check
        self._bench = bench

    def runtest(self) -> None:
        """Skipped if it does not apply."""
        import_module("gateway.kit.suite").judge(self._check, self._bench)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What the author must do, without our stack."""
        return str(excinfo.value) if excinfo.errisinstance(AssertionError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where, and what it proves."""
        return self.path, None, f"{self._check.id} {self._check.proves}"
