"""What is measured, what it should be, and the table at the end."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is aimed at; those that are None do not count. Most are ratios, because the clock of a shared machine swings."""

    #: Ours divided by the floor.
    at_least: float | None = None
    at_most: float | None = None
    #: Ours minus the floor, in the figure's unit.
    over: float | None = None
    #: Ours alone, in the figure's unit.
    ours: float | None = None

    def text(self, unit: str) -> str:
        """For people."""
        said = [
            f">= {self.at_least:g} x" if self.at_least is not None else "",
            f"<= {self.at_most:g} x" if self.at_most is not None else "",
            f"<= floor + {self.over:g} {unit}" if self.over is not None else "",
            f"<= {self.ours:g} {unit}" if self.ours is not None else "",
        ]
        return ", ".join(filter(None, said))

    def met(self, floor: float, ours: float, ratio: float) -> bool:
        """Is all of it reached?"""
        return (
            (self.at_least is None or ratio >= self.at_least)
            and (self.at_most is None or ratio <= self.at_most)
            and (self.over is None or ours - floor <= self.over)
            and (self.ours is None or ours <= self.ours)
        )


#: Every goal, by the kind of figure; a kind without one is only shown.
GOALS: Final = {
    "accept": Goal(at_least=0.6),
    "sustained": Goal(at_least=0.25),
    "sustained cluster": Goal(at_least=0.4),
    "ack p50": Goal(at_most=2),
    "ack p99": Goal(at_most=3),
    "feed p50": Goal(at_most=3),
    "feed p99": Goal(at_most=4),
    "reply p50": Goal(over=5),
    "replies": Goal(at_least=0.6),
    "replay": Goal(at_least=0.5),
    "parse": Goal(at_most=3),
    "take-over": Goal(ours=5),
    "storm": Goal(ours=15),
    "visitor socket": Goal(ours=4),
    "start": Goal(ours=1),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. ``floor`` and ``ours`` are pairs, measured side by side; without a floor the ratio stays open."""

    kind: str
    what: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float] = field(default=())

    def cells(self) -> tuple[str, ...]:
        """what, ours, floor, ratio, goal, met."""
        ours = statistics.median(self.ours)
        floor = statistics.median(self.floor) if self.floor else 0.0
        ratios = [mine / base for mine, base in zip(self.ours, self.floor, strict=True)] if self.floor else []
        ratio = statistics.median(ratios) if ratios else 0.0
        goal = GOALS.get(self.kind)
        spread = f"({min(ratios):.2f} … {max(ratios):.2f})" if len(ratios) > 1 else ""
        return (
            self.what,
            f"{ours:,.2f} {self.unit}",
            f"{floor:,.2f} {self.unit}" if self.floor else "",
            f"{ratio:.2f} {spread:>16}" if ratios else "",
            goal.text(self.unit) if goal else "",
            "" if goal is None else "yes" if goal.met(floor, ours, ratio) else "no",
        )


def table(figures: Sequence[Figure]) -> str:
    """All of them, in columns."""
    rows = [("what", "ours", "floor", "ratio (of pairs)", "goal", "met"), *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for what, *middle, met in rows:
        right = "  ".join(cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True))
        lines.append(f"{what.ljust(widths[0])}  {right}  {met}".rstrip())
    return "\n".join(lines)
