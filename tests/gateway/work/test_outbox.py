"""Replies go out once, in order, at the provider's speed; every failure ends where people see it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.capabilities import Limits
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import Status
from gateway.crashpoint import CrashPoints
from gateway.work.outbox import OutboxWorker
from gateway.work.pace import Pace, Turns
from storage.local_bus import LocalBus
from storage.record import Attempt, Message, Priority
from tests.support.post import Office, office, running
from tests.support.waiting import eventually

DONE = {Status.SENT, Status.FAILED, Status.EXPIRED}


class Clock:
    """Real time, with an offset that a test sets: back-offs need no waiting."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


async def settled(open_: Office, message: Message, *statuses: Status) -> Message:
    async def look() -> Message:
        return await open_.message(message.id)

    return await eventually(look, lambda found: found.status in (statuses or DONE))


async def attempts(open_: Office, message: Message) -> list[Attempt]:
    return await open_.services.store.view(lambda tx: tx.outbox.attempts(message.id))


async def outbox_status(open_: Office, message: Message) -> Status:
    item = await open_.services.store.view(lambda tx: tx.outbox.get(message.id))
    assert item is not None
    return item.status


async def test_a_reply_is_sent_and_the_attempt_is_on_record(tmp_path: Path) -> None:
    async with office(tmp_path) as open_, running(OutboxWorker(open_.services).run):
        message = await open_.reply("ada", "hello", "again")
        assert (await settled(open_, message)).status is Status.SENT
        assert open_.provider.texts == ["hello", "again"]
        (attempt,) = await attempts(open_, message)
        assert (attempt.number, attempt.outcome) == (1, "sent")
        assert attempt.finished_at is not None
        assert open_.services.metrics.value("sportello_attempts_total", channel="post", outcome="sent") == 1
        for provider_id in ("p1", "p2"):
            linked = await open_.services.store.view(lambda tx, id_=provider_id: tx.messages.by_provider_id("post", id_))  # type: ignore[misc]
            assert linked is not None
            assert linked.id == message.id


async def test_after_a_failure_only_the_unsent_parts_go_again(tmp_path: Path) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        message = await open_.reply("ada", "one", "two", "three")
        open_.provider.answers.extend([_sent("p1"), Failure(kind=FailureKind.TRANSIENT, detail="busy")])
        async with running(OutboxWorker(open_.services).run):
            await settled(open_, message, Status.RETRY)
            clock.offset = timedelta(minutes=5)
            assert (await settled(open_, message)).status is Status.SENT
        assert open_.provider.texts == ["one", "two", "two", "three"]
        assert not (await open_.message(message.id)).possible_duplicate


