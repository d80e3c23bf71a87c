"""A node that stands still for seconds and comes back does no harm."""

import pytest

from tests.chaos.freeze import freezes

#: Seconds; the promised 5 are measured by ``make chaos``, not on a machine that runs two tests at once.
CROWDED = 60.0

pytestmark = pytest.mark.chaos


async def test_others_take_over_and_the_zombie_does_nothing_twice() -> None:
    outcome = await freezes(1, 3, print, most_seconds=CROWDED)
    print(outcome.line())  # noqa: T201 - the figures belong in the report
    assert outcome.violations == []


async def test_a_node_without_its_database_keeps_taking_and_others_go_on() -> None:
    outcome = await freezes(1, 5, print, cut_off=True, most_seconds=CROWDED)
    print(outcome.line())  # noqa: T201 - the figures belong in the report
    assert outcome.violations == []
