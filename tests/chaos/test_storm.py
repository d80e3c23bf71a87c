"""Kills under load, with the promises checked from outside; the long runs are ``make chaos``."""

from pathlib import Path

import pytest

from tests.chaos.site import cluster_site, embedded_site
from tests.chaos.storm import TEST, OpenSite, storm

pytestmark = pytest.mark.chaos


def said(line: str) -> None:
    print(line)  # noqa: T201 - the figures belong in the report


@pytest.mark.parametrize("open_site", [embedded_site, cluster_site], ids=["embedded", "cluster"])
async def test_kills_under_load_break_no_promise(tmp_path: Path, open_site: OpenSite) -> None:
    outcome = await storm(TEST, 7, open_site, said, tmp_path)
    said(outcome.line())
    assert outcome.verdict.violations == []
    assert outcome.kills.total() == TEST.kills
    assert outcome.deliveries_repeated
    assert outcome.disconnections >= TEST.kills or open_site is cluster_site
