"""After an outage: what several nodes took meanwhile gets into the stream in the order in which it was taken.

While the database is away each node keeps what comes in, in its own spool. A shopper's messages may be spread over several of them.
So when the database is back nothing is appended at first: the nodes hand their spools over into the table ``gathered``, new messages
go there too, and once no node has anything left the table is merged into the stream by the time at which each was taken. The times
are by the database's clock, to which each node compares its own.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from storage.record import Appended, Duplicate, Entry, Gathered

#: Where an event lies that the database has.
Kept = Appended | Duplicate | Gathered


class Gather(NamedTuple):
    """How far it has come."""

    #: Which gathering is under way: microseconds since 1970 of its begin; 0: none.
    since: int
    #: How many events wait for it to end.
    waiting: int


class Gathering(Protocol):
    """What a store offers to nodes that share it. Everything raises storage errors; then nothing has happened."""

    async def append(self, entries: Sequence[Entry], *, behind: bool = False) -> Sequence[Kept]:
        """Append what comes in now; while a gathering is under way, keep it behind what is gathered. Returns when durable.

        A database server that has been started again begins a gathering: nobody knows yet what other nodes have in their spools.
        ``behind``: the caller's own spool has earlier ones, so it must be kept; raises Unavailable where nothing is gathered, as there
        is no other spool.
        """

    async def hand_over(self, source: str, entries: Sequence[Entry]) -> Sequence[Kept]:
        """The next ones of the spool ``source``, in its order. Returns when durable."""

    def warn(self, source: str) -> None:
        """The spool ``source`` begins to fill. Nodes that hear of it gather, for a little while, though the database answers them."""

    async def report(self, source: str, done: int, *, idle: bool = False) -> Gather:
        """The spool ``source`` is in use. ``done``: the gathering for which it has handed over everything, 0 if it has not. ``idle``: it is
        empty, and the next event goes to the store.

        Call it every second: a spool that is silent is waited for only so long; one that fell silent while it was idle, and others could
        report, not at all, unless it has warned since.
        """

    async def leave(self, source: str) -> None:
        """The spool ``source`` is empty and out of use: nobody waits for it."""

    async def merge(self) -> int:
        """Once every spool is handed over: append the next ones that were gathered, oldest first; returns how many.

        With the last of them the gathering ends.
        """
