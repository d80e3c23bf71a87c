"""What a transaction knows, and what it has yet to write.

Each statement is a journey to another machine, during which nobody else can append. So a row that was read is not read again, and
rows that are written wait for each other and go together. Nobody else changes them meanwhile: who writes has the head.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from storage.codec import Row
from storage.postgres.tables import TABLES, Table
from storage.record import Entry

#: What is kept where there is known to be no row.
ABSENT: Final[Row] = ()

_NAMES: Final = re.compile(rf"\b(event|head|dedup|quarantine|parked|queue|{'|'.join(table.name for table in TABLES)})\b")

_STREAM: Final = frozenset({"event", "head", "dedup", "quarantine"})


class Way(Enum):
    """How a row is to be written."""

    #: It is new, else the transaction fails.
    INSERT = "inserting"
    #: It is new, or takes another's place.
    PUT = "putting"
    #: It is there, else the transaction fails.
    CHANGE = "changing"


def named(sql: str) -> frozenset[str]:
    """Tables that a statement may be about: all whose names are in it as a word."""
    return frozenset(_NAMES.findall(sql))


class Memory:
    """Of one transaction on one connection."""

    def __init__(self) -> None:
        #: By table; the keys are those of its rows, and of other things known about it.
        self._known: dict[str, dict[Row, Row]] = {}
        self._pending: dict[Table, dict[Way, dict[Row, Row]]] = {}
        #: Tables with pending rows.
        self.waiting: frozenset[str] = frozenset()
        #: Events that wait to be appended; their positions are known already.
        self.entries: list[Entry] = []

    def recall(self, table: str, key: Row) -> Row | None:
        """The row; ``ABSENT`` if there is none; None if only the database knows."""
        return self._known.get(table, {}).get(key)

    def remember(self, table: str, key: Row, row: Row) -> None:
        self._known.setdefault(table, {})[key] = row

    def forget(self, tables: Iterable[str]) -> None:
        """Something else may have changed them."""
        for table in tables:
            self._known.pop(table, None)

    def forget_key(self, table: str, key: Row) -> None:
        self._known.get(table, {}).pop(key, None)

    def forget_all(self) -> None:
        """Also what is not written yet: the transaction is given up, or another one begins."""
        self._known.clear()
        self._pending.clear()
        self.entries = []
        self.waiting = frozenset()

    def announce(self, entries: Iterable[Entry]) -> None:
        """They are to be appended."""
        self.entries.extend(entries)
        self.waiting |= _STREAM

    def add(self, table: Table, row: Row, way: Way) -> None:
        """The row is to be written; from now on it is what is known."""
        pending = self._pending.setdefault(table, {})
        self.waiting |= {table.name}
        if not table.key:
            pending.setdefault(way, {})[(len(pending.get(way, ())),)] = row
            return
        key = table.key_of(row)
        # What waits for its insertion is inserted as it is now.
        earlier = next((one for one in (Way.INSERT, Way.PUT) if key in pending.get(one, ())), None)
        if earlier is None and way is not Way.CHANGE:
            pending.get(Way.CHANGE, {}).pop(key, None)
        pending.setdefault(earlier or way, {})[key] = row
        self.remember(table.name, key, row)

    def pending(self, table: Table) -> list[Row]:
        """Rows of the table that are not written yet."""
        return [row for rows in self._pending.get(table, {}).values() for row in rows.values()]

    def take(self) -> "Writing | None":
        """One statement that writes everything; None if nothing waits."""
        work = [(table, way, list(rows.values())) for table in TABLES for way, rows in self._pending.get(table, {}).items() if rows]
        self._pending.clear()
        self.waiting = frozenset()
        return Writing(work) if work else None


class Writing:
    """A statement that writes rows of several tables, and answers with how many of each."""

    def __init__(self, work: list[tuple[Table, Way, list[Row]]]) -> None:
        self.values: list[Any] = [list(column) for _, _, rows in work for column in zip(*rows, strict=True)]
        self._expected = [(table.name, way, len(rows)) for table, way, rows in work]
        parts = ", ".join(f"part{number} AS ({getattr(table, way.value)})" for number, (table, way, _) in enumerate(work))
        counts = ", ".join(f"(SELECT count(*) FROM part{number})" for number in range(len(work)))
        self.sql = f"WITH {parts} SELECT {counts}"

    def missing(self, counts: Row) -> str:
        """The table of which another number of rows was written than was to be; empty if all is well."""
        pairs = zip(self._expected, counts, strict=True)
        return next((name for (name, _, expected), count in pairs if count != expected), "")
