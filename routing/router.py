"""The one door: every change of a conversation, a customer, a queue or an agent passes here.

``route`` takes inbound events out of the stream; ``handle`` takes commands. Both load a snapshot, decide purely and apply,
in one transaction, so nobody ever sees half of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.event import decode_event
from routing import ahead, announce, continued, dialogue, inbound, load, sending, staff, transcript, upkeep
from routing.apply import Applied, Applier
from routing.command import (
    AnyCommand,
    ConversationCommand,
    CrashedAttempts,
    ExpireReplies,
    FinishAttempt,
    KeepProgress,
    MailTranscript,
    MailUnseen,
    MediaStored,
    MergeCustomers,
    Note,
    OptOut,
    PutAgent,
    PutQueue,
    Reply,
    SetMember,
    SetPresence,
    UnmergeCustomers,
    VisitorSeen,
    Wake,
)
from routing.consent import opt_out
from routing.rules import Rules
from routing.snapshot import Arrival
from storage.errors import SchemaError, Superseded, Unavailable
from storage.foreseen import Shareable
from storage.protocol import WHOLE, Step, Store, Transaction
from storage.record import Agent, Attempt, Conversation, Customer, Message, MessageKind, Queue, Recorded

#: The router's name as a reader of the stream.
CONSUMER: Final = "router"

Result = Message | Conversation | Agent | Queue | Customer | int | None


def _nothing() -> None: ...


def _ignore(recorded: Recorded, error: Exception) -> None:
    del recorded, error


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Whom the router tells, after the commit, that there may be something to do. Hints only: the tables are the truth."""

    outbox: Callable[[], None] = _nothing
    media: Callable[[], None] = _nothing
    #: An event that could not be routed; it is on record as ``routing.failed``.
    failed: Callable[[Recorded, Exception], None] = _ignore


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands in a partition, and by which lease it reads."""

    partition: int
    pos: int
    epoch: int

    def has(self, recorded: Recorded) -> bool:
        return self.partition in {WHOLE, recorded.entry.partition}


class Router:
    """See the module."""

    def __init__(self, store: Store, rules: Rules, clock: Callable[[], datetime], signals: Signals | None = None) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._signals = signals or Signals()
        #: Where we stand in each partition, as far as we know; ``advance`` proves it.
        self._cursors: dict[int, int] = {}

    # --- the stream

    async def route(self, limit: int = 200, partition: int = WHOLE, epoch: int = 0) -> int:
        """:meth:`route_each` for one partition, or for the whole stream where nobody else could read it."""
        return await self.route_each({partition: epoch}, limit)

    async def route_each(self, epochs: Mapping[int, int], limit: int) -> int:
        """Route up to ``limit`` events after the cursors, in one transaction; returns how many events were passed, 0 at the end.

        An event that cannot be routed is put on record and passed, so that it never holds up those behind it. ``epochs`` are those of
        the leases by which this node reads each partition. Raises Superseded, and routes nothing, when another
        node reads one of them now.
        """
        try:
            unknown = [partition for partition in epochs if partition not in self._cursors]
            if unknown:
                self._cursors |= await self._store.view(lambda tx: _cursors(tx, unknown))
            return await self._route([Place(partition, self._cursors[partition], epoch) for partition, epoch in epochs.items()], limit)
        except Superseded:
            for partition in epochs:
                self.forget(partition)
            raise

    def passed(self, partition: int) -> int:
        """Position up to which this router knows that a partition is routed; -1 if it never read it."""
        return self._cursors.get(partition, -1)

    def forget(self, partition: int) -> None:
        """Another node may have read the partition meanwhile: ask the database where to go on."""
        self._cursors.pop(partition, None)

    async def _route(self, places: Sequence[Place], limit: int) -> int:
        batch = await self._read(places, limit)
        if not batch:
            return 0
        done: list[Applied] = []
        concerned = [place for place in places if any(place.has(recorded) for recorded in batch)]
        try:
            steps = await self._store.transact(lambda tx: self._batch(tx, concerned, batch, done))
        except (Unavailable, SchemaError, Superseded):
            raise
        except Exception as error:  # noqa: BLE001  a decision's bug must not stop the shop
            if len(batch) == 1:
                return await self._pass_over(concerned[0], batch[0], error)
            # Halves, so that one bad event among many costs its neighbours little.
            return await self._route(places, len(batch) // 2)
        self._cursors |= {step.partition: step.new for step in steps}
        self._signal(done)
        return len(batch)

    async def _read(self, places: Sequence[Place], limit: int) -> list[Recorded]:
        if len(places) == 1:
            return await self._store.read(places[0].partition, places[0].pos, limit)
        after = {place.partition: place.pos for place in places}
        return await self._store.view(lambda tx: tx.stream.read_each(after, limit))

    async def _batch(self, tx: Transaction, places: Sequence[Place], batch: Sequence[Recorded], done: list[Applied]) -> list[Step]:
        # A call that is carried out again after an error begins with nothing done.
        done.clear()
        arrivals = [_arrival(one.entry.channel, one.entry.data, one.entry.at) for one in batch if one.entry.channel]
        applier = Applier(tx, self._clock())
        if arrivals and self._store.shared:  # elsewhere nothing is far away
            await tx.foresee(ahead.of_arrivals(arrivals))
        for arrival in arrivals:
            await self._settle(tx, applier, [arrival])
        last = {place: max(recorded.pos for recorded in batch if place.has(recorded)) for place in places}
        caught_up = [place for place in places if last[place] == await tx.stream.head(place.partition)]
        await applier.flush()
        done.append(applier.done)
        # What was announced just now needs no routing; passing it here saves a transaction of its own.
        last |= {place: await tx.stream.head(place.partition) for place in caught_up}
        steps = [Step(place.partition, place.pos, last[place], place.epoch) for place in places]
        await tx.stream.advance_each(CONSUMER, steps)
        return steps

    async def _settle(self, tx: Transaction, applier: Applier, arrivals: Sequence[Arrival]) -> None:
        """Decide and apply what arrived, and what had waited for what it brings."""
        todo = list(arrivals)
        while todo:
            arrival = todo.pop(0)
            snapshot = await load.for_arrival(tx, arrival, self._rules)
            applier.know(snapshot.customer)
            await applier.apply(inbound.decide(arrival, snapshot, self._rules), arrival.at)
            todo += _revived(applier, arrival.at)

    async def _pass_over(self, place: Place, bad: Recorded, error: Exception) -> int:
        now = self._clock()
        why = f"{type(error).__name__}: {error}"

        async def work(tx: Transaction) -> None:
            await tx.stream.append([announce.failure_event(bad.pos, why, bad.entry.partition, now)])
            await tx.stream.advance(CONSUMER, place.partition, place.pos, bad.pos, place.epoch)

        await self._store.transact(work)
        self._cursors[place.partition] = bad.pos
        self._signals.failed(bad, error)
        return 1

    def _signal(self, done: list[Applied]) -> None:
        if any(applied.outbox for applied in done):
            self._signals.outbox()
        if any(applied.media for applied in done):
            self._signals.media()

    # --- commands

    async def handle(self, command: AnyCommand) -> Result:
        """Carry a command out and return what its class promises. Raises Refused, or StorageError if nothing could be written."""
        now = self._clock()
        done: list[Applied] = []

        async def work(tx: Transaction) -> Result:
            # A call that is carried out again after another's error begins with nothing done.
            done.clear()
            return await self._handle(tx, command, now, done)

        result = await self._store.transact(Shareable(work, ahead.of_command(command)))
        self._signal(done)
        return result

    async def rehearse(self, command: Reply) -> None:
        """Raise what :meth:`handle` would; nothing is changed."""

        async def look(tx: Transaction) -> None:
            dialogue.decide(command, await load.for_dialogue(tx, command), self._rules, self._clock())

        await self._store.view(look)

    async def _handle(self, tx: Transaction, command: AnyCommand, now: datetime, done: list[Applied]) -> Result:
        match command:
            case Reply() | Note():
                return await self._write(tx, command, now, done)
            case MailUnseen():
                return await self._mail(tx, command, now, done)
            case MailTranscript():
                return await self._transcript(tx, command, now, done)
            case OptOut():
                await self._opt_out(tx, command, now, done)
                return None
            case ConversationCommand():
                return await self._move(tx, command, now, done)
            case SetPresence() | PutAgent() | PutQueue() | SetMember() | MergeCustomers() | UnmergeCustomers():
                return await self._staff(tx, command, now, done)
            case CrashedAttempts():
                return await self._crashed(tx, command, now, done)
            case Wake():
                return await self._wake(tx, command, now, done)
            case FinishAttempt() | KeepProgress() | ExpireReplies() | MediaStored() | VisitorSeen():
                return await self._upkeep(tx, command, now, done)

    async def _write(self, tx: Transaction, command: Reply | Note, now: datetime, done: list[Applied]) -> Message:
        known = await tx.messages.by_provider_id("", f"command:{command.id}")
        if known is not None and known.conversation_id == command.conversation_id:
            return known
        snapshot = await load.for_dialogue(tx, command)
        applier = Applier(tx, now)
        await applier.apply(dialogue.decide(command, snapshot, self._rules, now))
        await applier.flush()
        done.append(applier.done)
        (message,) = applier.done.messages.values()
        return message

    async def _move(self, tx: Transaction, command: ConversationCommand, now: datetime, done: list[Applied]) -> Conversation:
        snapshot = await load.for_dialogue(tx, command)
        applier = Applier(tx, now)
        await applier.apply(dialogue.decide(command, snapshot, self._rules, now))
        await applier.flush()
        done.append(applier.done)
        assert snapshot.conversation is not None
        return applier.done.conversations.get(command.conversation_id, snapshot.conversation)

    async def _staff(self, tx: Transaction, command: staff.StaffCommand, now: datetime, done: list[Applied]) -> Result:
        snapshot = await load.for_staff(tx, command)
        applier = Applier(tx, now)
        await applier.apply(staff.decide(command, snapshot, now))
        await applier.flush()
        done.append(applier.done)
        match command:
            case SetPresence() | PutAgent():
                changed = [agent for agent in applier.done.agents.values() if command.agent_id in {"", agent.id}]
                return changed[0] if changed else (snapshot.agent.agent if snapshot.agent else None)
            case PutQueue():
                return list(applier.done.queues.values())[-1]
            case MergeCustomers():
                return applier.done.customers.get(command.into_id)
            case UnmergeCustomers():
                return applier.done.customers.get(command.from_id)
            case _:
                return None

    # --- the gateway's workers

    async def _upkeep(
        self,
        tx: Transaction,
        command: FinishAttempt | KeepProgress | ExpireReplies | MediaStored | VisitorSeen,
        now: datetime,
        done: list[Applied],
    ) -> Result:
        match command:
            case FinishAttempt() | KeepProgress():
                snapshot = await load.for_attempt(tx, command)
            case ExpireReplies():
                snapshot = await load.for_expiry(tx, command, now)
            case MediaStored():
                snapshot = await load.for_media(tx, command)
            case VisitorSeen():
                snapshot = await load.for_visitor(tx, command)
        applier = Applier(tx, now)
        await applier.apply(upkeep.decide(command, snapshot, self._rules, now))
        await self._settle(tx, applier, _revived(applier, now))
        await applier.flush()
        done.append(applier.done)
        return len(snapshot.items) if isinstance(command, ExpireReplies) else None

    async def _crashed(self, tx: Transaction, command: CrashedAttempts, now: datetime, done: list[Applied]) -> int:
        items = [item for item in await tx.outbox.under_way(command.partitions) if command.alive.get(item.message_id) != item.attempts]
        for item in items:
            attempts = await tx.outbox.attempts(item.message_id)
            attempt = attempts[-1] if attempts else Attempt(message_id=item.message_id, number=max(item.attempts, 1), started_at=now)
            await self._upkeep(tx, sending.crashed(item.message_id, attempt, now, command), now, done)
        return len(items)

    async def _mail(self, tx: Transaction, command: MailUnseen, now: datetime, done: list[Applied]) -> int:
        absence = await load.for_absence(tx, command, now)
        if absence is None:
            return 0
        effects, again = continued.decide(command, absence, self._rules, now)
        applier = Applier(tx, now)
        await applier.apply(effects)
        await applier.flush()
        done.append(applier.done)
        return again

    async def _transcript(self, tx: Transaction, command: MailTranscript, now: datetime, done: list[Applied]) -> Message:
        applier = Applier(tx, now)
        await applier.apply(transcript.decide(command, await load.for_absence(tx, command, now), self._rules, now))
        await applier.flush()
        done.append(applier.done)
        return next(line for line in applier.done.messages.values() if line.kind is MessageKind.OUTBOUND)

    async def _opt_out(self, tx: Transaction, command: OptOut, now: datetime, done: list[Applied]) -> None:
        conversation, addresses = await load.for_opt_out(tx, command)
        applier = Applier(tx, now)
        await applier.apply(opt_out(addresses, conversation, now, command.id))
        await applier.flush()
        done.append(applier.done)

    async def _wake(self, tx: Transaction, command: Wake, now: datetime, done: list[Applied]) -> int:
        due = await tx.conversations.due(now, command.limit)
        for conversation in due:
            applier = Applier(tx, now)
            await applier.apply(upkeep.decide(command, await load.for_waking(tx, conversation), self._rules, now))
            await applier.flush()
            done.append(applier.done)
        return len(due)


async def _cursors(tx: Transaction, partitions: Sequence[int]) -> dict[int, int]:
    return {partition: await tx.stream.cursor(CONSUMER, partition) for partition in partitions}


def _arrival(channel: str, data: bytes, at: datetime) -> Arrival:
    return Arrival(event=decode_event(data), channel=channel, at=at)


def _revived(applier: Applier, at: datetime) -> list[Arrival]:
    """What had waited for what was just applied."""
    events, applier.done.revived = applier.done.revived, []
    return [_arrival(channel, data, at) for channel, data in events]
