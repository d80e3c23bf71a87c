"""The servers below two nodes go away under load, and nobody outside hears of it; the long run is ``make chaos``."""

import pytest

from tests.chaos.outage import FAULTS, TEST, outages

pytestmark = pytest.mark.chaos


async def test_servers_that_go_away_under_load_lose_and_repeat_nothing() -> None:
    outcome = await outages(TEST, 7, print)
    print(*outcome.lines, sep="\n")  # noqa: T201 - the figures belong in the report
    assert outcome.violations == []
    assert [one.name for one in outcome.struck] == list(FAULTS)
