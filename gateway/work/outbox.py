"""Sends replies: claim (committed) -> render -> call -> record. Knows no channel; ``connectors.errors.HANDLING`` decides.

A crash between the claim's commit and the record's leaves an attempt with an unknown outcome, never a lost reply.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent
from connectors.errors import HANDLING, FailureKind, Inexpressible
from gateway.held import HeldNotice
from gateway.services import Channel, Services
from gateway.work.actor import GATEWAY, command_id
from gateway.work.pace import Pace, Turns
from routing.command import CrashedAttempts, FinishAttempt
from storage.errors import Superseded, Unavailable
from storage.held import SENDING_HELD
from storage.protocol import Transaction
from storage.record import Attempt, OutboxItem

#: The senders' name among the duties.
CONSUMER: Final = "sender"
#: Items under way at once for one channel, so that a slow provider delays only itself.
PER_CHANNEL: Final = 8
CALL_SECONDS: Final = 30.0
#: A call that carries files gets this much more.
UPLOAD_SECONDS: Final = 180.0
#: A channel whose credentials, account or settings are refused is tried again after so long.
PAUSE_SECONDS: Final = 60.0
#: A call waits at most so long for its turn; beyond that the item goes back to wait in the database.
LONGEST_TURN: Final = 5.0
#: Wake-ups are hints; without one we look this often.
POLL_SECONDS: Final = 1.0
SHORTEST_POLL: Final = 0.05
#: When stopping, calls under way get so long to end.
DRAIN_SECONDS: Final = 5.0
RECORD_AGAIN_SECONDS: Final = 0.5


class OutboxWorker:
    """One per gateway."""

    def __init__(self, services: Services, *, pause_seconds: float = PAUSE_SECONDS, call_seconds: float = CALL_SECONDS) -> None:
        self._services = services
        self._pause_seconds = pause_seconds
        self._call_seconds = call_seconds
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
        free = {id_: pace.free(now) for id_, pace in self._paces.items() if self._sends(id_)}
        open_ = {id_: number for id_, number in free.items() if number}
        epochs = dict(self._settled)
        if not open_ or not epochs:
            return
        clock = self._services.clock()
        known = frozenset(self._paces)

        async def claim(tx: Transaction) -> list[OutboxItem]:
            if self._services.store.shared:
                await tx.stream.guard(CONSUMER, epochs)
            claimed: list[OutboxItem] = []
            if await tx.settings.get(SENDING_HELD):
                return claimed
            for id_, number in open_.items():
                claimed += await tx.outbox.claim(clock, number, known - {id_}, epochs)
            return claimed

        try:
            items = await self._services.store.transact(claim)
        except Superseded as error:
            self._log.info("left to another node", why=str(error))
            return
        if items:
            self._services.crash.reach("outbox.claimed")
        for item in items:
            pace = self._paces.setdefault(item.channel, Pace(Turns(self._services.bus, item.channel, rate=0, bucket_rate=0), concurrency=1))
            pace.under_way += 1
            self._alive[item.message_id] = item.attempts
            attempt = Attempt(message_id=item.message_id, number=item.attempts, started_at=clock)
            task = asyncio.create_task(self._send_item(item, attempt, pace, epochs[item.partition]), name=f"send {item.message_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _sends(self, id_: str) -> bool:
        channel = self._services.channels.get(id_)
        return channel is not None and channel.enabled

    async def _rest(self) -> None:
        """Wait for a wake-up, or for the next item's time."""
        now = self._now()
        closed = frozenset(id_ for id_, pace in self._paces.items() if not self._sends(id_) or not pace.free(now))

        async def look(tx: Transaction) -> tuple[datetime | None, str]:
            return await tx.outbox.next_due(closed, self._settled), await tx.settings.get(SENDING_HELD)

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
                outcomes, calls = await self._perform(item, pace, lambda: duties.epoch(duty) == epoch)
                self._services.crash.reach("outbox.called")
                self._judge(item.channel, outcomes[-1], pace)
                await self._record_somehow(item, attempt, outcomes, calls)
                self._services.crash.reach("outbox.recorded")
        except Exception:  # noqa: BLE001 - one reply's trouble must not stop the others; it stays visible as under way
            self._log.exception("a reply could not be handled", message=item.message_id, channel=item.channel)
        finally:
            pace.under_way -= 1
            self._alive.pop(item.message_id, None)
            self._services.outbox_wake.set()

    async def _perform(self, item: OutboxItem, pace: Pace, ours: Callable[[], bool]) -> tuple[list[Outcome], int]:
        """One outcome per call made, and how many calls the whole message takes. No call is made once it is not ``ours`` to send."""
        at_least = item.part_from + 1
        channel = self._services.channels.get(item.channel)
        if channel is None:
            return [Failure(kind=FailureKind.CONFIG, detail=f"no channel {item.channel!r} is configured")], at_least
        outbound = Outbound(id=item.message_id, to=item.thread, parts=item.parts, reply_to=item.reply_to)
        try:
            calls = list(channel.connector.render(outbound, channel.settings))
        except Inexpressible as error:
            return [Failure(kind=FailureKind.INVALID, detail=str(error))], at_least
        except Exception as error:  # noqa: BLE001 - a bug in a connector ends this reply visibly, not the worker
            self._log.exception("a connector's render failed", channel=channel.id, message=item.message_id)
            return [Failure(kind=FailureKind.INVALID, detail=f"the connector failed: {type(error).__name__}")], at_least
        outcomes: list[Outcome] = []
        for call in calls[item.part_from :]:
            outcomes.append(await self._call(channel, call, pace, ours))
            if not isinstance(outcomes[-1], Sent):
                break
        return outcomes or [Failure(kind=FailureKind.INVALID, detail="there is nothing to send")], max(at_least, len(calls))

    async def _call(self, channel: Channel, call: Call, pace: Pace, ours: Callable[[], bool]) -> Outcome:
        turn = pace.turns.ask(call.bucket)
        while (delay := await turn.take()) > 0:
            if delay > LONGEST_TURN:
                return Failure(kind=FailureKind.THROTTLED, detail="waiting for the provider's limit", retry_after=delay)
            await asyncio.sleep(delay)
        # Whoever was frozen for longer than its lease must not send what another node sends by now.
        if not ours():
            return Failure(kind=FailureKind.TRANSIENT, detail="another node took over before the call")
        try:
            async with asyncio.timeout(self._call_seconds + (UPLOAD_SECONDS if call.uploads else 0)):
                reply = await channel.client.send(call)
        except TimeoutError:
            reply = Reply(status=0, written=True)
        except Exception:  # noqa: BLE001 - clients promise not to raise; one that does may have sent
            self._log.exception("a connector's client failed", channel=channel.id)
            reply = Reply(status=0, written=True)
        try:
            outcome = channel.connector.read_reply(call, reply, channel.settings)
        except Exception as error:  # noqa: BLE001 - the call was made: whatever the answer was, it may have been sent
            self._log.exception("a connector could not read the answer", channel=channel.id, status=reply.status)
            return Failure(kind=FailureKind.UNKNOWN, detail=f"the answer could not be read: {type(error).__name__}")
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.THROTTLED and outcome.retry_after:
            await pace.turns.block(call.bucket, outcome.retry_after)
        return outcome

    def _judge(self, channel: str, outcome: Outcome, pace: Pace) -> None:
        """What this outcome says about the whole channel."""
        metrics = self._services.metrics
        metrics.attempts.labels(channel, outcome.kind.value if isinstance(outcome, Failure) else "sent").inc()
        if isinstance(outcome, Failure) and HANDLING[outcome.kind].pause_channel:
            if not pace.ailing:
                why = {"why": outcome.kind.value, "code": outcome.code, "detail": outcome.detail}
                self._log.error("channel paused: an operator has to look", channel=channel, probe_after=self._pause_seconds, **why)
            pace.pause(self._now() + self._pause_seconds)
            metrics.channel_paused.labels(channel).set(1)
        elif isinstance(outcome, Sent) and pace.ailing:
            pace.recover()
            metrics.channel_paused.labels(channel).set(0)
            self._log.info("channel works again", channel=channel)

    async def _record_somehow(self, item: OutboxItem, attempt: Attempt, outcomes: list[Outcome], calls: int) -> None:
        """An outcome that cannot be recorded as it is counts as unknown: the reply must end, and those behind it must go on."""
        try:
            await self._record(item, attempt, outcomes, calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not leave the reply under way for ever
            self._log.exception("an outcome could not be recorded as it is", message=item.message_id, channel=item.channel)
            unknown = Failure(kind=FailureKind.UNKNOWN, detail=f"its outcome could not be recorded: {type(error).__name__}")
            await self._record(item, attempt, [unknown], calls)

    async def _record(self, item: OutboxItem, attempt: Attempt, outcomes: list[Outcome], calls: int) -> None:
        """Record until it is durable: what was sent must not be sent again because the database was away."""
        now = self._services.clock()
        last = outcomes[-1]
        failure = last if isinstance(last, Failure) else None
        done = Attempt(
            message_id=attempt.message_id,
            number=attempt.number,
            started_at=attempt.started_at,
            finished_at=now,
            outcome=failure.kind.value if failure else "sent",
            code=failure.code if failure else "",
            detail=failure.detail if failure else "",
        )
        command = FinishAttempt(
            id=command_id(now), actor=GATEWAY, message_id=item.message_id, attempt=done, outcomes=tuple(outcomes), calls=calls
        )
        while True:
            try:
                await self._services.router.handle(command)
            except Unavailable as error:
                self._log.warning("an outcome cannot be recorded; trying again", message=item.message_id, error=str(error))
                await asyncio.sleep(RECORD_AGAIN_SECONDS)
            else:
                return

    def _pace_of(self, channel: Channel) -> Pace:
        limits = channel.connector.capabilities.limits
        turns = Turns(self._services.bus, channel.id, rate=limits.rate, bucket_rate=limits.bucket_rate)
        return Pace(turns, concurrency=PER_CHANNEL)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
