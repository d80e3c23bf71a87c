"""Sends replies: claim (committed) -> call (``gateway.work.calling``) -> record. Knows no channel; ``connectors.errors.HANDLING`` decides.

A crash between the claim's commit and the record's leaves an attempt with an unknown outcome, never a lost reply.
"""

import asyncio
import time
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Final

import structlog

from connectors.abilities import Component, Prober
from connectors.contract import Client, Failure
from connectors.errors import FailureKind
from gateway.held import HeldNotice
from gateway.services import Channel, Services
from gateway.work.actor import GATEWAY, command_id
from gateway.work.calling import ACCOUNT_PAUSE_SECONDS, CALL_SECONDS, PAUSE_SECONDS, Caller, Done, Errand, Kept
from gateway.work.pace import Pace, Turns, at_once
from gateway.work.probe import probe, webhook_of
from routing.command import CrashedAttempts, FinishAttempt, KeepProgress
from storage.errors import Superseded, Unavailable
from storage.held import SENDING_HELD
from storage.protocol import Slots, Transaction
from storage.record import Attempt, OutboxItem, Priority

#: The senders' name among the duties.
CONSUMER: Final = "sender"
#: What a probe finds about these says whether anything can be sent.
_SENDING: Final = frozenset({Component.AUTH, Component.OUTBOUND})
#: Wake-ups are hints; without one we look this often.
POLL_SECONDS: Final = 1.0
SHORTEST_POLL: Final = 0.05
#: When stopping, calls under way get so long to end.
DRAIN_SECONDS: Final = 5.0
RECORD_AGAIN_SECONDS: Final = 0.5


