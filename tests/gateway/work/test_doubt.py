"""What became of a call without an answer is asked, before anything is sent twice; and a provider that is away is left alone."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.abilities import Component, Finding
from connectors.capabilities import Capabilities, Limits, Window
from connectors.content import AnyPart, Choice, Choices, Envelope, Location, Template
from connectors.contract import Call, Connector, Failure, Outbound, Sent
from connectors.errors import FailureKind
from connectors.event import Status
from gateway.crashpoint import CrashPoints
from gateway.services import Channel
from gateway.work.breaker import Breaker
from gateway.work.calling import window_of
from gateway.work.doubt import GRACE
from gateway.work.outbox import OutboxWorker
from gateway.work.pace import Pace
from storage.interaction import InteractionKind
from storage.record import Message
from tests.support.post import Office, Provider, Settings, connector, office, render, running
from tests.support.rows import NOW, item
from tests.support.waiting import eventually

DONE = {Status.SENT, Status.FAILED, Status.EXPIRED}


class Clock:
    """Real time, with an offset that a test sets."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


class AskedProvider(Provider):
    """A provider with a list of what it has sent."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: Sequence[str] | Exception | None = []
        self.asked: list[tuple[str, datetime]] = []

    async def find_sent(self, call: Call, since: datetime) -> Sequence[str] | None:
        self.asked.append((call.json["text"], since))
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed


class ProbedProvider(Provider):
    """A provider that can be asked whether all is well."""

    def __init__(self) -> None:
        super().__init__()
        self.well = False
        self.probes = 0

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        assert webhook_url.endswith("/webhooks/post")
        self.probes += 1
        return [Finding(component=Component.AUTH, ok=self.well, detail="as it is")]


def use(open_: Office, provider: Provider, kind: Connector[Settings] | None = None) -> None:
    channels = open_.services.channels
    assert isinstance(channels, dict)
    post: Channel = channels["post"]
    channels["post"] = dataclasses.replace(post, client=provider, connector=kind or post.connector)


async def settled(open_: Office, message: Message, *statuses: Status) -> Message:
    return await eventually(lambda: open_.message(message.id), lambda found: found.status in (statuses or DONE))


@contextlib.asynccontextmanager
async def after_silence(
    folder: Path, listed: Sequence[str] | Exception | None
) -> AsyncIterator[tuple[Office, AskedProvider, Message, Clock]]:
    """A first call had no answer; the time of the next attempt has come."""
    clock, provider = Clock(), AskedProvider()
    async with office(folder, clock=clock) as open_:
        use(open_, provider)
        provider.answers.append(Failure(kind=FailureKind.UNKNOWN, detail="no answer"))
        provider.listed = listed
        message = await open_.reply("ada", "one")
        async with running(OutboxWorker(open_.services).run):
            doubtful = await settled(open_, message, Status.UNKNOWN)
            assert doubtful.possible_duplicate
            item = await open_.services.store.view(lambda tx: tx.outbox.get(message.id))
            assert item is not None
            # The provider's list is given time.
            assert item.next_at - clock() > GRACE - timedelta(seconds=5)
            clock.offset = timedelta(minutes=10)
            yield open_, provider, message, clock


async def test_what_had_gone_out_is_adopted_and_not_sent_again(tmp_path: Path) -> None:
    async with after_silence(tmp_path, ["found"]) as (open_, provider, message, _):
        done = await settled(open_, message)
        assert (done.status, done.possible_duplicate, provider.texts) == (Status.SENT, False, ["one"])
        linked = await open_.services.store.view(lambda tx: tx.messages.by_provider_id("post", "found"))
        assert linked is not None
        assert linked.id == message.id
        text, since = provider.asked[0]
        assert text == "one"
        assert timedelta() < message.received_at - since < timedelta(minutes=2)
        (log,) = await open_.logged(InteractionKind.LOOKUP)
        assert (log.ok, log.result, log.refs, log.detail) == (True, "found", (message.id, "found"), "after attempt 1")
        assert open_.services.metrics.value("sportello_resolved_attempts_total", channel="post", outcome="adopted") == 1


async def test_what_had_not_gone_out_is_sent_without_a_mark(tmp_path: Path) -> None:
    async with after_silence(tmp_path, []) as (open_, provider, message, _):
        done = await settled(open_, message)
        assert (done.status, done.possible_duplicate, provider.texts) == (Status.SENT, False, ["one", "one"])
        (log,) = await open_.logged(InteractionKind.LOOKUP)
        assert (log.ok, log.result, log.refs) == (True, "none", (message.id,))
        assert open_.services.metrics.value("sportello_resolved_attempts_total", channel="post", outcome="unsent") == 1


@pytest.mark.parametrize("listed", [None, OSError("away"), RuntimeError("a bug")], ids=["cannot say", "away", "bug"])
async def test_what_nobody_can_say_is_sent_once_more_with_a_mark(tmp_path: Path, listed: Exception | None) -> None:
    async with after_silence(tmp_path, listed) as (open_, provider, message, _):
        done = await settled(open_, message)
        assert (done.status, done.possible_duplicate, provider.texts) == (Status.SENT, True, ["one", "one"])
        (log,) = await open_.logged(InteractionKind.LOOKUP)
        why = type(listed).__name__ if listed else "the provider cannot say now"
        assert (log.ok, log.result, log.refs, log.detail) == (False, "unknown", (message.id,), why)
        assert open_.services.metrics.value("sportello_resolved_attempts_total", channel="post", outcome="doubtful") == 1


async def test_several_alike_are_not_sent_again_and_keep_the_mark(tmp_path: Path) -> None:
    async with after_silence(tmp_path, ["found", "another"]) as (open_, provider, message, _):
        done = await settled(open_, message)
        assert (done.status, done.possible_duplicate, provider.texts) == (Status.SENT, True, ["one"])


async def test_messages_that_we_know_are_not_taken_for_the_lost_one(tmp_path: Path) -> None:
    clock, provider = Clock(), AskedProvider()
    async with office(tmp_path, clock=clock) as open_:
        use(open_, provider)
        provider.answers.extend([Sent("same words before"), Failure(kind=FailureKind.UNKNOWN)])
        provider.listed = ["same words before"]
        async with running(OutboxWorker(open_.services).run):
            await settled(open_, await open_.reply("ada", "one"))
            message = await open_.reply("ada", "one")
            await settled(open_, message, Status.UNKNOWN)
            clock.offset = timedelta(minutes=10)
            assert (await settled(open_, message)).status is Status.SENT
        assert provider.texts == ["one", "one", "one"]


async def test_a_crash_after_the_call_is_resolved_at_the_next_start(tmp_path: Path) -> None:
    """The provider answered and we died before it was on record: it is adopted, and only the parts after it go."""

    class Died(BaseException):
        pass

    dead: list[asyncio.Task[None]] = []

    def die() -> None:
        task = asyncio.current_task()
        assert task is not None
        dead.append(task)
        raise Died

    clock, provider = Clock(), AskedProvider()
    async with office(tmp_path, crash=CrashPoints("outbox.part_called", 2, die), clock=clock) as open_:
        use(open_, provider)
        message = await open_.reply("ada", "one", "two", "three")
        async with running(OutboxWorker(open_.services).run):
            (task,) = await eventually(lambda: _now(dead))
            with pytest.raises(Died):
                await task
    provider.listed = ["p1", "p2"]
    async with office(tmp_path, clock=clock) as open_:
        use(open_, provider)
        async with running(OutboxWorker(open_.services).run):
            clock.offset = timedelta(minutes=10)
            done = await settled(open_, message, Status.SENT)
        assert (provider.texts, done.possible_duplicate) == (["one", "two", "three"], False)
        assert provider.asked[0][0] == "two"


async def test_a_provider_that_does_not_answer_is_left_alone_and_nothing_is_tried_meanwhile(tmp_path: Path) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        provider, metrics = open_.provider, open_.services.metrics
        provider.answers.extend([Failure(kind=FailureKind.TRANSIENT, detail="502")] * 3)
        worker = OutboxWorker(open_.services)
        pace = worker._paces["post"]
        pace.breaker = Breaker(failures=3, first=3600, spread=lambda seconds: seconds)
        pace._concurrency = 1
        first = [await open_.reply(f"s{number}", "x") for number in range(3)]
        async with running(worker.run):
            for message in first:
                await settled(open_, message, Status.RETRY)
            assert metrics.value("sportello_breaker_open", channel="post") == 1
            late = await open_.reply("late", "y")
            clock.offset = timedelta(minutes=10)
            # Another channel is none the worse for it; and whoever claimed this would have claimed the one before.
            assert (await settled(open_, await open_.reply("z", "z", channel="other"))).status is Status.SENT
            item = await open_.services.store.view(lambda tx: tx.outbox.get(late.id))
            assert item is not None
            assert (item.status, item.attempts, len(provider.calls)) == (Status.QUEUED, 0, 3)
            pace.breaker._until = 0.0
            assert (await settled(open_, late)).status is Status.SENT
            assert metrics.value("sportello_breaker_open", channel="post") == 0


@pytest.mark.parametrize("kind", [FailureKind.THROTTLED, FailureKind.INVALID, FailureKind.RECIPIENT])
async def test_a_provider_that_answers_is_well(tmp_path: Path, kind: FailureKind) -> None:
    async with office(tmp_path) as open_:
        worker = OutboxWorker(open_.services)
        for _ in range(20):
            worker._caller.judge("post", Failure(kind=kind), worker._paces["post"])
        assert worker._paces["post"].breaker.closed


async def test_a_paused_channel_asks_before_it_tries_a_reply(tmp_path: Path) -> None:
    clock, provider = Clock(), ProbedProvider()
    async with office(tmp_path, clock=clock) as open_:
        use(open_, provider)
        provider.answers.append(Failure(kind=FailureKind.AUTH, code="401"))
        message = await open_.reply("ada", "one")
        async with running(OutboxWorker(open_.services, pause_seconds=0.1).run):
            await settled(open_, message, Status.RETRY)
            clock.offset = timedelta(minutes=30)
            await eventually(lambda: _probes(provider), lambda number: number >= 3)
            # Refused each time: no reply was tried, none has lost an attempt.
            assert len(provider.calls) == 1
            provider.well = True
            assert (await settled(open_, message)).status is Status.SENT
        assert open_.services.metrics.value("sportello_channel_paused", channel="post") == 0


async def test_a_good_probe_does_not_lift_a_restricted_account(tmp_path: Path) -> None:
    """Credentials are right all the while; only a reply that goes out shows that the account may send again."""
    clock, provider = Clock(), ProbedProvider()
    provider.well = True
    async with office(tmp_path, clock=clock) as open_:
        use(open_, provider)
        provider.answers.extend([Failure(kind=FailureKind.ACCOUNT, code="131042"), Failure(kind=FailureKind.ACCOUNT, code="131042")])
        messages = [await open_.reply(name, name) for name in ("ada", "ben")]
        worker = OutboxWorker(open_.services, pause_seconds=0.05, account_pause_seconds=600.0)
        pace = worker._paces["post"]
        pace._concurrency = 1
        async with running(worker.run):
            await settled(open_, messages[0], Status.RETRY)
            clock.offset = timedelta(minutes=30)
            # Another channel is tried again and again meanwhile; this one is not.
            assert (await settled(open_, await open_.reply("z", "z", channel="other"))).status is Status.SENT
            await worker._ask(open_.services.channels["post"], provider, pace)
            assert (len(provider.calls), pace.ailing, pace._paused_until > worker._now() + 500) == (1, True, True)
            provider.probes = 0
            pace._paused_until = 0.0
            await eventually(lambda: _number(provider.calls), lambda number: number == 2)
            await eventually(lambda: _paused(pace), lambda until: until > worker._now() + 500)
            pace._paused_until = 0.0
            clock.offset = timedelta(hours=2)
            for message in messages:
                assert (await settled(open_, message)).status is Status.SENT
        assert provider.probes == 0
        assert open_.services.metrics.value("sportello_channel_paused", channel="post") == 0


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        (Choices(text="Which?", options=(Choice(id="m", label="M"),)), True),
        (Location(latitude=45.4, longitude=9.2), True),
        (Envelope(subject="About"), True),
        (Template(name="ready", language="en"), False),
    ],
)
def test_what_goes_out_as_text_goes_where_only_text_may(part: AnyPart, allowed: bool) -> None:  # noqa: FBT001
    able = Capabilities(limits=Limits(text=1000), sends=frozenset({"text"}), receives=frozenset({"text"}), windows=(WINDOWS[1],))
    kind = dataclasses.replace(connector(), capabilities=able)
    channel = Channel(id="post", title="", enabled=True, connector=kind, settings=Settings(), client=Provider())
    found = window_of(channel, item(1, parts=(part,), window_from=NOW), NOW)
    assert (found == WINDOWS[1]) is allowed
    assert isinstance(found, Failure) is not allowed


WINDOWS = (
    Window(name="day", seconds=86_400, sends=frozenset({"text", "media"})),
    Window(name="week", seconds=7 * 86_400, sends=frozenset({"text"}), human_only=True),
)


async def test_the_window_is_looked_at_when_it_is_sent(tmp_path: Path) -> None:
    clock, seen = Clock(), []

    def note(outbound: Outbound, settings: Settings) -> Sequence[Call]:
        seen.append(outbound)
        return render(outbound, settings)

    async with office(tmp_path, clock=clock) as open_:
        able = Capabilities(limits=Limits(text=1000), sends=frozenset({"text", "media"}), receives=frozenset({"text"}), windows=WINDOWS)
        use(open_, open_.provider, dataclasses.replace(open_.services.channels["post"].connector, capabilities=able, render=note))
        first = await open_.reply("ada", "one")
        async with running(OutboxWorker(open_.services).run):
            await settled(open_, first)
        clock.offset = timedelta(days=2)
        second = await open_.reply("ada", "two")
        async with running(OutboxWorker(open_.services).run):
            await settled(open_, second)
        clock.offset = timedelta(days=6, hours=23)
        third = await open_.reply("ada", "three")
        clock.offset = timedelta(days=7, minutes=5)
        async with running(OutboxWorker(open_.services).run):
            done = await settled(open_, third, Status.FAILED)
        assert [(outbound.window, outbound.author) for outbound in seen] == [("day", ""), ("week", "")]
        assert open_.provider.texts == ["one", "two"]
        assert done.problem == "The time for a reply on this channel is over. it closed before this could be sent"
        assert seen[0].callback == open_.services.config.public_url + "/webhooks/post"
        assert seen[0].at is not None


async def _now(dead: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    return dead


async def _number(calls: Sequence[Call]) -> int:
    return len(calls)


async def _paused(pace: Pace) -> float:
    return pace._paused_until


async def _probes(provider: ProbedProvider) -> int:
    return provider.probes
