"""Numbered migrations: which there are, which are missing. The back-ends carry them out, each in one transaction.

A migration is a file ``NNNN_what_it_does.sql`` in the back-end's ``migrations`` folder, numbered from 0001 without gaps and
never changed once it is released. Its first line may be ``-- compatible with: 0003``: programs whose newest migration is 0003 or
later can work on a database that has it, so that the nodes of an installation can be replaced one by one.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from storage.errors import SchemaError

_COMPATIBLE: Final = re.compile(r"-- compatible with: (\d{4})\n")
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    #: File name without the suffix, for example ``0001_first``.
    name: str
    sql: str

    @property
    def compatible_with(self) -> int:
        """The oldest program, by its newest migration, that can work on a database which has this one."""
        match = _COMPATIBLE.match(self.sql)
        return self.version if match is None else int(match[1])


def load_migrations(folder: Path) -> list[Migration]:
    """All migrations in ``folder``, by version. Raises SchemaError if a number is missing or used twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise SchemaError(f"{path} is no migration: its name must look like 0002_what_it_does.sql")
        found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise SchemaError(
                f"migration {migration.name} in {folder} should be number {expected:04}: numbers start at 0001 and have no gaps"
            )
    return found


def pending(database: str, version: int, known: Sequence[Migration], compatible_with: int | None = None) -> list[Migration]:
    """What ``database``, which stands at ``version`` (0: empty), still needs.

    Raises SchemaError if it is newer than this program, and not compatible with it either: see ``Migration.compatible_with``.
    """
    newest = known[-1].version if known else 0
    if version > newest and (compatible_with is None or compatible_with > newest):
        raise SchemaError(
            f"{database} has schema version {version}, and this Sportello knows versions up to {newest}: install a newer Sportello, "
            "or restore the backup made before the upgrade"
        )
    return [migration for migration in known if migration.version > version]
