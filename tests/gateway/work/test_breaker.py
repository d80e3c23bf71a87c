"""A provider that does not answer is left alone, and asked with one call; bulk never takes the turns of what agents write."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.work.breaker import Breaker, about
from gateway.work.pace import BULK_SHARE, LONGEST_TURN, PER_CHANNEL, Pace, Turns, at_once
from storage.bus import Bus
from storage.buses import open_bus
from storage.local_bus import LocalBus
from tests.support.redis import any_server


def steady(seconds: float) -> float:
    return seconds


def breaker() -> Breaker:
    return Breaker(failures=3, first=2, longest=8, spread=steady)


def opened() -> Breaker:
    one = breaker()
    assert [one.failed(0) for _ in range(3)] == [False, False, True]
    return one


def test_it_opens_after_failures_in_a_row() -> None:
    one = breaker()
    one.failed(0)
    one.failed(0)
    assert not one.succeeded()
    one.failed(0)
    one.failed(0)
    assert (one.closed, one.allows(0, 8)) == (True, 8)
    one.failed(0)
    assert (one.closed, one.allows(0, 8), one.allows(1.9, 8)) == (False, 0, 0)


def test_one_call_is_let_through_and_closes_it_or_waits_longer() -> None:
    one = opened()
    assert one.allows(2, 8) == 1
    assert not one.failed(2)
    assert (one.allows(5.9, 8), one.allows(6, 8)) == (0, 1)
    one.failed(6)
    assert (one.allows(13.9, 8), one.allows(14, 8)) == (0, 1)
    one.failed(14)
    assert (one.allows(21.9, 8), one.allows(22, 8)) == (0, 1)
    assert one.succeeded()
    assert (one.closed, one.allows(22, 8)) == (True, 8)
    # And the next time it begins with the short pause.
    for _ in range(3):
        one.failed(30)
    assert (one.allows(31.9, 8), one.allows(32, 8)) == (0, 1)


def test_what_was_under_way_when_it_opened_makes_no_pause_longer() -> None:
    one = opened()
    for _ in range(5):
        one.failed(0.5)
    assert one.allows(2, 8) == 1


def test_many_nodes_do_not_come_back_in_step() -> None:
    pauses = {about(10) for _ in range(50)}
    assert len(pauses) > 40
    assert 8 <= min(pauses) <= max(pauses) <= 12


def test_a_half_open_channel_begins_one_item_at_a_time() -> None:
    pace = Pace(Turns(LocalBus(), "shop", rate=0, bucket_rate=0), concurrency=8, breaker=opened())
    assert (pace.free(1), pace.free(2)) == (0, 1)
    pace.under_way = 1
    assert pace.free(2) == 0


def test_nothing_is_begun_while_the_provider_is_asked() -> None:
    pace = Pace(Turns(LocalBus(), "shop", rate=0, bucket_rate=0), concurrency=8)
    pace.pause(10)
    assert (pace.ask_due(9), pace.ask_due(10)) == (False, True)
    pace.ask()
    assert (pace.free(10), pace.ask_due(10)) == (0, False)
    pace.asked()
    assert (pace.free(10), pace.ask_due(10)) == (1, False)
    pace.pause(20)
    assert pace.ask_due(20)


@pytest.mark.parametrize("rate", [0.05, 0.3, 1, 2, 10, 80, 0])
def test_no_more_is_begun_than_finds_its_turn_in_time(rate: float) -> None:
    number = at_once(rate)
    assert 1 <= number <= PER_CHANNEL
    assert rate == 0 or number == 1 or number / (rate * BULK_SHARE) <= LONGEST_TURN


@pytest.fixture(params=["local", "redis"])
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bus]:
    async with contextlib.AsyncExitStack() as stack:
        bus = await open_bus(await stack.enter_async_context(any_server(tmp_path)) if request.param == "redis" else "")
        stack.push_async_callback(bus.close)
        yield bus


async def test_bulk_leaves_turns_for_what_agents_write(bus: Bus) -> None:
    turns = Turns(bus, f"shop-{id(bus)}", rate=10, bucket_rate=0)
    assert await turns.ask("", bulk=True).take() == 0
    # Its share is used up for a fifth of a second, the channel's turn comes in a tenth.
    late = turns.ask("", bulk=True)
    assert await late.take() == pytest.approx(0.2, abs=0.08)
    assert await turns.ask("").take() == pytest.approx(0.1, abs=0.08)
    # A provider without a known limit has one for nobody.
    free = Turns(bus, f"free-{id(bus)}", rate=0, bucket_rate=0)
    assert [await free.ask("", bulk=True).take() for _ in range(20)] == [0] * 20


async def test_channels_do_not_share_their_turns(bus: Bus) -> None:
    for name in ("one", "two", "three"):
        assert await Turns(bus, f"{name}-{id(bus)}", rate=1, bucket_rate=0).ask("", bulk=True).take() == 0
