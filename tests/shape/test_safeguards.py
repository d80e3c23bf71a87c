"""The table of safeguards names things that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = [line for line in (ROOT / "tests" / "README.md").read_text("utf-8").partition("## Safeguards")[2].splitlines() if "::" in line]


def test_there_is_a_table() -> None:
    assert len(TABLE) > 15


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.split("|")[1].strip())
def test_safeguard_and_test_exist(line: str) -> None:
    _, _, where, fails, _ = line.split("|")
    path, name = fails.strip(" `").split("::")
    assert re.search(rf"def {name}\(", (ROOT / "tests" / path).read_text("utf-8"))
    for place in where.split(","):
        module, what = re.findall(r"`([^`]+)`", place)
        assert what in (ROOT / module).read_text("utf-8")
