"""One reply's calls: render, wait for a turn, call, read the answer. Knows no channel; what an outcome means is ``routing``'s to say."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from msgspec.structs import replace

from connectors.capabilities import Window, open_window
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent
from connectors.errors import HANDLING, FailureKind, Inexpressible
from gateway.services import Channel, Services
from gateway.web.signing import unsubscribe_link
from gateway.work.doubt import GRACE, Verdict, doubted, is_finder, resolve
from gateway.work.pace import LONGEST_TURN, Pace
from routing.window import kinds_of
from storage.access import Scope
from storage.record import OutboxItem, Priority

CALL_SECONDS: Final = 30.0
#: A call that carries files gets this much more.
UPLOAD_SECONDS: Final = 180.0
#: A channel whose credentials or settings are refused is tried again after so long.
PAUSE_SECONDS: Final = 60.0
#: One whose account is restricted or unpaid: nobody can ask whether that is over, only a reply shows it.
ACCOUNT_PAUSE_SECONDS: Final = 600.0
#: What says that the provider is not well, or cannot be reached.
_NOT_THERE: Final = frozenset({FailureKind.TRANSIENT, FailureKind.UNKNOWN})
EVERYTHING: Final = Scope(everything=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of one attempt."""

    #: Of the calls that were not kept on the way, in the order of parts; the last may be a Failure.
    outcomes: tuple[Outcome, ...]
    #: How many calls the whole message takes.
    calls: int
    #: Index of the part that the first outcome is about.
    first: int
    #: There was a doubt whether an earlier attempt had gone out, and it is gone.
    certain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Parts that were sent by an attempt which goes on."""

    #: Index of the first of ``sent``.
    first: int
    sent: tuple[Sent, ...]
    #: As in :class:`Done`.
    calls: int
    certain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One reply to be sent by this attempt."""

    item: OutboxItem
    pace: Pace
    #: Is it still ours to send?
    ours: Callable[[], bool]
    #: Keeps what was sent so far, durably, while more parts follow.
    progress: Callable[["Kept"], Awaitable[None]]


