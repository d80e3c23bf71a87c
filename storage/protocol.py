"""The store as everybody above sees it: one Protocol per noun, each method with its guarantee.

All methods of a transaction are ``async`` so that one router serves both engines. On SQLite they never wait: the writer
thread runs the whole function at once. So a function given to ``transact`` or ``view`` awaits nothing but its transaction.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from connectors.event import Instant, Status
from connectors.identity import PARTITIONS, Identity
from storage.access import Scope
from storage.foreseen import Foreseen
from storage.gathering import Gathering
from storage.interaction import ChannelLog
from storage.nouns import Agents, Files, Requests, Settings, Tallies
from storage.piece import Piece
from storage.record import (
    AgentLoad,
    Appended,
    Attempt,
    Conversation,
    Customer,
    Decision,
    Duplicate,
    Entry,
    KnownIdentity,
    Message,
    Node,
    OutboxItem,
    Priority,
    Queue,
    Recorded,
    State,
)

T = TypeVar("T")

#: The "partition" that means the whole stream.
WHOLE: Final = -1
EVERY_PARTITION: Final = frozenset(range(PARTITIONS))

#: (consumer, partition): something that one node at a time may do.
Duty = tuple[str, int]


class Step(NamedTuple):
    """How far a reader goes in one partition, and by which lease (0 if nobody else could)."""

    partition: int
    old: int
    new: int
    epoch: int


class Slots(NamedTuple):
    """How many replies a channel may begin: in all, and of what machines wrote or somebody for many."""

    whole: int
    bulk: int


class Stream(Protocol):
    """The one stream. ``pos`` is gapless and in commit order, so a plain integer is a safe cursor."""

    async def append(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        """Append within this transaction; a known (channel, key) is a Duplicate and writes nothing."""

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        """Up to ``limit`` events after ``after``, in order; ``WHOLE`` reads all partitions."""

    async def read_each(self, after: Mapping[int, int], limit: int) -> list[Recorded]:
        """Up to ``limit`` events of several partitions, each after a position of its own, in the order of ``pos``."""

    async def head(self, partition: int = WHOLE) -> int:
        """``pos`` of the newest event, of all or of one partition; 0 if there is none."""

    async def heads(self) -> dict[int, int]:
        """``head`` of each partition that has any events."""

    async def cursor(self, consumer: str, partition: int) -> int:
        """Where a reader stands; 0 if it never read."""

    async def advance(self, consumer: str, partition: int, old: int, new: int, epoch: int) -> None:
        """Compare-and-set of a reader's cursor and lease epoch. Raises Superseded, which rolls the transaction back."""

    async def advance_each(self, consumer: str, steps: Sequence[Step]) -> None:
        """:meth:`advance` in several partitions: in all of them or in none."""

    async def guard(self, consumer: str, epochs: Mapping[int, int]) -> None:
        """Raises Superseded unless the leases of these partitions have these epochs; nobody can take them before the commit."""

    async def count(self, type_: str, channel: str = "") -> int:
        """How many events of one type, of one channel or all: for reconciliation, not for every request."""

    async def by_key(self, channel: str, key: str) -> Recorded | None:
        """The event of a channel with this key, with its raw payload; None if there is none."""

    async def quarantined(self, after: int, limit: int) -> list[Recorded]:
        """Quarantined payloads that have not been reprocessed yet, oldest first."""

    async def quarantine_counts(self) -> dict[str, int]:
        """How many payloads wait for reprocessing, per channel."""

    async def mark_reprocessed(self, pos: int) -> None:
        """Take a payload off the quarantine list; its event stays in the stream."""


class Customers(Protocol):
    async def get(self, customer_id: str) -> Customer | None: ...

    async def find(self, identity: Identity) -> KnownIdentity | None: ...

    async def identities(self, customer_id: str) -> list[KnownIdentity]:
        """Oldest first."""

    async def put(self, customer: Customer) -> None:
        """Insert or replace."""

    async def put_identity(self, known: KnownIdentity) -> None:
        """Insert or replace."""

    async def move_identity(self, identity: Identity, to_customer: str) -> None:
        """Give one identity, its conversations and all their messages to another customer (merge and un-merge are both this)."""

    async def record_merge(self, from_customer: str, to_customer: str, identities: Sequence[Identity], at: datetime) -> None:
        """Remember which identities a merge moved, so that it can be undone."""

    async def undo_merge(self, from_customer: str, to_customer: str) -> list[Identity]:
        """Forget a merge and return what it had moved. Raises NotFound if there was none."""


