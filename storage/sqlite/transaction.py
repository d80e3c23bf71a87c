"""All nouns on one connection, and how a function of the caller runs on them without ever waiting."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from storage.foreseen import Foreseen
from storage.protocol import Transaction
from storage.sqlite.agents import SqliteAgents
from storage.sqlite.channel_log import SqliteChannelLog
from storage.sqlite.connection import Sql
from storage.sqlite.conversations import SqliteConversations
from storage.sqlite.customers import SqliteCustomers
from storage.sqlite.files import SqliteFiles
from storage.sqlite.messages import SqliteMessages
from storage.sqlite.outbox import SqliteOutbox
from storage.sqlite.queues import SqliteQueues
from storage.sqlite.requests import SqliteRequests
from storage.sqlite.settings import SqliteSettings
from storage.sqlite.stream import Heads, SqliteStream
from storage.sqlite.tallies import SqliteTallies
from storage.steps import refusal_to_wait

T = TypeVar("T")


class SqliteTransaction:
    """The nouns of ``storage.protocol`` on one connection; ``heads`` is None in a view."""

    def __init__(self, sql: Sql, heads: Heads | None) -> None:
        self.sql = sql
        self.stream = SqliteStream(sql, heads)
        self.customers = SqliteCustomers(sql)
        self.conversations = SqliteConversations(sql)
        self.messages = SqliteMessages(sql)
        self.queues = SqliteQueues(sql)
        self.agents = SqliteAgents(sql)
        self.outbox = SqliteOutbox(sql)
        self.files = SqliteFiles(sql)
        self.requests = SqliteRequests(sql)
        self.settings = SqliteSettings(sql)
        self.tallies = SqliteTallies(sql)
        self.channel_log = SqliteChannelLog(sql)

    async def foresee(self, ahead: Foreseen) -> None:
        """Nothing is far away here."""


def run_at_once(work: Callable[[Transaction], Awaitable[T]], transaction: Transaction) -> T:
    """Run ``work`` to its end in this thread. Raises StorageError if it waits for anything, since nothing could wake it here."""
    steps = work(transaction).__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise refusal_to_wait(steps)
