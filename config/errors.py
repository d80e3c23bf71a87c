"""What is wrong with the configuration: all of it at once, each with its place and a remedy, never with a secret's value."""

from collections.abc import Sequence

from msgspec import Struct


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    #: Dotted path, for example ``server.port``; empty if it concerns a whole file.
    key: str
    #: ``sportello.toml, line 3``, ``environment variable SPORTELLO__…``, ``flag --port``; empty if nobody said anything.
    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        subject = ": ".join(part for part in (self.place, self.key) if part)
        return f"{subject}: {self.what}. {self.remedy}".strip()


class ConfigError(Exception):
    """The configuration cannot be used. One line per problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
