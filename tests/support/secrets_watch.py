"""No secret is in anything that a test run writes: the plugin that looks, and fails the run.

Each process that runs tests searches what its tests print while they run, and all files below its folder of temporary files at the end.
What other processes and hooks have found meanwhile waits in one file. See README.md, "Secrets", for what is searched and what is not.
"""

import asyncio
import gzip
import io
import os
import shutil
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import structlog

from tests.support.secret_hooks import install
from tests.support.secret_marks import CONFIGURED, NOTES, Find, find, note, note_finds, read_notes
from tests.support.secret_rules import FILES, REPORTS, is_free, may_be_there, may_be_unmarked

_PIECE: Final = 8 << 20
#: Longer than any form of a marker, and than what is shown of one.
_OVERLAP: Final = 512
_STARTUP: Final = Path(__file__).parent / "startup"
_GZIP: Final = b"\x1f\x8b\x08"
_NOTES_FILE: Final = "secrets-found.jsonl"


class Hit(NamedTuple):
    """Where, which and in which form; never what."""

    place: str
    name: str
    form: str


class SecretsWatch:
    """One for each process of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folder = Path()
        self._hits: Counter[Hit] = Counter()
        self._first: dict[Hit, str] = {}
        self._unmarked: dict[str, str] = {}
        #: With several workers this process runs no test.
        self._leads = False
        self._sections: set[int] = set()
        self._files, self._bytes, self._seconds = 0, 0, 0.0
        self._undo = pytest.MonkeyPatch()

    # --- while it runs ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        factory: pytest.TempPathFactory = self._config._tmp_path_factory  # type: ignore[attr-defined]  # fixtures come too late
        self._folder = factory.getbasetemp()
        self._leads = self._config.pluginmanager.hasplugin("dsession")
        if self._leads:
            return
        paths = [str(_STARTUP), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._undo.setenv("PYTHONPATH", os.pathsep.join(dict.fromkeys(paths)))
        self._undo.setenv(NOTES, str(self._notes))
        install()
        # As the logs of a gateway that is served: a traceback without the values of local variables.
        structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
        self._watch_removal()
        self._watch_reading()

    @property
    def _notes(self) -> Path:
        return self._folder / _NOTES_FILE

    def _watch_removal(self) -> None:
        """Folders that a test removes are searched first."""
        remove = shutil.rmtree

        def watch(path: Any, *arguments: Any, **named: Any) -> None:
            for hit, mark, offset in search_folder(Path(os.fsdecode(path)), self._folder):
                note("find", hit.place, offset=offset, mark=mark, name=hit.name, form=hit.form)
            remove(path, *arguments, **named)

        watch.avoids_symlink_attacks = remove.avoids_symlink_attacks  # type: ignore[attr-defined]
        self._undo.setattr(shutil, "rmtree", watch)

    def _watch_reading(self) -> None:
        """What a test reads of the captured output, or of a child's, is in no report."""
        read, communicate, process = pytest.CaptureFixture.readouterr, subprocess.Popen.communicate, asyncio.subprocess.Process
        hear = process.communicate

        def watch_read(capture: Any) -> Any:
            seen = read(capture)
            for text in seen:
                note_finds("captured output", _bytes(text))
            return seen

        def watch_communicate(process: Any, *arguments: Any, **named: Any) -> Any:
            seen = communicate(process, *arguments, **named)
            for text in seen:
                note_finds("output of a child", _bytes(text))
            return seen

        async def watch_hear(process: Any, *arguments: Any, **named: Any) -> Any:
            seen = await hear(process, *arguments, **named)
            for text in seen:
                note_finds("output of a child", _bytes(text))
            return seen

        self._undo.setattr(process, "communicate", watch_hear)
        self._undo.setattr(pytest.CaptureFixture, "readouterr", watch_read)
        self._undo.setattr(subprocess.Popen, "communicate", watch_communicate)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Each report repeats the sections of those before it. Workers send theirs on: they may crash."""
        if not hasattr(self._config, "workeroutput"):
            for name, text in report.sections:
                place = f"{report.nodeid} ({name})"
                if (key := hash((place, text))) not in self._sections:
                    self._sections.add(key)
                    for one in find(_bytes(text)):
                        if not may_be_there(place, REPORTS, one):
                            self._count(Hit(place, one.name, one.form), f"offset {one.offset}", 1)

    # --- at the end ------------------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of ours has ended; one that crashed had no time to search."""
        found = getattr(node, "workeroutput", {}).get("secrets")
        if found is None:
            self._gather(self._folder / f"popen-{node.gateway.id}")
            return
        for place, name, form, first, number in found["hits"]:
            self._count(Hit(place, name, form), first, number)
        self._unmarked |= found["unmarked"]
        files, size, seconds = found["work"]
        self._files, self._bytes, self._seconds = self._files + files, self._bytes + size, self._seconds + seconds

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._leads:
            self._gather(self._folder)
            self._undo.undo()
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            hits = [(*hit, self._first[hit], number) for hit, number in self._hits.items()]
            work = (self._files, self._bytes, self._seconds)
            output["secrets"] = {"hits": hits, "unmarked": self._unmarked, "work": work}
        elif (self._hits or self._unmarked) and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._hits and not self._unmarked:
            work = f"{self._files} files of {self._bytes / 1e6:.0f} MB, {self._seconds:.1f} s"
            terminalreporter.line(f"secrets: none in {work}")
            return
        terminalreporter.section("SECRETS IN WHAT THE RUN WROTE", red=True)
        for hit, number in sorted(self._hits.items()):
            times = f", {number} times" if number > 1 else ""
            terminalreporter.line(f"{hit.place}: {hit.name} ({hit.form}){times}; first: {self._first[hit]}")
        for text in sorted(self._unmarked.values()):
            terminalreporter.line(f"NOT MARKED: {text}: begin the value with {CONFIGURED}<name>-, or it cannot be found")

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _gather(self, folder: Path) -> None:
        for line in read_notes(folder / _NOTES_FILE):
            if line["kind"] == "find":
                self._count(Hit(line["place"], line["name"], line["form"]), f"offset {line['offset']} in {line['test']}", 1)
            elif not may_be_unmarked(line):
                about = f"{line['length']} characters by {line['place']} in {line['test'] or 'collection'}"
                self._unmarked.setdefault(line["digest"], about)
        began = time.perf_counter()
        sizes: list[int] = []
        for hit, _, offset in search_folder(folder, self._folder, sizes):
            self._count(hit, f"offset {offset}", 1)
        self._files, self._bytes, self._seconds = self._files + len(sizes), self._bytes + sum(sizes), time.perf_counter() - began

    def _count(self, hit: Hit, first: str, number: int) -> None:
        self._hits[hit] += number
        self._first.setdefault(hit, first)