class Caller:
    """One per outbox worker."""

    def __init__(self, services: Services, *, call_seconds: float, pause_seconds: float, account_pause_seconds: float) -> None:
        self._services = services
        self._call_seconds = call_seconds
        self._pause_seconds = pause_seconds
        self._account_pause_seconds = account_pause_seconds
        self._log = structlog.get_logger("outbox")

    async def perform(self, errand: Errand) -> Done:
        """Make the calls that are left. No call is made once it is not ``ours`` to send."""
        item = errand.item
        channel = self._services.channels.get(item.channel)
        if channel is None:
            return _end(item, Failure(kind=FailureKind.CONFIG, detail=f"no channel {item.channel!r} is configured"))
        window = await self._window(channel, item)
        if isinstance(window, Failure):
            return _end(item, window)
        try:
            calls = list(channel.connector.render(outbound_of(self._services, item, window), channel.settings))
        except Inexpressible as error:
            return _end(item, Failure(kind=FailureKind.INVALID, detail=str(error)))
        except Exception as error:  # noqa: BLE001 - a bug in a connector ends this reply visibly, not the worker
            self._log.exception("a connector's render failed", channel=channel.id, message=item.message_id)
            return _end(item, Failure(kind=FailureKind.INVALID, detail=f"the connector failed: {type(error).__name__}"))
        if calls and item.part_from >= len(calls):
            # The provider has told meanwhile that all of it went out.
            return Done(outcomes=(), calls=len(calls), first=item.part_from)
        if not calls:
            return _end(item, Failure(kind=FailureKind.INVALID, detail="there is nothing to send"))
        return await self._calls(errand, channel, calls)

    async def _window(self, channel: Channel, item: OutboxItem) -> Window | Failure | None:
        if not channel.capabilities.windows:
            return None
        found = await self._services.store.view(lambda tx: tx.conversations.get(item.conversation_id, EVERYTHING))
        # They may have written since it was accepted.
        times = [at for at in (item.window_from, found.last_private_at if found else None) if at is not None]
        return window_of(channel, replace(item, window_from=max(times, default=None)), self._services.clock())

    async def _calls(self, errand: Errand, channel: Channel, calls: Sequence[Call]) -> Done:
        part = errand.item.part_from
        outcome, certain = await self._without_doubt(errand, channel, calls[part])
        while True:
            if outcome is None:
                outcome = await self._call(errand, channel, calls[part])
                self._services.crash.reach("outbox.part_called")
            part += 1
            if not isinstance(outcome, Sent) or part == len(calls):
                return Done(outcomes=(outcome,), calls=len(calls), first=part - 1, certain=certain)
            # From here on a crash costs nobody a second copy of what was sent.
            await errand.progress(Kept(first=part - 1, sent=(outcome,), calls=len(calls), certain=certain))
            self._services.crash.reach("outbox.part_kept")
            outcome, certain = None, False

    async def _without_doubt(self, errand: Errand, channel: Channel, call: Call) -> tuple[Outcome | None, bool]:
        """What came of the attempt before this one, if it was the very same call and nobody knows: its id, and is there no doubt left?"""
        doubt = await doubted(self._services, errand.item)
        if doubt is None:
            return None, False
        found = await resolve(self._services, channel, call, doubt, errand.ours)
        self._services.metrics.resolved.labels(channel.id, found.verdict).inc()
        if found.verdict is Verdict.ADOPTED:
            self._log.info("a call without an answer had gone out", channel=channel.id, message=errand.item.message_id)
            return Sent(found.provider_id), found.certain
        return None, found.certain

    async def _call(self, errand: Errand, channel: Channel, call: Call) -> Outcome:
        pace = errand.pace
        turn = pace.turns.ask(call.bucket, bulk=errand.item.priority is Priority.BULK)
        while (delay := await turn.take()) > 0:
            if delay > LONGEST_TURN:
                return Failure(kind=FailureKind.THROTTLED, detail="waiting for the provider's limit", retry_after=delay)
            await asyncio.sleep(delay)
        # Whoever was frozen for longer than its lease must not send what another node sends by now.
        if not errand.ours():
            return Failure(kind=FailureKind.TRANSIENT, detail="another node took over before the call")
        outcome = await self._exchange(errand, channel, call)
        self.judge(channel.id, outcome, pace)
        if isinstance(outcome, Sent) and call.messages > 1:
            await pace.turns.spend(call.bucket, call.messages)
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.THROTTLED and outcome.retry_after:
            await pace.turns.block(call.bucket, outcome.retry_after)
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.UNKNOWN and is_finder(channel):
            # The provider's list can be trusted only after a while.
            outcome = replace(outcome, retry_after=max(outcome.retry_after, GRACE.total_seconds()))
        return outcome

    async def _exchange(self, errand: Errand, channel: Channel, call: Call) -> Outcome:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._call_seconds + (UPLOAD_SECONDS if call.uploads else 0)):
                reply = await channel.client.send(call)
        except TimeoutError:
            reply = Reply(status=0, written=True)
        except Exception:  # noqa: BLE001 - clients promise not to raise; one that does may have sent
            self._log.exception("a connector's client failed", channel=channel.id)
            reply = Reply(status=0, written=True)
        seconds = time.perf_counter() - began
        outcome = self._services.journal.cleaned(channel.id, self._read(channel, call, reply))
        self._services.journal.called(channel.id, errand.item.message_id, call, reply, outcome, seconds)
        return outcome

    def _read(self, channel: Channel, call: Call, reply: Reply) -> Outcome:
        try:
            return channel.connector.read_reply(call, reply, channel.settings)
        except Exception as error:  # noqa: BLE001 - the call was made: whatever the answer was, it may have been sent
            self._log.exception("a connector could not read the answer", channel=channel.id, status=reply.status)
            return Failure(kind=FailureKind.UNKNOWN, detail=f"the answer could not be read: {type(error).__name__}")

    # --- the whole channel

    def judge(self, channel: str, outcome: Outcome, pace: Pace) -> None:
        """What the outcome of a call says about the whole channel."""
        now = asyncio.get_running_loop().time()
        kind = outcome.kind if isinstance(outcome, Failure) else None
        if kind in _NOT_THERE:
            if pace.breaker.failed(now):
                assert isinstance(outcome, Failure)
                self._stopped(channel, outcome)
        elif kind is not FailureKind.THROTTLED and pace.breaker.succeeded():
            self._services.metrics.breaker_open.labels(channel).set(0)
            self._services.journal.breaker(channel, closed=True)
            self._log.info("the provider answers again", channel=channel)
        if isinstance(outcome, Failure) and HANDLING[outcome.kind].pause_channel:
            self.pause(channel, outcome, pace)
        elif kind is None and pace.ailing:
            self.recover(channel, pace)

    def pause(self, channel: str, failure: Failure, pace: Pace) -> None:
        """Credentials, account or settings are refused: nothing more is sent until that is mended."""
        by_account = failure.kind is FailureKind.ACCOUNT
        seconds = self._account_pause_seconds if by_account else self._pause_seconds
        if not pace.ailing:
            why = {"why": failure.kind.value, "code": failure.code, "detail": failure.detail}
            self._log.error("channel paused: an operator has to look", channel=channel, tried_after=seconds, **why)
        # Credentials are as good as ever where an account is restricted: a probe would find nothing.
        pace.pause(asyncio.get_running_loop().time() + seconds, probe_tells=not by_account)
        self._services.metrics.channel_paused.labels(channel).set(1)

    def recover(self, channel: str, pace: Pace) -> None:
        """They are accepted again."""
        pace.recover()
        self._services.metrics.channel_paused.labels(channel).set(0)
        self._log.info("channel works again", channel=channel)

    def _stopped(self, channel: str, failure: Failure) -> None:
        self._services.metrics.breaker_open.labels(channel).set(1)
        self._services.journal.breaker(channel, closed=False, why="it does not answer, and is left alone for a while")
        self._log.error(
            "the provider does not answer; it is left alone for a while", channel=channel, code=failure.code, detail=failure.detail
        )