class OutboxWorker:
    """One per gateway."""

    def __init__(
        self,
        services: Services,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        account_pause_seconds: float = ACCOUNT_PAUSE_SECONDS,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._services = services
        self._caller = Caller(services, call_seconds=call_seconds, pause_seconds=pause_seconds, account_pause_seconds=account_pause_seconds)
        self._paces = {channel.id: self._pace_of(channel) for channel in services.channels.values()}
        self._tasks: set[asyncio.Task[None]] = set()
        #: Attempts under way here, by message.
        self._alive: dict[str, int] = {}
        #: Partitions (with epochs) whose attempts by former owners are settled.
        self._settled: dict[int, int] = {}
        self._held = HeldNotice(services.metrics)
        self._log = structlog.get_logger("outbox")

    async def run(self) -> None:
        """Send until cancelled; then what is under way may end. Raises StorageError, but a database that is away is waited for."""
        try:
            while True:
                self._services.outbox_wake.clear()
                try:
                    await self._settle_crashed()
                    await self._begin_due()
                    await self._rest()
                except Unavailable as error:
                    # To end here would cut off those who wait to record what they have sent, and it would be sent again.
                    self._log.warning("the database is away; nothing new is sent", error=str(error))
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._drain()

    async def _settle_crashed(self) -> None:
        """What is marked as under way in a partition that has just become ours was cut off: its sender is gone."""
        held = self._services.duties.held(CONSUMER)
        fresh = frozenset(partition for partition, epoch in held.items() if self._settled.get(partition) != epoch)
        if fresh:
            id_ = command_id(self._services.clock())
            command = CrashedAttempts(id=id_, actor=GATEWAY, partitions=fresh, alive=dict(self._alive))
            crashed = await self._services.router.handle(command)
            if crashed:
                self._log.warning("attempts were cut off by a crash; their outcome is unknown", number=crashed)
        self._settled = held

    async def _begin_due(self) -> None:
        now = self._now()
        self._ask_after(now)
        free = {id_: pace.free(now) for id_, pace in self._paces.items() if self._sends(id_)}
        open_ = {id_: Slots(number, self._paces[id_].free_for_bulk(now)) for id_, number in free.items() if number}
        epochs = dict(self._settled)
        if not open_ or not epochs:
            return
        clock = self._services.clock()
        known = frozenset(self._paces)

        async def claim(tx: Transaction) -> list[OutboxItem]:
            if self._services.store.shared:
                await tx.stream.guard(CONSUMER, epochs)
            held = await tx.settings.get(SENDING_HELD)
            return [] if held else await tx.outbox.claim(clock, open_, known, epochs)

        try:
            items = await self._services.store.transact(claim)
        except Superseded as error:
            self._log.info("left to another node", why=str(error))
            return
        if items:
            self._services.crash.reach("outbox.claimed")
        for item in items:
            pace = self._paces.setdefault(item.channel, Pace(Turns(self._services.bus, item.channel, rate=0, bucket_rate=0), concurrency=1))
            pace.begun(bulk=item.priority is Priority.BULK)
            self._alive[item.message_id] = item.attempts
            attempt = Attempt(message_id=item.message_id, number=item.attempts, started_at=clock)
            self._begin(self._send_item(item, attempt, pace, epochs[item.partition]), f"send {item.message_id}")

    def _sends(self, id_: str) -> bool:
        channel = self._services.channels.get(id_)
        return channel is not None and channel.enabled

    async def _rest(self) -> None:
        """Wait for a wake-up, or for the next item's time."""
        now = self._now()
        closed = frozenset(id_ for id_, pace in self._paces.items() if not self._sends(id_) or not pace.free(now))
        no_bulk = closed | {id_ for id_, pace in self._paces.items() if not pace.free_for_bulk(now)}

        async def look(tx: Transaction) -> tuple[datetime | None, str]:
            due = [await tx.outbox.next_due(no_bulk, self._settled)]
            if no_bulk != closed:
                due.append(await tx.outbox.next_due(closed, self._settled, Priority.AGENT))
            return min((one for one in due if one is not None), default=None), await tx.settings.get(SENDING_HELD)

        due, held = await self._services.store.view(look)
        self._held.note(held)
        seconds = POLL_SECONDS if due is None or held else (due - self._services.clock()).total_seconds()
        try:
            async with asyncio.timeout(min(max(seconds, SHORTEST_POLL), POLL_SECONDS)):
                await self._services.outbox_wake.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
                self._log.warning("calls were cut off by the stop; their outcome is unknown", number=len(late))

    # --- one item ----------------------------------------------------------------------------------------------------

    async def _send_item(self, item: OutboxItem, attempt: Attempt, pace: Pace, epoch: int) -> None:
        duties, duty = self._services.duties, (CONSUMER, item.partition)
        try:
            with duties.at_work(duty):
                errand = Errand(
                    item=item,
                    pace=pace,
                    ours=lambda: duties.epoch(duty) == epoch,
                    progress=lambda kept: self._keep_progress(attempt, item.channel, kept),
                )
                done = await self._caller.perform(errand)
                self._services.crash.reach("outbox.called")
                await self._record_somehow(item, attempt, done)
                self._services.crash.reach("outbox.recorded")
        except Exception:  # noqa: BLE001 - one reply's trouble must not stop the others; it stays visible as under way
            self._log.exception("a reply could not be handled", message=item.message_id, channel=item.channel)
        finally:
            pace.ended(bulk=item.priority is Priority.BULK)
            self._alive.pop(item.message_id, None)
            self._services.outbox_wake.set()

    async def _keep_progress(self, attempt: Attempt, channel: str, kept: Kept) -> None:
        """What was sent of a message with more parts."""
        command = KeepProgress(
            id=command_id(self._services.clock()),
            actor=GATEWAY,
            message_id=attempt.message_id,
            channel=channel,
            number=attempt.number,
            outcomes=kept.sent,
            calls=kept.calls,
            first=kept.first,
            certain=kept.certain,
        )
        await self._durably(command)

    async def _record_somehow(self, item: OutboxItem, attempt: Attempt, done: Done) -> None:
        """An outcome that cannot be recorded as it is counts as unknown: the reply must end, and those behind it must go on."""
        try:
            await self._record(item, attempt, done)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not leave the reply under way for ever
            self._log.exception("an outcome could not be recorded as it is", message=item.message_id, channel=item.channel)
            unknown = Failure(kind=FailureKind.UNKNOWN, detail=f"its outcome could not be recorded: {type(error).__name__}")
            await self._record(item, attempt, Done(outcomes=(unknown,), calls=done.calls, first=done.first))

    async def _record(self, item: OutboxItem, attempt: Attempt, done: Done) -> None:
        """Record until it is durable: what was sent must not be sent again because the database was away."""
        now = self._services.clock()
        last = done.outcomes[-1] if done.outcomes else None
        failure = last if isinstance(last, Failure) else None
        self._services.metrics.attempts.labels(item.channel, failure.kind.value if failure else "sent").inc()
        finished = Attempt(
            message_id=attempt.message_id,
            number=attempt.number,
            started_at=attempt.started_at,
            finished_at=now,
            outcome=failure.kind.value if failure else "sent",
            code=failure.code if failure else "",
            detail=failure.detail if failure else "",
        )
        command = FinishAttempt(
            id=command_id(now),
            actor=GATEWAY,
            message_id=item.message_id,
            channel=item.channel,
            attempt=finished,
            outcomes=done.outcomes,
            calls=done.calls,
            first=done.first,
            certain=done.certain,
        )
        await self._durably(command)

    async def _durably(self, command: FinishAttempt | KeepProgress) -> None:
        while True:
            try:
                await self._services.router.handle(command)
            except Unavailable as error:
                self._log.warning("an outcome cannot be recorded; trying again", message=command.message_id, error=str(error))
                await asyncio.sleep(RECORD_AGAIN_SECONDS)
            else:
                return

    # --- channels

    def _ask_after(self, now: float) -> None:
        """Channels whose pause is over and whose provider can be asked for its view: it is, before a reply is tried."""
        for id_, pace in self._paces.items():
            channel = self._services.channels.get(id_)
            if channel is None or not self._sends(id_) or not pace.ask_due(now) or not isinstance(channel.client, Prober):
                continue
            pace.ask()
            self._begin(self._ask(channel, channel.client, pace), f"ask after {id_}")

    async def _ask(self, channel: Channel, client: Client, pace: Pace) -> None:
        began = time.perf_counter()
        findings, error = await probe(client, webhook_of(self._services, channel))
        self._services.journal.probed(channel.id, findings, time.perf_counter() - began, error)
        pace.asked()
        bad = [one for one in findings if not one.ok and one.component in _SENDING]
        if bad:
            why = self._services.journal.hidden(channel.id, bad[0].detail)
            self._caller.pause(channel.id, Failure(kind=FailureKind.AUTH, detail=why), pace)
        elif pace.probe_tells and any(one.component is Component.AUTH for one in findings):
            self._caller.recover(channel.id, pace)
        self._services.outbox_wake.set()

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pace_of(self, channel: Channel) -> Pace:
        limits = channel.capabilities.limits
        turns = Turns(self._services.bus, channel.id, rate=limits.rate, bucket_rate=limits.bucket_rate, bucket_burst=limits.bucket_burst)
        return Pace(turns, concurrency=at_once(limits.rate))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
