"""C13, C14, C15: with the gateway's own code for the order of statuses, for turns, and for going on after a failure."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, permutations
from typing import Any, Final

import msgspec

from connectors.capabilities import Limits
from connectors.content import Text
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent
from connectors.errors import BadPayload, FailureKind
from connectors.event import Status, StatusReported, WatermarkReported
from gateway.kit.bench import Bench
from gateway.kit.check_saying import call_data
from gateway.kit.elsewhere import facts_elsewhere
from gateway.kit.findings import Findings
from gateway.work.pace import Turns
from routing.delivery import advance, progress
from routing.rules import Rules
from storage.local_bus import LocalBus
from storage.record import OutboxItem

_MOST_ORDERS: Final = 720


# --- C13 ----------------------------------------------------------------------------------------------------------------


def statuses(bench: Bench, to: Findings) -> None:
    """C13. The connector reads each report by itself; that their order does not matter is then shown with the gateway's rule."""
    reported = bench.able.delivered or bench.able.read
    if not bench.reports:
        if "statuses" in bench.sample.exempt:
            to.exempt(bench.sample.exempt["statuses"])
        elif not reported:
            to.exempt("the channel reports neither delivered nor read")
        else:
            to.expect(
                right=False, what="no case of statuses", remedy="Write one: the reports of one message, and where it ends.", place="cases"
            )
        return
    seen: set[Status] = set()
    for case, requests in bench.reports:
        steps = _steps(bench, to, case.name, requests)
        seen |= set(steps)
        for order in islice(permutations([*steps, *steps[:1]]), _MOST_ORDERS):
            # Sent already; or still on its way, with reports that came before the answer to our call.
            for before in (Status.SENT, Status.SENDING):
                status = before
                for step in order:
                    status = advance(status, step)
                ends = advance(status, Status.SENT)
                what = f"{case.name}: in the order {', '.join(order)} it ends as {ends.value}, not {case.ends.value}"
                to.expect(ends is case.ends, what, "Map the provider's words to the right Status.", bench.connector.parse)
    for flag, status in ((bench.able.delivered, Status.DELIVERED), (bench.able.read, Status.READ)):
        to.expect(not flag or status in seen, f"no case reports {status.value}", "Write one, or do not declare it.", "cases")
        to.expect(flag or status not in seen, f"{status.value} is reported and not declared", f"Set CAPABILITIES.{status.value}.", "cases")


def _steps(bench: Bench, to: Findings, name: str, requests: list[Any]) -> list[Status]:
    steps: list[Status] = []
    messages: set[str] = set()
    for request in requests:
        events = bench.try_parse(request)
        found = [] if isinstance(events, BadPayload) else [one for one in events if isinstance(one, StatusReported | WatermarkReported)]
        to.expect(found, f"{name}: a request without a status", "Give StatusReported or WatermarkReported.", bench.connector.parse)
        for event in found:
            steps.append(event.status)
            if isinstance(event, StatusReported):
                messages.add(event.message_id)
                explained = event.status is not Status.FAILED or event.code or event.detail
                to.expect(explained, f"{name}: failed, and no code", "Give the provider's code and words.", bench.connector.parse)
    to.expect(len(messages) <= 1, f"{name}: statuses of {len(messages)} messages", "A case is about one message.", "cases")
    return steps


# --- C14 ----------------------------------------------------------------------------------------------------------------


class FakeProvider:
    """Refuses what comes faster than the declared limits: counts by whom a message is for, whatever the call's bucket says."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all: deque[float] = deque()
        #: Of each chat: how many calls it may still make, and as of when.
        self._left: dict[str, tuple[float, float]] = {}

    def takes(self, to: str, now: float) -> bool:
        """False: 429."""
        limits = self._limits
        while self._all and self._all[0] <= now - 1 + 1e-3:
            self._all.popleft()
        most = max(1.0, limits.bucket_burst)
        left, since = self._left.get(to, (most, now))
        left = min(most, left + (now - since) * limits.bucket_rate) if limits.bucket_rate else most
        if left < 1 - 1e-3 or (limits.rate and len(self._all) >= max(1.0, limits.rate)):
            return False
        self._all.append(now)
        self._left[to] = (left - 1, now)
        return True


class VirtualClock:
    """Seconds that pass when we say so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def paced(bench: Bench, to: Findings) -> None:
    """C14."""
    if bench.hello is None:
        to.exempt("the channel sends no text")
        return
    limits = bench.able.limits
    if limits.rate or limits.bucket_rate:
        await _steady(bench, to)
    else:
        to.exempt("steady state: CAPABILITIES declares no limit of calls per second")
    await _after_refusal(bench, to)


