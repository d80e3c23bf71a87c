"""Who closed the inbox without a word is given nothing more; whom nobody ever saw, or cannot see now, is left alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.attendance import HERE, Attendance
from gateway.work.away import NOBODY, Absences, AwayWorker, judge
from storage.local_bus import LocalBus
from storage.record import Presence, Role
from tests.support.cast import Cast, add_colleague, assemble, come_online
from tests.support.gateway import gateway_config, running_gateway
from tests.support.post import running

ADA, BEN = frozenset({"ada"}), frozenset({"ben"})


def test_an_agent_is_away_after_a_whole_absence() -> None:
    first = judge(NOBODY, ADA, ADA, frozenset(), 100, 120)
    assert first == Absences({"ada": 100})
    assert judge(first, ADA, ADA, frozenset(), 219, 120).too_long == ()
    assert judge(first, ADA, ADA, frozenset(), 220, 120).too_long == ("ada",)


def test_whoever_comes_back_begins_anew() -> None:
    first = judge(NOBODY, ADA, ADA, frozenset(), 100, 120)
    back = judge(first, ADA, ADA, ADA, 150, 120)
    assert back.since == {}
    assert judge(back, ADA, ADA, frozenset(), 230, 120) == Absences({"ada": 230})


@pytest.mark.parametrize(
    ("online", "seen", "present", "after"),
    [
        pytest.param(ADA, BEN, frozenset[str](), 120, id="never seen"),
        pytest.param(BEN, ADA, frozenset[str](), 120, id="not online"),
        pytest.param(ADA, ADA, ADA, 120, id="here"),
        pytest.param(ADA, ADA, None, 120, id="unknown who is here"),
        pytest.param(ADA, None, frozenset[str](), 120, id="unknown who was seen"),
        pytest.param(ADA, ADA, frozenset[str](), 0, id="switched off"),
    ],
)
def test_who_is_left_alone(online: frozenset[str], seen: frozenset[str] | None, present: frozenset[str] | None, after: float) -> None:
    absent_for_long = Absences({"ada": 0.0, "ben": 0.0})
    assert judge(absent_for_long, online, seen, present, 1e6, after) == NOBODY


async def test_an_agent_is_present_while_any_feed_on_any_node_is_open() -> None:
    bus = LocalBus()
    one, two = Attendance(bus, "one", knows_all=True), Attendance(bus, "two", knows_all=True)
    async with one.here("ada"):
        async with one.here("ada"), two.here("ada"), two.here("ben"):
            assert await one.present() == frozenset({"ada", "ben"})
        assert await two.present() == frozenset({"ada"})
        async with two.here("ada"):
            pass
        assert await one.present() == frozenset({"ada"})
    assert await one.present() == frozenset()
    assert await two.seen() == frozenset({"ada", "ben"})


async def test_a_node_that_cannot_see_the_others_knows_nothing() -> None:
    alone = Attendance(LocalBus(), "one", knows_all=False)
    async with alone.here("ada"):
        assert (await alone.present(), await alone.seen()) == (None, None)


async def test_who_stays_is_said_again_before_it_is_forgotten() -> None:
    now = 0.0
    bus = LocalBus(clock=lambda: now)
    attendance = Attendance(bus, "one", knows_all=True)
    async with attendance.here("ada"):
        now = 29.0
        async with running(attendance.keep):
            await asyncio.sleep(0)
        now = 31.0
        assert await attendance.present() == frozenset({"ada"})
        now = 60.0
        assert await bus.present(HERE) == frozenset()


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Cast]:
    """Away after one second."""
    config = gateway_config(tmp_path)
    async with running_gateway(replace(config, routing=replace(config.routing, away_after=1))) as gateway:
        yield await assemble(gateway)


async def presence(cast: Cast, agent_id: str) -> Presence:
    agent = await cast.gateway.services.store.view(lambda tx: tx.agents.get(agent_id))
    assert agent is not None
    return agent.presence


async def test_a_closed_inbox_gets_no_more_conversations(impatient: Cast) -> None:
    cast, services = impatient, impatient.gateway.services
    bot = await add_colleague(cast.gateway, "Bo", Role.BOT)
    for person in (cast.ada, cast.ben, bot):
        await come_online(person)
    async with running(AwayWorker(services, every=0.02).run), cast.sue.feed() as sue:
        async with cast.ada.feed():
            listed = {item["name"]: item["connected"] for item in (await cast.sue.get("/agents")).json["items"]}
            assert listed == {"Ada": True, "Sue": True, "Amy": False, "Ben": False, "Bo": False}
            first = await cast.conversation()
            assert first["assignee_id"] == cast.ada.id
            async with cast.gateway.http.ws_connect(
                f"{cast.gateway.url}/api/v1/feed", headers={"Authorization": f"Bearer {bot.token}"}
            ) as feed:
                await feed.receive()
        frame = await sue.until(lambda frame: frame["type"] == "agent.changed" and frame["data"]["agent"]["id"] == cast.ada.id)
        assert frame["data"]["agent"]["presence"] == "offline"
        # Neither was seen at an inbox, or is one to sit at one.
        assert await presence(cast, cast.ben.id) is Presence.ONLINE
        assert await presence(cast, bot.id) is Presence.ONLINE
        kept = (await cast.sue.get(f"/conversations/{first['id']}")).json
        assert kept["conversation"]["assignee_id"] == cast.ada.id
