"""All nouns on one connection, and how a function of the caller runs on them without waiting for anything else."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from storage.postgres.agents import PostgresAgents
from storage.postgres.channel_log import PostgresChannelLog
from storage.postgres.connection import Sql
from storage.postgres.conversations import PostgresConversations
from storage.postgres.customers import PostgresCustomers
from storage.postgres.files import PostgresFiles
from storage.postgres.messages import PostgresMessages
from storage.postgres.outbox import PostgresOutbox
from storage.postgres.queues import PostgresQueues
from storage.postgres.requests import PostgresRequests
from storage.postgres.settings import PostgresSettings
from storage.postgres.stream import Heads, PostgresStream
from storage.protocol import Transaction
from storage.steps import refusal_to_wait

T = TypeVar("T")


class PostgresTransaction:
    """The nouns of ``storage.protocol`` on one connection; ``heads`` is None in a view."""

    def __init__(self, sql: Sql, heads: Heads | None) -> None:
        self.sql = sql
        self.heads = heads
        self.stream = PostgresStream(sql, heads)
        self.customers = PostgresCustomers(sql)
        self.conversations = PostgresConversations(sql)
        self.messages = PostgresMessages(sql)
        self.queues = PostgresQueues(sql)
        self.agents = PostgresAgents(sql)
        self.outbox = PostgresOutbox(sql)
        self.files = PostgresFiles(sql)
        self.requests = PostgresRequests(sql)
        self.settings = PostgresSettings(sql)
        self.channel_log = PostgresChannelLog(sql)


async def run_alone(work: Callable[[Transaction], Awaitable[T]], transaction: PostgresTransaction) -> T:
    """Run ``work`` to its end. Raises StorageError if it waits for anything but its transaction: it holds a lock that all others want.

    Also when it swallowed an error that the database does not go on after.
    """
    result = await _Steps(work(transaction), transaction.sql)
    refusal = transaction.sql.lost or transaction.sql.broken
    if refusal is not None:
        raise type(refusal)(*refusal.args)
    return result


class _Steps(Generic[T]):
    """Hands on what ``work`` waits for, as long as it is an answer of the database."""

    def __init__(self, work: Awaitable[T], sql: Sql) -> None:
        self._work = work
        self._sql = sql

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        go_on: Callable[[], Any] = lambda: next(steps)  # noqa: E731  # the first of several forms of the same step
        while True:
            try:
                awaited = go_on()
            except StopIteration as end:
                result: T = end.value
                return result
            if not self._sql.busy:
                raise refusal_to_wait(steps)
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001  # work may handle it, as it would without us
                go_on = _throwing(steps, error)
            else:
                go_on = _sending(steps, value)


def _throwing(steps: Generator[Any, Any, T], error: BaseException) -> Callable[[], Any]:
    return lambda: steps.throw(error)


def _sending(steps: Generator[Any, Any, T], value: Any) -> Callable[[], Any]:
    return lambda: steps.send(value)
