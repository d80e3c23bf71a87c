"""All nouns on one connection, and how a function of the caller runs on them without waiting for anything else."""

from collections.abc import Awaitable, Callable, Generator
from collections.abc import Set as AbstractSet
from typing import Any, Final, Generic, TypeVar

from storage.codec import Row
from storage.foreseen import Foreseen
from storage.postgres.agents import PostgresAgents
from storage.postgres.channel_log import PostgresChannelLog
from storage.postgres.connection import Sql
from storage.postgres.conversations import PostgresConversations
from storage.postgres.customers import PERSON, PostgresCustomers, remember_person
from storage.postgres.files import PostgresFiles
from storage.postgres.memory import ABSENT
from storage.postgres.messages import PostgresMessages
from storage.postgres.outbox import PostgresOutbox
from storage.postgres.queues import PostgresQueues
from storage.postgres.requests import PostgresRequests
from storage.postgres.settings import PostgresSettings
from storage.postgres.stream import Heads, PostgresStream
from storage.postgres.tables import CONVERSATIONS, ITEMS, MESSAGES, Table
from storage.postgres.tallies import PostgresTallies
from storage.protocol import Transaction
from storage.rows.sql import listed
from storage.steps import refusal_to_wait

T = TypeVar("T")

_PERSON_OF: Final = """
    LEFT JOIN identity i ON i.scheme = v.scheme AND i.scope = v.scope AND i.value = v.value LEFT JOIN customer c ON c.id = i.customer_id
"""
_WITH_PERSON: Final = f"SELECT {listed(CONVERSATIONS.columns, 'v')}, {PERSON} FROM conversation v {_PERSON_OF} WHERE v.id = ANY(?)"
_SENDING: Final = f"""
    SELECT {listed(ITEMS.columns, "o")}, {listed(MESSAGES.columns, "m")}, {listed(CONVERSATIONS.columns, "v")}, {PERSON}
    FROM message m LEFT JOIN outbox o ON o.message_id = m.id JOIN conversation v ON v.id = m.conversation_id {_PERSON_OF}
    WHERE m.id = ANY(?)
"""


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
        self.tallies = PostgresTallies(sql)
        self.channel_log = PostgresChannelLog(sql)

    async def foresee(self, ahead: Foreseen) -> None:
        self.sql.collecting = True
        await self.customers.foresee(ahead.identities | {identity for _, identity in ahead.pairs})
        await self.conversations.foresee(ahead.pairs)
        await self._foresee_conversations(ahead.conversations)
        await self.messages.foresee(ahead.provider_ids)
        await self._foresee_sending(ahead.messages | self.messages.ours(ahead.provider_ids))

    async def _foresee_conversations(self, ids: AbstractSet[str]) -> None:
        """Read these, and to whom they belong."""
        memory = self.sql.memory
        wanted = [id_ for id_ in ids if memory.recall("conversation", (id_,)) is None]
        if wanted:
            for row in await self.sql.rows(_WITH_PERSON, (wanted,)):
                self._know(*_cut(row, CONVERSATIONS))

    def _know(self, conversation: Row, person: Row) -> None:
        self.sql.memory.remember("conversation", (conversation[0],), conversation)
        if person[0] is not None:
            remember_person(self.sql.memory, person)

    async def _foresee_sending(self, ids: AbstractSet[str]) -> None:
        """Read messages of ours, with what they are in the outbox and at the provider, and to whom they go."""
        memory = self.sql.memory
        wanted = [id_ for id_ in ids if memory.recall("outbox", (id_,)) is None]
        if not wanted:
            return
        pieces = []
        for row in await self.sql.rows(_SENDING, (wanted,)):
            item, rest = _cut(row, ITEMS)
            message, rest = _cut(rest, MESSAGES)
            memory.remember("outbox", (message[1],), item if item[0] is not None else ABSENT)
            memory.remember("message", (message[1],), message)
            self._know(*_cut(rest, CONVERSATIONS))
            pieces.append((message[10], message[1]))
        await self.messages.foresee_pieces(pieces)


def _cut(row: Row, table: Table) -> tuple[Row, Row]:
    """The columns of the table, and those after them."""
    return row[: len(table.columns)], row[len(table.columns) :]


async def run_alone(work: Callable[[Transaction], Awaitable[T]], transaction: PostgresTransaction) -> T:
    """Run ``work`` to its end. Raises StorageError if it waits for anything but its transaction: it holds a lock that all others want.

    Also when it swallowed an error that the database does not go on after.
    """
    sql = transaction.sql
    sql.collecting = False
    result = await _Steps(work(transaction), sql)
    refusal = sql.lost or sql.broken
    if refusal is not None:
        raise type(refusal)(*refusal.args)
    await sql.flush()
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