class Conversations(Protocol):
    async def get(self, conversation_id: str, scope: Scope) -> Conversation | None:
        """None both for "there is none" and "not yours"."""

    async def unresolved(self, channel: str, identity: Identity) -> Conversation | None: ...

    async def latest(self, channel: str, identity: Identity) -> Conversation | None:
        """The newest one, in whatever state."""

    async def by_thread(self, channel: str, thread: str) -> list[Conversation]:
        """Unresolved ones whose answers go to ``thread``."""

    async def next_number(self) -> int: ...

    async def insert(self, conversation: Conversation) -> None:
        """Raises Conflict if the pair (channel, identity) already has an unresolved conversation."""

    async def update(self, conversation: Conversation) -> None:
        """Replace all fields. Raises NotFound."""

    async def waiting(self, queue_ids: Collection[str], limit: int) -> list[Conversation]:
        """Queued ones: of each queue up to ``limit``, longest waiting first."""

    async def due(self, now: datetime, limit: int) -> list[Conversation]:
        """Snoozed ones whose time has come."""

    async def page(
        self, scope: Scope, *, states: Sequence[State], queue_id: str, assignee_id: str, before: int, limit: int
    ) -> list[Conversation]:
        """Newest activity first (by ``last_pos``), those below ``before`` (0: from the newest); empty filters mean all."""

    async def of_customer(self, customer_id: str, scope: Scope) -> list[Conversation]:
        """Newest first."""

    async def counts(self, scope: Scope) -> dict[tuple[str, State], int]:
        """How many conversations per queue and state, resolved ones left out."""


class Messages(Protocol):
    async def get(self, message_id: str) -> Message | None: ...

    async def insert(self, message: Message) -> None: ...

    async def update(self, message: Message) -> None:
        """Replace all fields but ``pos``. Raises NotFound."""

    async def of_conversation(self, conversation_id: str, after: int, before: int, limit: int) -> list[Message]:
        """In ``pos`` order. Both 0: the newest ``limit``; with ``before``: the newest below it; with ``after``: the oldest above it."""

    async def of_customer(self, customer_id: str, scope: Scope, after: int, before: int, limit: int) -> list[Message]:
        """The one history over all identities and channels; the same paging. Only what ``scope`` may see."""

    async def link(self, channel: str, provider_id: str, message_id: str, part: int) -> None:
        """Remember the provider's id of (one part of) a message. Linking the same twice is no error."""

    async def report(self, channel: str, provider_id: str, message_id: str, status: Status, problem: str) -> None:
        """Keep what the provider has said of a linked id; without effect if it is not linked to this message."""

    async def pieces(self, channel: str, message_id: str) -> list[Piece]:
        """What the message is at the provider, in the order of parts."""

    async def by_provider_id(self, channel: str, provider_id: str) -> Message | None: ...

    async def provider_ids(self, channel: str, message_id: str) -> list[str]:
        """Those linked on ``channel``, in the order of parts."""

    async def park(self, channel: str, provider_id: str, data: bytes, at: datetime) -> None:
        """Keep an event about a message that we do not know yet (a status may overtake the answer to the sending)."""

    async def any_parked(self, channel: str = "") -> bool:
        """Is anything parked on this channel (empty: on any)? Usually not, and then nobody has to look."""

    async def unpark(self, channel: str, provider_id: str) -> list[bytes]:
        """Take out what was parked, oldest first."""

    async def forget_parked(self, before: datetime) -> int:
        """Remove what was parked before ``before``: its message will never come. Returns how many."""


class Queues(Protocol):
    async def get(self, queue_id: str) -> Queue | None: ...

    async def by_name(self, name: str) -> Queue | None: ...

    async def default(self) -> Queue: ...

    async def all(self) -> list[Queue]: ...

    async def put(self, queue: Queue) -> None: ...

    async def members(self, queue_id: str) -> list[AgentLoad]:
        """With their numbers of open conversations."""

    async def around(self, queue_ids: Collection[str]) -> dict[str, list[AgentLoad]]:
        """:meth:`members` of these queues, and of every other queue that one of them is in."""

    async def of_agent(self, agent_id: str) -> frozenset[str]: ...

    async def add_member(self, queue_id: str, agent_id: str) -> None: ...

    async def remove_member(self, queue_id: str, agent_id: str) -> None: ...

    async def add_decision(self, decision: Decision) -> None: ...

    async def decisions(self, conversation_id: str, limit: int) -> list[Decision]:
        """Newest first."""


