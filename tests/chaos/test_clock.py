"""Clocks that jump: order, dedup and delivery do not depend on them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors.content import plain_text
from connectors.event import Status
from gateway.work.outbox import OutboxWorker
from storage import utc_now
from storage.record import MessageKind
from tests.support.post import Letter, office, running
from tests.support.waiting import eventually

JUMPS = [timedelta(hours=1), timedelta(hours=-1), timedelta(days=3650), timedelta(days=-3650)]


@dataclass
class Clock:
    """The machine's, put forward or back."""

    off: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.off


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_what_comes_in_keeps_its_order_and_is_there_once(tmp_path: Path, jump: timedelta) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        for number in range(1, 7):
            clock.off = jump if number % 2 else timedelta()
            await open_.take(Letter(id=f"l{number}", sender="cleo", text=f"m{number}"))
            await open_.take(Letter(id="l1", sender="cleo", text="m1"))
        lines = [line for line in await open_.messages("cleo") if line.kind is MessageKind.INBOUND]
    assert [plain_text(line.parts) for line in lines] == ["m1", "m2", "m3", "m4", "m5", "m6"]


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(timedelta(hours=1), id="ahead"),
        pytest.param(timedelta(hours=-1), id="behind"),
    ],
)
async def test_replies_go_out_in_order(tmp_path: Path, jump: timedelta) -> None:
    clock = Clock()
    async with office(tmp_path, clock=clock) as open_:
        ids = []
        for number in range(1, 5):
            clock.off = jump if number % 2 else timedelta()
            ids.append((await open_.reply("cleo", f"r{number}")).id)
        async with running(OutboxWorker(open_.services).run):

            async def look() -> list[Status | None]:
                return [(await open_.message(one)).status for one in ids]

            await eventually(look, lambda found: set(found) == {Status.SENT})
        assert open_.provider.texts == ["r1", "r2", "r3", "r4"]
