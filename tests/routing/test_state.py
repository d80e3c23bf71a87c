"""The table of states is complete, and the README shows it."""

from pathlib import Path

import pytest

from routing.errors import NotNow
from routing.state import TABLE, Move, after, diagram
from storage.record import State


def test_every_state_can_be_left_and_reached() -> None:
    assert {source for source, _ in TABLE} == set(State)
    assert set(TABLE.values()) == set(State) - {State.PENDING} | {State.PENDING}


@pytest.mark.parametrize("state", list(State))
def test_a_message_from_the_shopper_is_possible_in_every_state(state: State) -> None:
    assert after(state, Move.ARRIVE) in {State.PENDING, State.QUEUED, State.OPEN}


def test_a_refused_move_names_what_is_possible() -> None:
    with pytest.raises(NotNow, match=r"resolved; it cannot snooze now\. Possible: reopen\."):
        after(State.RESOLVED, Move.SNOOZE)


def test_the_readme_shows_the_table() -> None:
    readme = Path(__file__).parents[2] / "routing" / "README.md"
    assert diagram() in readme.read_text(encoding="utf-8")
