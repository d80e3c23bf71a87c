"""What a check has found."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

#: More of one check's problems than this are only counted.
MOST_SHOWN: Final = 5


class State(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what the author must do."""

    what: str
    remedy: str
    #: File and function, for example ``inbound.py: parse``.
    place: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.what}. {self.remedy}"


@dataclass(slots=True)
class Findings:
    """Filled in by one check."""

    problems: list[Problem] = field(default_factory=list)
    #: Why something was not looked at.
    exemptions: list[str] = field(default_factory=list)
    #: Figures.
    notes: list[str] = field(default_factory=list)
    #: Has anything been looked at?
    looked: int = 0

    def expect(self, right: Any, what: str, remedy: str, place: Callable[..., Any] | str = "") -> bool:
        """Notes a problem unless ``right``; says which it was."""
        self.looked += 1
        if not right:
            self.problems.append(Problem(what, remedy, place if isinstance(place, str) else place_of(place)))
        return bool(right)

    def exempt(self, why: str) -> None:
        """Something does not apply."""
        if why not in self.exemptions:
            self.exemptions.append(why)

    @property
    def state(self) -> State:
        if self.problems:
            return State.FAILED
        return State.PASSED if self.looked else State.EXEMPT

    def lines(self) -> list[str]:
        """Problems first, then what was left out."""
        shown = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        if (more := len(self.problems) - len(shown)) > 0:
            shown.append(f"… and {more} more of the kind")
        return [*shown, *self.notes, *(f"exempt: {why}" for why in self.exemptions)]


def place_of(function: Callable[..., Any]) -> str:
    """``inbound.py: parse``."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{Path(file).name}: {name}" if file else name


def crash_of(error: BaseException) -> Problem:
    """An exception that no connector may raise, with the place where it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent != Path(__file__).parent]
    last = frames[-1] if frames else None
    place = f"{Path(last.filename).name}, line {last.lineno}: {last.name}" if last else ""
    if isinstance(error, NotImplementedError):
        return Problem("is not written yet", f"Write it: {error}", place)
    return Problem(
        f"raised {type(error).__name__}: {str(error)[:200]}", "Only BadPayload and Inexpressible may leave the pure functions.", place
    )