def outbound_of(services: Services, item: OutboxItem, window: Window | None) -> Outbound:
    """A reply in the connectors' words."""
    return Outbound(
        id=item.message_id,
        to=item.thread,
        parts=item.parts,
        reply_to=item.reply_to,
        at=item.accepted_at,
        author=item.author,
        automatic=item.automatic,
        public=item.public,
        window=window.name if window else "",
        callback=f"{services.config.public_url}/webhooks/{item.channel}",
        unsubscribe=unsubscribe_link(services.config, item.conversation_id) if _for_many(item) else "",
    )


def _for_many(item: OutboxItem) -> bool:
    """Is it one of a campaign? What a machine answers to one person is not, though it waits for its turn like one."""
    return item.priority is Priority.BULK and not item.automatic


def window_of(channel: Channel, item: OutboxItem, now: datetime) -> Window | Failure | None:
    """The window that is open for this reply now; None if it needs none; or why it cannot be sent any more."""
    windows = channel.capabilities.windows
    if not windows or item.public or item.reply_to.startswith("comment:"):
        return None
    age = None if item.window_from is None else max(0.0, (now - item.window_from).total_seconds())
    window = open_window(windows, age, automatic=item.automatic)
    if window is None:
        return Failure(kind=FailureKind.WINDOW, detail="it closed before this could be sent")
    if not kinds_of(item.parts, window.sends) <= window.sends:
        return Failure(kind=FailureKind.WINDOW, detail=f"only {', '.join(sorted(window.sends))} may be sent now")
    return window


def _end(item: OutboxItem, failure: Failure) -> Done:
    """No call was made."""
    return Done(outcomes=(failure,), calls=item.part_from + 1, first=item.part_from)
