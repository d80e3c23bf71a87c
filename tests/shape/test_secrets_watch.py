"""A run that writes a secret anywhere fails, and says where and which; one that does not passes. Runs of pytest within this one."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import planted

ROOT = Path(__file__).parents[2]
INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\nasyncio_default_test_loop_scope = session\n"
PLANTED = Path(planted.__file__).read_text("utf-8")
CLEAN = """
import logging
from pathlib import Path
from config import Secret
from gateway.credentials import new_secret

def test_clean(tmp_path: Path) -> None:
    secret = Secret("canary-planted-clean-0123456789")
    logging.getLogger("any").error("the secret is %s", secret)
    (tmp_path / "sportello.toml").write_text(f'token = "{secret.reveal()}"')
    assert len(new_secret()) == 43
"""

#: What the summary must say of each plant.
FOUND = (
    r"test_planted\.py::test_log_line \(Captured log call\): canary-planted-log… \(plain\)",
    r"test_planted\.py::test_printed \(Captured stdout call\): canary-planted-printed… \(plain\)",
    r"captured output: canary-planted-read… \(plain\).* in test_planted\.py::test_read_output",
    r"test_file0/gateway\.log: canary-planted-file… \(plain\); first: offset 9000000$",
    r"test_forms0/coded0: canary-planted-coded-a… \(base64\)",
    r"test_forms0/coded1: canary-planted-coded-b… \(base64\)",
    r"test_forms0/coded2: canary-planted-coded-c… \(base64\)",
    r"test_forms0/hex: canary-planted-hex… \(hex\)",
    r"test_forms0/upper: canary-planted-upper… \(hex\)",
    r"test_forms0/address: canary-planted-address… \(plain\)",
    r"test_forms0/packed\.gz: canary-planted-packed… \(plain\)",
    r"test_sqlite_row0/some\.db: canary-planted-sqlite… \(plain\)",
    r"test_sqlite_row0/kept-wal: canary-planted-sqlite… \(plain\)",
    r"PostgreSQL, table setting: canary-planted-postgres… \(plain\)",
    r"PostgreSQL, table raw: canary-planted-bytes… \(plain\)",
    r"Redis: canary-planted-redis… \(plain\)",
    r"Redis: canary-planted-hash… \(plain\)",
    r"body of the answer to GET /api/v1/odd: canary-planted-body… \(plain\)",
    r"headers of the answer to GET /api/v1/odd: canary-planted-header… \(plain\)",
    r"socket of the answer to GET /api/v1/feed: canary-planted-socket… \(plain\)",
    r"test_drawn0/session: minted-open-session… \(plain\)",
    r"test_drawn0/key: minted-key… \(hex\)",
    r"test_drawn0/token: an API token \(plain\)",
    r"test_drawn0/visitor: a visitor's token \(plain\)",
    r"test_child0/child\.log: minted-draw… \(plain\)",
    r"output of a child: canary-planted-pipe… \(plain\)",
    r"test_removed0/removed/log: canary-planted-removed… \(plain\)",
    r"NOT MARKED: 25 characters by test_planted:test_unmarked in test_planted\.py::test_unmarked",
    r"NOT MARKED: 27 characters by gateway\.passwords:hash in",
    r"NOT MARKED: 56 characters by test_planted:test_unmarked in",
    r"NOT MARKED: 21 characters by __main__:<module> in test_planted\.py::test_child",
)


class Run(NamedTuple):
    status: int
    said: str


def nested(folder: Path, text: str, workers: int, **more: str) -> Run:
    """A run of pytest over one file with ``text``, watched as this one is; ``more`` goes into its environment."""
    folder.mkdir(parents=True)
    (folder / "conftest.py").write_text('pytest_plugins = ["tests.support.secrets_watch"]\n')
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_planted.py").write_text(text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-n", str(workers), "-p", "no:randomly", "-p", "no:cacheprovider", "--basetemp", "written"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "SPORTELLO_TEST_SECRETS"))}
    environment = inherited | {"PYTHONPATH": str(ROOT), "COLUMNS": "300"} | more
    # Into a file: what a test reads of its children is searched too.
    with (folder / "said").open("wb") as said:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=said, stderr=said, timeout=110, check=False)
    return Run(done.returncode, (folder / "said").read_text("utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    # This folder's name is what exempts the plants from the search of the run that we are in.
    return nested(tmp_path_factory.mktemp("nested") / "planted-secrets", PLANTED, 0)


@pytest.mark.parametrize("found", FOUND)
def test_a_secret_in_anything_that_is_written_is_told(run: Run, found: str) -> None:
    assert re.search(found, run.said, re.MULTILINE), run.said


def test_so_it_is_by_several_workers(tmp_path: Path) -> None:
    done = nested(tmp_path / "planted-secrets", PLANTED, 2, PYTEST_ADDOPTS="-k 'log_line or output or file or child or unmarked'")
    assert done.status == pytest.ExitCode.TESTS_FAILED
    assert "FAILED" not in done.said, "all its tests pass"
    for name in ("log_line", "read_output", "file0", "child0", "test_unmarked"):
        found = [one for one in FOUND if name in one]
        assert found
        assert [one for one in found if not re.search(one, done.said, re.MULTILINE)] == []


def test_it_fails_the_run_and_shows_no_secret(run: Run) -> None:
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "FAILED" not in run.said, "all its tests pass"
    assert "secret.key" not in run.said, "there it may be"
    summary = run.said.partition("SECRETS IN WHAT THE RUN WROTE")[2]
    assert summary
    assert planted.TAIL not in summary
    assert "shop@db.example" not in summary
    assert summary.count("NOT MARKED") == 4


def test_a_worker_that_crashes_does_not_hide_what_it_wrote(tmp_path: Path) -> None:
    done = nested(tmp_path / "planted-secrets", PLANTED, 1, CRASH="yes", PYTEST_ADDOPTS="-k 'crash or removed or log_line'")
    assert "crashed while running" in done.said
    for found in ("test_crash0/last-words: canary-planted-crash…", "removed/log: canary-planted-removed…", "call): canary-planted-log…"):
        assert found in done.said


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_without_secrets_passes(tmp_path: Path, workers: int) -> None:
    done = nested(tmp_path / "planted-secrets", CLEAN, workers)
    assert done.status == 0, done.said
    assert "SECRETS" not in done.said
    assert re.search(r"^secrets: none in [1-9]\d* files", done.said, re.MULTILINE)
