"""The checks as tests, for pytest and unittest alike."""

import unittest
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from gateway.kit.bench import Bench, open_bench
from gateway.kit.checks import CHECKS, Check, run_check
from gateway.kit.findings import State


def conformance(connector: str, folder: Path) -> type:
    """A class with one test per check: ``TestConformance = conformance("my_package", Path(__file__).parent)``."""

    @cache
    def bench() -> Bench:
        return open_bench(connector, folder)

    methods: dict[str, Any] = {f"test_{check.id.lower()}": _method(check, bench) for check in CHECKS}
    return type("Conformance", (), methods)


def _method(check: Check, bench: Callable[[], Bench]) -> Callable[[object], None]:
    def test(_: object) -> None:
        judge(check, bench())

    test.__doc__ = f"{check.id}: {check.proves}."
    return test


def judge(check: Check, bench: Bench) -> None:
    """Raises AssertionError with what the author must do, or SkipTest with the reason of the exemption."""
    findings = run_check(bench, check).findings
    words = "\n".join([f"{check.id}: {check.proves}", *findings.lines()])
    if findings.state is State.EXEMPT:
        raise unittest.SkipTest(f"{check.id} is exempt: {'; '.join(findings.exemptions)}")
    if findings.state is State.FAILED:
        raise AssertionError(words)
