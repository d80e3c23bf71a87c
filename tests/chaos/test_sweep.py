"""A disk that fails at any moment: nothing acknowledged is lost, nothing is kept by half."""

from pathlib import Path

import pytest

from tests.chaos.sweep import Fault, sweep


def quiet(line: str) -> None:
    del line


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(("fault", "most"), [(Fault.SYNC, 12), (Fault.WRITE, 40), (Fault.FULL, 40), (Fault.READ, 12)])
async def test_the_nth_call_to_the_disk_fails(tmp_path: Path, fault: Fault, most: int, *, for_ever: bool) -> None:
    result = await sweep(tmp_path, fault, range(1, most + 1), for_ever=for_ever, progress=quiet)
    assert result.violations == []
    assert result.failed > most // 3, "the faults do not happen"
    assert result.refused or fault is Fault.READ
    assert result.acknowledged
