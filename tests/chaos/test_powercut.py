"""Power cuts: nothing acknowledged is lost; and a setting that does lose is caught, or the harness would be blind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import cut_cluster, cut_embedded, cut_postgres
from tests.chaos.powercut import Cuts, Target, mounted, new_disk, power_cuts, stopped, summary, why_not
from tests.support.postgres import binaries, missing_server

pytestmark = pytest.mark.chaos


def said(line: str) -> None:
    print(line)  # noqa: T201 - the figures belong in the report


@pytest.fixture(scope="session")
def cuttable() -> None:
    """Skips, loudly, where there is no disk to cut. CI machines differ, so that is no failure there either."""
    reason = why_not()
    if reason:
        sys.stderr.write(f"\n*** NO POWER CUTS: {reason}\n")
        pytest.skip(f"NO POWER CUTS: {reason}")


@pytest.mark.usefixtures("cuttable")
@pytest.mark.parametrize("target", [cut_embedded.SAFE], ids=lambda target: target.name)
async def test_what_was_acknowledged_survives_a_power_cut(target: Target) -> None:
    result = await power_cuts(target, 2, 11, said)
    assert result.missing == []
    assert (result.cuts, result.lost) == (2, 0)


@pytest.mark.usefixtures("cuttable")
async def test_the_harness_catches_a_setting_that_loses() -> None:
    result = await power_cuts(cut_embedded.CONTROL, 2, 11, said)
    assert result.caught, "nothing was lost with synchronous=NORMAL: this harness is blind"


@pytest.mark.usefixtures("cuttable")
async def test_what_postgresql_acknowledged_survives_a_power_cut() -> None:
    if binaries() is None:
        missing_server()
    result = await power_cuts(cut_postgres.SAFE, 1, 11, said)
    assert result.missing == []


@pytest.mark.usefixtures("cuttable")
async def test_the_harness_catches_a_postgresql_that_does_not_wait() -> None:
    if binaries() is None:
        missing_server()
    result = await power_cuts(cut_postgres.CONTROL, 1, 11, said)
    assert result.caught, "nothing was lost with synchronous_commit=off: this harness is blind"


@pytest.mark.usefixtures("cuttable")
async def test_what_a_cluster_acknowledged_survives_a_power_cut() -> None:
    """All of it on one disk: once with the messages in PostgreSQL, once with them in the nodes' spools."""
    if binaries() is None:
        missing_server()
    result = await power_cuts(cut_cluster.ClusterTarget(), 2, 11, said)
    assert result.missing == []
    assert (result.cuts, result.lost) == (2, 0)


@pytest.fixture
def disk(cuttable: None, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """(image, where it is mounted)"""
    del cuttable
    image = new_disk(tmp_path / "image")
    with mounted(image, tmp_path / "mount") as where:
        yield image, where


def test_only_what_was_synced_is_in_the_copy(disk: tuple[Path, Path], tmp_path: Path) -> None:
    image, where = disk
    for name, synced in (("kept", True), ("lost", False)):
        with (where / name).open("wb") as file:
            file.write(b"x" * 5000)
            if synced:
                file.flush()
                os.fsync(file.fileno())
    subprocess.run(["cp", "--sparse=always", image, tmp_path / "copy"], check=True, timeout=60)
    with mounted(tmp_path / "copy", tmp_path / "after") as after:
        assert (after / "kept").read_bytes() == b"x" * 5000
        assert not (after / "lost").exists() or (after / "lost").stat().st_size == 0


def test_stopped_means_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: print('x' * 1000)"], stdout=subprocess.DEVNULL) as process:
        with stopped([process.pid]):
            before = Path(f"/proc/{process.pid}/stat").read_text().split()[13]
            assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
            assert Path(f"/proc/{process.pid}/stat").read_text().split()[13] == before
        assert process.wait(10) == -9


def test_the_summary_says_what_counts() -> None:
    kept, broken = Cuts("safe", cuts=2, acknowledged=10), Cuts("unsafe", cuts=2, acknowledged=9, lost=3, caught=1)
    assert summary(kept, broken) == "safe: cuts 2, acknowledged 10, lost 0 | control unsafe: caught 1 of 2, lost 3 of 9"
