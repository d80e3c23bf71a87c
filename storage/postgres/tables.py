"""Tables whose rows a transaction may keep to itself for a while: their columns, with types, and what tells their rows apart."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from storage.codec import Row
from storage.rows.files import JOB
from storage.rows.history import CONVERSATION, MESSAGE, PIECE
from storage.rows.people import AGENT, CUSTOMER, DECISION, IDENTITY
from storage.rows.sending import ATTEMPT, ITEM
from storage.rows.sql import listed

#: Every other column is text.
_TYPES: Final = {
    "bigint": (
        "number created_at updated_at waiting_since snoozed_until last_pos last_inbound_pos seen_pos customer_seen_pos last_private_at"
        " since pos at received_at edited_at pieces sent_at part attempts unknowns part_from next_at expires_at accepted_at partition"
        " priority window_from started_at finished_at capacity last_assigned_at"
    ),
    "boolean": "opted_out deleted possible_duplicate public automatic finished disabled",
    "bytea": "reactions parts candidates",
}
_TYPE_OF: Final = {name: type_ for type_, names in _TYPES.items() for name in names.split()}


@dataclass(frozen=True)
class Table:
    """Some columns of a table, all that a new row needs. ``key`` is unique; ``fixed`` are those that never change once they are there."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    fixed: frozenset[str] = frozenset()

    def type_of(self, column: str) -> str:
        return "bigint" if (self.name, column) == ("counter", "value") else _TYPE_OF.get(column, "text")

    def key_of(self, row: Row) -> Row:
        return tuple(row[place] for place in self._places)

    @cached_property
    def _places(self) -> tuple[int, ...]:
        return tuple(self.columns.index(name) for name in self.key)

    @cached_property
    def _given(self) -> str:
        """Rows as one array for each column."""
        return f"unnest({', '.join(f'?::{self.type_of(name)}[]' for name in self.columns)})"

    @cached_property
    def _settable(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name not in self.key and name not in self.fixed)

    @cached_property
    def selecting(self) -> str:
        """The row with a key."""
        return f"SELECT {listed(self.columns)} FROM {self.name} WHERE {' AND '.join(f'{name} = ?' for name in self.key)}"

    @cached_property
    def inserting(self) -> str:
        """Rows that are new; one that is there is refused by the database."""
        return f"INSERT INTO {self.name} ({listed(self.columns)}) SELECT * FROM {self._given} RETURNING 1"

    @cached_property
    def putting(self) -> str:
        """Rows that are new, or take the place of those with their keys."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in self._settable)
        new = f"INSERT INTO {self.name} ({listed(self.columns)}) SELECT * FROM {self._given}"
        return f"{new} ON CONFLICT ({listed(self.key)}) DO UPDATE SET {changes} RETURNING 1"

    @cached_property
    def changing(self) -> str:
        """Rows that are there."""
        changes = ", ".join(f"{name} = given.{name}" for name in self._settable)
        same = " AND ".join(f"{self.name}.{name} = given.{name}" for name in self.key)
        return f"UPDATE {self.name} SET {changes} FROM {self._given} AS given ({listed(self.columns)}) WHERE {same} RETURNING 1"


CUSTOMERS: Final = Table("customer", CUSTOMER, ("id",))
IDENTITIES: Final = Table("identity", IDENTITY, ("scheme", "scope", "value"))
CONVERSATIONS: Final = Table("conversation", CONVERSATION, ("id",))
MESSAGES: Final = Table("message", MESSAGE, ("id",), frozenset({"pos"}))
PIECES: Final = Table("provider_message", ("channel", "message_id", *PIECE), ("channel", "provider_id"), frozenset({"message_id"}))
ITEMS: Final = Table("outbox", ITEM, ("message_id",))
ATTEMPTS: Final = Table("attempt", ATTEMPT, ("message_id", "number"))
JOBS: Final = Table("media_job", JOB, ("id",))
AGENTS: Final = Table("agent", AGENT, ("id",))
COUNTERS: Final = Table("counter", ("name", "value"), ("name",))
#: Nobody asks for one by a key: only ever inserted.
DECISIONS: Final = Table("decision", DECISION, ())

#: In an order in which they may be written: what is referred to comes first.
TABLES: Final = (CUSTOMERS, IDENTITIES, CONVERSATIONS, MESSAGES, PIECES, ITEMS, ATTEMPTS, JOBS, AGENTS, COUNTERS, DECISIONS)