async def test_replies_of_one_conversation_keep_their_order_and_go_one_at_a_time(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        messages = [await open_.reply("ada", str(number)) for number in range(20)]
        async with running(OutboxWorker(open_.services).run):
            for message in messages:
                await settled(open_, message)
        assert open_.provider.texts == [str(number) for number in range(20)]
        assert open_.provider.most_under_way == 1


async def test_a_slow_provider_delays_only_its_own_channel(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        slow = open_.providers["post"]
        stuck = asyncio.Event()
        slow.answers.extend([stuck] * 30)
        waiting = [await open_.reply(f"slow{number}", "x") for number in range(12)]
        async with running(OutboxWorker(open_.services).run):
            await eventually(lambda: _value(slow.under_way), lambda number: number == 8)
            quick = await open_.reply("quick", "y", channel="other")
            assert (await settled(open_, quick)).status is Status.SENT
            assert slow.under_way == 8
            # Those beyond the cap are still waiting in the database, not claimed.
            statuses = [await outbox_status(open_, message) for message in waiting]
            assert statuses.count(Status.SENDING) == 8
            stuck.set()
            for message in waiting:
                await settled(open_, message)


async def test_what_was_written_for_many_leaves_half_of_the_slots_free(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        provider, stuck = open_.provider, asyncio.Event()
        provider.answers.extend([stuck] * 100)
        bulk = [await open_.reply(f"many{number}", "offer", priority=Priority.BULK) for number in range(12)]
        worker = OutboxWorker(open_.services)
        async with running(worker.run):
            await eventually(lambda: _value(provider.under_way), lambda number: number == 4)
            agents = [await open_.reply(f"one{number}", "answer") for number in range(3)]
            await eventually(lambda: _value(provider.under_way), lambda number: number == 7)
            assert [await outbox_status(open_, message) for message in agents] == [Status.SENDING] * 3
            assert [await outbox_status(open_, message) for message in bulk].count(Status.SENDING) == 4
            stuck.set()
            for message in [*bulk, *agents]:
                assert (await settled(open_, message)).status is Status.SENT
        assert provider.most_under_way <= 8
        assert (worker._paces["post"].under_way, worker._paces["post"].bulk_under_way) == (0, 0)


def test_bulk_may_have_a_single_slot_and_half_of_many() -> None:
    turns = Turns(LocalBus(), "shop", rate=0, bucket_rate=0)
    single, many = Pace(turns, concurrency=1), Pace(turns, concurrency=5)
    assert (single.free_for_bulk(0), many.free_for_bulk(0)) == (1, 2)
    many.begun(bulk=True)
    many.begun(bulk=True)
    assert (many.free(0), many.free_for_bulk(0)) == (3, 0)
    many.ended(bulk=True)
    assert many.free_for_bulk(0) == 1
    for _ in range(4):
        many.begun(bulk=False)
    assert many.free_for_bulk(0) == 0


@pytest.mark.parametrize(
    ("text", "words"), [("inexpressible", "postcards carry no such thing"), ("crash", "the connector failed: RuntimeError")]
)
async def test_what_cannot_be_rendered_fails_visibly_and_is_never_called(tmp_path: Path, text: str, words: str) -> None:
    async with office(tmp_path) as open_, running(OutboxWorker(open_.services).run):
        message = await settled(open_, await open_.reply("ada", text))
        assert message.status is Status.FAILED
        assert words in message.problem
        assert open_.provider.calls == []


async def test_a_refused_credential_pauses_the_channel_and_a_probe_resumes_it(tmp_path: Path) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        metrics, provider = open_.services.metrics, open_.provider
        provider.answers.append(Failure(kind=FailureKind.AUTH, code="401"))
        first, second = await open_.reply("ada", "one"), await open_.reply("ben", "two")
        worker = OutboxWorker(open_.services, pause_seconds=0.5)
        worker._paces["post"]._concurrency = 1
        async with running(worker.run):
            await settled(open_, first, Status.RETRY)
            assert metrics.value("sportello_channel_paused", channel="post") == 1
            assert len(provider.calls) == 1
            clock.offset = timedelta(minutes=30)
            assert (await settled(open_, first)).status is Status.SENT
            assert (await settled(open_, second)).status is Status.SENT
            assert metrics.value("sportello_channel_paused", channel="post") == 0


async def test_a_request_to_slow_down_is_kept(tmp_path: Path) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        open_.provider.answers.append(Failure(kind=FailureKind.THROTTLED, retry_after=0.4))
        worker = OutboxWorker(open_.services)
        loop = asyncio.get_running_loop()
        first, second = await open_.reply("ada", "one"), await open_.reply("ben", "two")
        worker._paces["post"]._concurrency = 1
        async with running(worker.run):
            await settled(open_, first, Status.RETRY)
            began = loop.time()
            clock.offset = timedelta(minutes=5)
            await settled(open_, second)
            # Both share the channel's own bucket, so the second waited although nobody had refused it.
            assert loop.time() - began > 0.3
            await settled(open_, first)


async def test_the_channels_rate_is_kept(tmp_path: Path) -> None:
    async with office(tmp_path, limits=Limits(text=1000, rate=20.0)) as open_:
        messages = [await open_.reply(f"s{number}", "x") for number in range(8)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with running(OutboxWorker(open_.services).run):
            for message in messages:
                await settled(open_, message)
        assert loop.time() - began >= 7 / 20


async def test_a_call_without_an_answer_is_unknown_and_resent_with_a_mark(tmp_path: Path) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        open_.provider.answers.append(asyncio.Event())
        message = await open_.reply("ada", "one")
        async with running(OutboxWorker(open_.services, call_seconds=0.1).run):
            await eventually(lambda: attempts(open_, message), lambda found: bool(found and found[0].outcome))
            clock.offset = timedelta(minutes=10)
            done = await settled(open_, message, Status.SENT)
        assert done.possible_duplicate
        assert [attempt.outcome for attempt in await attempts(open_, message)] == ["unknown", "sent"]


async def test_a_client_that_raises_counts_as_unknown(tmp_path: Path) -> None:
    async with office(tmp_path) as open_, running(OutboxWorker(open_.services).run):
        open_.provider.answers.append(RuntimeError("a bug in the client"))
        message = await open_.reply("ada", "one")
        found = await eventually(lambda: attempts(open_, message), lambda found: bool(found and found[0].outcome))
        assert found[0].outcome == "unknown"


async def test_what_a_crash_cut_off_is_settled_at_the_next_start(tmp_path: Path) -> None:
    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    clock = Clock()
    async with office(tmp_path, crash=CrashPoints("outbox.claimed", 1, die), clock=clock) as open_:
        message = await open_.reply("ada", "one")
        with pytest.raises(Died):
            await OutboxWorker(open_.services).run()
        assert await outbox_status(open_, message) is Status.SENDING
    async with office(tmp_path, clock=clock) as open_, running(OutboxWorker(open_.services).run):
        clock.offset = timedelta(minutes=10)
        done = await settled(open_, message, Status.SENT)
        assert done.possible_duplicate
        assert open_.provider.texts == ["one"]


async def test_a_stop_lets_calls_under_way_end(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        gate = asyncio.Event()
        open_.provider.answers.append(gate)
        message = await open_.reply("ada", "one")
        task = asyncio.create_task(OutboxWorker(open_.services).run())
        await eventually(lambda: _value(open_.provider.under_way))
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, gate.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await open_.message(message.id)).status is Status.SENT


async def test_replies_of_a_channel_that_is_no_longer_configured_say_so(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        message = await open_.reply("ada", "one", channel="other")
        channels = open_.services.channels
        assert isinstance(channels, dict)
        del channels["other"]
        async with running(OutboxWorker(open_.services).run):
            found = await settled(open_, message, Status.RETRY)
        assert "no channel 'other' is configured" in found.problem or (await attempts(open_, message))[0].outcome == "config"


def test_a_paused_channel_probes_with_one_item() -> None:
    pace = Pace(Turns(LocalBus(), "shop", rate=0, bucket_rate=1), concurrency=4)
    assert pace.free(0) == 4
    pace.pause(10)
    assert (pace.free(5), pace.free(11)) == (0, 1)
    pace.recover()
    assert pace.free(11) == 4


def test_a_longer_pause_is_not_cut_short_and_says_whether_a_probe_ends_it() -> None:
    pace = Pace(Turns(LocalBus(), "shop", rate=0, bucket_rate=1), concurrency=4)
    pace.pause(600, probe_tells=False)
    pace.pause(60)
    assert (pace.free(61), pace.ask_due(61), pace.probe_tells) == (0, False, False)
    assert (pace.free(600), pace.ask_due(600)) == (1, False)
    pace.pause(660)
    assert (pace.ask_due(660), pace.probe_tells) == (True, True)


class Seconds:
    """A clock for a bus."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_each_chat_has_its_own_speed_within_the_channels() -> None:
    clock = Seconds()
    turns = Turns(LocalBus(clock=clock), "shop", rate=10, bucket_rate=1)
    assert await turns.ask("chat 1").take() == 0
    assert await turns.ask("chat 1").take() == 1
    second = turns.ask("chat 2")
    assert await second.take() == pytest.approx(0.1)
    clock.now = 0.1
    assert await second.take() == 0
    # Its chat was taken before it had to wait for the channel: the next one still comes a whole second later.
    assert await turns.ask("chat 2").take() == pytest.approx(1)
    clock.now = 0.2
    await turns.block("chat 3", 7)
    assert await turns.ask("chat 3").take() == pytest.approx(7)
    assert await turns.ask("").take() == 0
    await turns.block("", 3)
    assert await turns.ask("").take() == pytest.approx(3)
    assert await turns.ask("chat 4").take() == pytest.approx(3)


async def test_an_album_uses_up_the_turns_of_its_files() -> None:
    turns = Turns(LocalBus(clock=Seconds()), "shop", rate=10, bucket_rate=1)
    assert await turns.ask("chat 1").take() == 0
    await turns.spend("chat 1", 5)
    assert await turns.ask("chat 1").take() == pytest.approx(5)
    assert await turns.ask("chat 2").take() == pytest.approx(0.5)
    await turns.spend("chat 3", 1)
    assert await turns.ask("chat 3").take() == pytest.approx(0.5), "one message is paid for by its turn"


async def test_whoever_waits_for_a_chat_holds_nobody_else_back() -> None:
    turns = Turns(LocalBus(clock=Seconds()), "shop", rate=1, bucket_rate=1)
    await turns.block("chat 1", 60)
    assert await turns.ask("chat 1").take() == 60
    assert await turns.ask("chat 2").take() == 0


async def test_two_nodes_share_the_rate_of_a_provider() -> None:
    bus = LocalBus(clock=Seconds())
    one, two = Turns(bus, "shop", rate=2, bucket_rate=0), Turns(bus, "shop", rate=2, bucket_rate=0)
    assert (await one.ask("").take(), await two.ask("").take()) == (0, 0.5)


async def _value(number: int) -> int:
    return number


def _sent(provider_id: str) -> Sent:
    return Sent(provider_id)
