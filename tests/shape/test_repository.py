"""What lies in the repository stands for itself: no address of a package registry, no path of somebody's machine."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Put together, so that this file does not hold what it looks for.
REGISTRIES = re.compile(
    "|".join(("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(?:org|com)", r"yarnpkg\.com", "deb" + r"\.debian\.org"))
)
HOMES = re.compile(r"(?<![\w.])/(?:home|root|Users)/[\w.-]+")
BINARY = {".png", ".jpg", ".gif", ".webp", ".ico", ".woff2", ".db", ".mp4", ".ogg"}


def tracked() -> list[Path]:
    """Files that are, or would be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip("not a checkout")
    return sorted(ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text("utf-8", "replace")) for path in tracked() if path.suffix not in BINARY]


def test_no_registry_and_no_home_is_named() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in [REGISTRIES.search(line) or HOMES.search(line)]
        if match
    ]
    assert not found


def test_the_lock_files_are_names_and_versions_only() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            assert re.fullmatch(r"[a-z0-9._-]+==[^\s;]+( ; [^;]+)?", line), f"{name}: {line}"


def test_the_development_lock_holds_the_running_one() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        return dict(line.split(" ;")[0].split("==") for line in lines)

    run, develop = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: develop.get(name) for name in run} == run


def test_the_ci_entry_can_be_executed() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_top_level_is_as_agreed() -> None:
    allowed = {"gateway", "connectors", "routing", "storage", "config", "tests", "deploy", ".ci"}
    top = {path.relative_to(ROOT).parts[0] for path in tracked() if len(path.relative_to(ROOT).parts) > 1}
    assert {name for name in top if not name.startswith(".") or name == ".ci"} <= allowed