async def _steady(bench: Bench, to: Findings) -> None:
    limits, clock = bench.able.limits, VirtualClock()
    turns = Turns(LocalBus(clock=clock), "kit", rate=limits.rate, bucket_rate=limits.bucket_rate, bucket_burst=limits.bucket_burst)
    provider = FakeProvider(limits)
    waiting = {to_: deque(call for number in range(20) for call in bench.render(_numbered(bench, to_, number))) for to_ in _threads(bench)}
    asked = {to_: turns.ask(calls[0].bucket) for to_, calls in waiting.items()}
    while asked:
        delays = []
        for thread, turn in list(asked.items()):
            if (delay := await turn.take()) > 0:
                delays.append(delay)
                continue
            taken = provider.takes(thread, clock.now)
            what = f"the provider refuses a call to {thread!r} in bucket {waiting[thread][0].bucket!r}"
            to.expect(taken, what, "Call.bucket must be what the provider counts by, one for each chat.", bench.connector.render)
            waiting[thread].popleft()
            if waiting[thread]:
                asked[thread] = turns.ask(waiting[thread][0].bucket)
            else:
                del asked[thread]
        clock.now += min(delays, default=0.0)


def _numbered(bench: Bench, to: str, number: int) -> Outbound:
    return bench.message(Text(text=f"Kit {number}"), to=to)


def _threads(bench: Bench) -> tuple[str, ...]:
    return tuple(dict.fromkeys((bench.sample.to, bench.sample.to_another)))


async def _after_refusal(bench: Bench, to: Findings) -> None:
    refusals = list(_refusals(bench))
    if not refusals:
        to.exempt("the provider never says for how long to slow down")
        return
    limits = bench.able.limits
    for call, failure in refusals:
        clock = VirtualClock()
        turns = Turns(LocalBus(clock=clock), "kit", rate=limits.rate, bucket_rate=limits.bucket_rate, bucket_burst=limits.bucket_burst)
        await turns.block(call.bucket, failure.retry_after)
        again = bench.render(_numbered(bench, bench.sample.to, 1))[0]
        wait = await turns.ask(again.bucket).take()
        right = wait >= failure.retry_after - 1e-3
        what = f"after a refusal for {failure.retry_after:g} s the next call waits {wait:g} s"
        to.expect(right, what, "The same chat must have the same Call.bucket every time.", bench.connector.render)


def _refusals(bench: Bench) -> Iterator[tuple[Call, Failure]]:
    assert bench.hello is not None
    replies = [(case.its_call() or bench.hello, reply) for case, reply in bench.answers]
    if bench.over_http:
        replies.append((bench.hello, Reply(status=429, headers={"retry-after": "7"})))
    for _, reply in replies:
        outcome = bench.outcome(bench.hello, reply)
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.THROTTLED and outcome.retry_after > 0:
            yield bench.hello, outcome


# --- C15 ----------------------------------------------------------------------------------------------------------------


def resumed(bench: Bench, to: Findings) -> None:
    """C15. Another process renders the message after the failure, as after a restart."""
    if "text" not in bench.able.sends:
        to.exempt("the channel sends no text")
        return
    limit = bench.able.limits.text or 1000
    messages = [bench.message(*(Text(text=f"Kit {number}") for number in range(3))), bench.message(Text(text="kit " * (limit // 2)))]
    messages += [message for case, message in bench.sendings if case.calls]
    messages = [message for message in messages if isinstance(bench.try_render(message), list)]
    rendered = [bench.render(message) for message in messages]
    later = _after_restart(bench, to, messages)
    if later is None:
        return
    several = 0
    for message, calls, again in zip(messages, rendered, later, strict=True):
        several += len(calls) > 1
        to.expect(
            [call.part for call in calls] == list(range(len(calls))),
            "parts are not numbered",
            "part is the call's index.",
            bench.connector.render,
        )
        for fails in range(len(calls)):
            sent = [*calls[:fails], *again[_part_from(message, fails, len(calls)) :]]
            what = f"after a failure at part {fails} of {len(calls)} other calls are sent than the rest"
            to.expect(
                [call_data(one) for one in sent] == [call_data(one) for one in calls],
                what,
                "The same message must give the same calls, in every process.",
                bench.connector.render,
            )
    if not several:
        to.exempt("every message is one call: there is no part to go on from")


def _after_restart(bench: Bench, to: Findings, messages: list[Outbound]) -> list[list[Any]] | None:
    import_name = bench.name
    if not import_name:
        to.exempt("a restart: the connector was given as an object and not by name")
        return [bench.render(message) for message in messages]
    try:
        said = facts_elsewhere(bench, import_name, messages)[1]
    except OSError as error:
        to.expect(right=False, what=f"it does not run in another process: {error}", remedy="It must be importable, and the sample too.")
        return None
    return [_as_calls(found) for found in said[len(bench.sendings) :]]


def _as_calls(found: Any) -> list[Call]:
    return [] if isinstance(found, str) else [_call(one) for one in found]


def _call(found: dict[str, Any]) -> Call:
    return msgspec.convert(found, Call)


def _part_from(message: Outbound, fails: int, calls: int) -> int:
    """Where the gateway goes on after so many parts were taken."""
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    item = OutboxItem(
        message_id=message.id,
        conversation_id="cnv_1",
        channel="kit",
        thread=message.to,
        reply_to=message.reply_to,
        parts=message.parts,
        status=Status.SENDING,
        attempts=1,
        unknowns=0,
        part_from=0,
        accepted_at=now,
        next_at=now,
        expires_at=now + timedelta(hours=1),
    )
    outcomes: tuple[Outcome, ...] = (*(Sent(f"id{part}") for part in range(fails)), Failure(kind=FailureKind.TRANSIENT))
    return progress(item, outcomes, calls, Rules(), now).item.part_from
