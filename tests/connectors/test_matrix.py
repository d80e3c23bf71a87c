"""The table in the README is what the code says."""

import pytest

from connectors.capabilities import Capabilities, Limits
from connectors.matrix import BEGIN, END, README, built_in, current, render_matrix
from connectors.registry import load_connector


def test_the_readme_is_current() -> None:
    text = README.read_text("utf-8")
    assert current(text, render_matrix(built_in())) == text, "run: python -m connectors.matrix"


def test_a_column_per_connector_and_no_row_without_a_word() -> None:
    connectors = built_in()
    lines = render_matrix(connectors).splitlines()
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(connectors) + 1
        assert all(cells) or line == lines[0]


def test_every_declared_part_is_in_the_table() -> None:
    able = load_connector("telegram").capabilities
    assert {"text", "media"} <= able.sends
    assert render_matrix([load_connector("telegram")]).count("| yes") >= len(able.sends | able.receives)
    assert Capabilities(limits=Limits(text=0), sends=frozenset(), receives=frozenset()).limits.text == 0


def test_a_readme_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold the lines"):
        current("no marks", "table")
    assert current(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