class Outbox(Protocol):
    async def put(self, item: OutboxItem) -> None: ...

    async def get(self, message_id: str) -> OutboxItem | None: ...

    async def claim(
        self, now: datetime, slots: Mapping[str, Slots], known: Collection[str], partitions: Collection[int] = EVERY_PARTITION
    ) -> list[OutboxItem]:
        """Make due items of these partitions ``sending`` and begin an attempt for each: of each channel as many as it has ``slots``,
        people's replies first, then the oldest accepted.

        At most one per conversation, and none while another of it is under way, or one of no lower priority waits for its retry. Of a
        channel that is not ``known`` (``slots`` are of known ones) one comes too. Commit before calling.
        """

    async def update(self, item: OutboxItem) -> None:
        """Replace the item; one in a terminal status leaves the waiting part."""

    async def under_way(self, partitions: Collection[int] = EVERY_PARTITION) -> list[OutboxItem]:
        """Items in ``sending``: once their sender is gone their outcome is unknown."""

    async def next_due(
        self, paused: frozenset[str], partitions: Collection[int] = EVERY_PARTITION, lowest: Priority = Priority.BULK
    ) -> Instant | None:
        """When the next item can be claimed; None if nothing waits."""

    async def expired(self, now: datetime, limit: int) -> list[OutboxItem]:
        """Waiting items past their life."""

    async def waiting_count(self) -> dict[str, int]:
        """Unfinished items per channel."""

    async def redirect(self, channel: str, old_thread: str, new_thread: str) -> None:
        """Send what still waits for ``old_thread`` to ``new_thread``."""

    async def finish_attempt(self, attempt: Attempt) -> None: ...

    async def attempts(self, message_id: str) -> list[Attempt]: ...


class Transaction(Protocol):
    """All nouns within one transaction. Within a ``view`` writing raises StorageError."""

    async def foresee(self, ahead: Foreseen) -> None:
        """Much will be read and written. Where the database is far away it is read at once, and what is written waits for the rest: reading
        sees it, but what a rule of the database refuses may be refused as late as at the end, and then nothing of all is kept.
        """

    @property
    def stream(self) -> Stream: ...

    @property
    def customers(self) -> Customers: ...

    @property
    def conversations(self) -> Conversations: ...

    @property
    def messages(self) -> Messages: ...

    @property
    def queues(self) -> Queues: ...

    @property
    def agents(self) -> Agents: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def files(self) -> Files: ...

    @property
    def requests(self) -> Requests: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def tallies(self) -> Tallies: ...

    @property
    def channel_log(self) -> ChannelLog: ...


class Vault(Protocol):
    """Bytes of files, where several nodes have to reach them: kept by the hash of their content."""

    async def put(self, sha256: str, source: Path) -> None:
        """Keep a copy of the file; returns when it is durable. The same content twice is no error."""

    async def fetch(self, sha256: str, target: Path) -> bool:
        """Write the bytes to ``target``; False if there are none of this hash."""


class Store(Protocol):
    """A database, open."""

    @property
    def shared(self) -> bool:
        """May several processes have it open? If not, whoever has it open owns every duty, and needs no lease."""

    @property
    def vault(self) -> Vault | None:
        """Where files are kept, if not in a folder of this machine."""

    @property
    def gathering(self) -> Gathering | None:
        """How nodes that share it hand over their spools; None for a store of one process."""

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` alone and all-or-nothing; return when its writes are durable. Whatever ``work`` raises rolls back and comes out."""

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` on one consistent, read-only state, beside any writer."""

    async def aside(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Like ``transact``, for what has nothing to do with the stream: it holds up nobody who appends. ``work`` must be small."""

    async def append(self, entries: Sequence[Entry]) -> list[Appended | Duplicate]:
        """Append and return when durable; calls that come together share one commit."""

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        """Read the stream, see ``Stream.read``; may give fewer than there are, but none only at the end."""

    async def wait(self, partition: int, after: int, seconds: float) -> None:
        """Return when there may be something after ``after``, or after ``seconds``: a hint, nothing more."""

    async def lease(self, owner: str, duties: Collection[Duty], ttl: float) -> dict[Duty, int]:
        """Take or prolong those that nobody else has, for ``ttl`` seconds by the database's clock; returns what is had, with epochs.

        An epoch that has grown since the last call tells that the duty was lost in between, to oneself or to another.
        """

    async def release(self, owner: str, held: Mapping[Duty, int]) -> None:
        """Let the next one in at once; what was lost already stays as it is."""

    async def beat(self, node: Node, ttl: float) -> list[Node]:
        """Be known as running for ``ttl`` seconds; returns all that are, by id. With ``ttl`` 0: no longer."""

    async def check(self) -> list[str]:
        """What is wrong with this database, one line each, for ``doctor``; empty when all is well."""

    async def close(self) -> None:
        """Finish what was begun and close."""