def search_folder(folder: Path, base: Path, sizes: list[int] | None = None) -> Iterator[tuple[Hit, str, int]]:
    """All finds in all files below ``folder``, named as seen from ``base``, their marks, and where in the file. Adds to ``sizes``."""
    for name, _, files in os.walk(folder):
        for file in files:
            path = Path(name) / file
            place = path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)
            if path.is_symlink() or not path.is_file() or file == _NOTES_FILE or is_free(f"/{place}"):
                continue
            if sizes is not None:
                sizes.append(min(path.stat().st_size, path.stat().st_blocks * 512))
            for one in _search_file(path):
                if not may_be_there(f"/{place}", FILES, one):
                    yield Hit(place, one.name, one.form), one.mark, one.offset


def _search_file(path: Path) -> Iterator[Find]:
    seen: set[tuple[int, str]] = set()
    for start, data in _pieces(path):
        for one in find(data):
            # What stands where two pieces overlap is found twice.
            if (key := (start + one.offset, one.form)) not in seen:
                seen.add(key)
                yield one._replace(offset=key[0])


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of what a file holds, unpacked, without its holes; each begins with the end of the one before."""
    try:
        with path.open("rb", buffering=0) as raw:
            packed = raw.read(3) == _GZIP
            raw.seek(0)
            file: io.FileIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
            tail, at = b"", 0
            while piece := file.read(_PIECE):
                yield at - len(tail), tail + piece
                at += len(piece)
                tail = piece[-_OVERLAP:]
                if not packed and (data := raw.seek(at, os.SEEK_DATA)) > at:
                    tail, at = b"", data
    except (OSError, EOFError, zlib.error):
        return  # gone meanwhile, broken on purpose, or there is only a hole behind


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text or b""


def pytest_configure(config: pytest.Config) -> None:
    """For pytest."""
    config.pluginmanager.register(SecretsWatch(config), "secrets-watch-of-sportello")
