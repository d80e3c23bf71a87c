"""The table of faults is complete, and names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = 48
TABLE = [line for line in (ROOT / "tests" / "chaos" / "README.md").read_text("utf-8").splitlines() if re.match(r"\| F\d+ \|", line)]


def test_every_fault_has_its_row() -> None:
    assert [line.split("|")[1].strip() for line in TABLE] == [f"F{number}" for number in range(1, FAULTS + 1)]


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.split("|")[1].strip())
def test_it_is_shown_or_said_to_be_open(line: str) -> None:
    _, _, fault, shown, _ = line.split("|")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", shown)
    assert fault.strip()
    assert named or "**open**" in shown or "**not here**" in shown, "name a test, or say that there is none"
    for path, name in named:
        assert re.search(rf"def {name}\(", (ROOT / "tests" / path).read_text("utf-8")), f"{path} has no {name}"
