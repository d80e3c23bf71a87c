"""An author's folder: ``sample.py``, payload pairs, and case files."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.kit.case import TYPES, AnyCase, GivenRequest, Inbound
from gateway.kit.sample import Sample

C = TypeVar("C", bound=AnyCase)

SAMPLE_FILE: Final = "sample.py"
_CASES: Final = ".case.json"
_EXPECTED: Final = ".expect.json"

_decoder: Final = msgspec.json.Decoder(AnyCase | list[AnyCase])


class BadFolder(Exception):
    """Something in the folder cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """A case and the folder that its files are in."""

    case: AnyCase
    folder: Path


@dataclass(frozen=True, slots=True)
class Folder:
    """What an author has supplied."""

    path: Path
    sample: Sample
    found: tuple[Found, ...]

    def of(self, type_: type[C]) -> list[tuple[C, Path]]:
        """The cases of one kind, each with its folder."""
        return [(one.case, one.folder) for one in self.found if isinstance(one.case, type_)]


def read_folder(path: Path) -> Folder:
    """Everything below ``path``. Raises :class:`BadFolder`."""
    sample = _sample(path / SAMPLE_FILE)
    found = tuple(one for file in sorted(path.rglob("*.json")) for one in _cases(file, sample))
    names: set[tuple[str, str]] = set()
    for one in found:
        key = (type(one.case).__name__, one.case.name)
        if key in names:
            raise BadFolder(f"{one.folder}: two cases of one kind are called {one.case.name!r}; give one of them another name")
        names.add(key)
    return Folder(path, sample, found)


def _sample(file: Path) -> Sample:
    if not file.is_file():
        raise BadFolder(
            f"{file} is missing: it must hold SAMPLE = Sample(…), see gateway/kit/README.md; or name another folder with --cases"
        )
    # By its path and not by a name: the folder is no package, and there is one such file for every connector.
    name = f"sportello_kit_sample_{abs(hash(file.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BadFolder(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadFolder(f"{file}: {type(error).__name__}: {error}") from error
    found = getattr(module, "SAMPLE", None)
    if not isinstance(found, Sample):
        raise BadFolder(f"{file}: SAMPLE must be a gateway.kit.Sample, not {type(found).__name__}")
    return found


def _cases(file: Path, sample: Sample) -> Iterator[Found]:
    if file.name.endswith(_CASES):
        cases = _decoded(file)
        for number, case in enumerate(cases, 1):
            short = file.name.removesuffix(_CASES)
            yield Found(replace(case, name=case.name or (short if len(cases) == 1 else f"{short} {number}")), file.parent)
    elif file.name.endswith(_EXPECTED):
        yield _pair(file, sample)


def _decoded(file: Path) -> list[AnyCase]:
    try:
        read: AnyCase | list[AnyCase] = _decoder.decode(file.read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFolder(f"{file}: {error}") from error
    return read if isinstance(read, list) else [read]


def _pair(file: Path, sample: Sample) -> Found:
    name = file.name.removesuffix(_EXPECTED)
    bodies = [
        body
        for body in file.parent.glob(f"{name}.*")
        if body.stem == name and body != file and not body.name.endswith((_CASES, _EXPECTED)) and body.suffix != ".py"
    ]
    if len(bodies) != 1:
        raise BadFolder(
            f"{file} needs exactly one body beside it, {name}.json for example; there are {len(bodies)} ({', '.join(TYPES)}, …)"
        )
    try:
        events = msgspec.json.decode(file.read_bytes(), type=list[dict[str, object]])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFolder(f"{file} must be a list of events: {error}") from error
    request = GivenRequest(file=bodies[0].name)
    return Found(Inbound(name=name, request=request, events=events, own=name in sample.own, closed=name in sample.closed), file.parent)
