"""What people read."""

from collections.abc import Iterator

from gateway.kit.checks import Result
from gateway.kit.findings import State


def lines_of(result: Result) -> Iterator[str]:
    """One line for the check; below it what must be done, and what was left out."""
    yield f"{result.check.id}  {result.state.value:<6}  {result.check.proves}"
    yield from (f"       {line}" for line in result.findings.lines())


def summary(name: str, results: list[Result]) -> str:
    """The last line."""
    count = {state: sum(result.state is state for result in results) for state in State}
    words = ", ".join(f"{number} {state.value}" for state, number in count.items() if number)
    return f"{name}: {words or 'nothing was checked'}"
