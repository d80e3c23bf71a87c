"""The rest of the world at its worst: killed between two steps, a full disk, a stop under load, a parser that cannot read yet."""

import asyncio
import base64
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from connectors.content import Media, plain_text
from storage.record import Message, MessageKind
from tests.crash.shop import HEADER, Promised, Shop, agent, at_rest, call, check, deliver, everything, open_shop, shopper, update
from tests.support.pictures import PNG
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

#: ``sportello`` of a time when it could not read Telegram's updates.
UNREADING = """
from connectors.telegram import inbound
def fail(body): raise KeyError("a bug")
inbound._decode = fail
from gateway.__main__ import main
raise SystemExit(main())
"""


async def inbound(shop: Shop) -> list[Message]:
    lines, _, _ = await everything(shop.database)
    return [line for line in lines if line.kind is MessageKind.INBOUND]


def lines_shown(shop: Shop) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """What the shopper wrote, as the inbox shows it."""

    async def look() -> list[dict[str, Any]]:
        page = await call(shop, "GET", "/conversations")
        histories = [await call(shop, "GET", f"/conversations/{one['id']}/messages?limit=200") for one in page["items"]]
        return [line for history in histories for line in history["items"] if line["kind"] == "inbound"]

    return look


@pytest.mark.parametrize("point", ["intake.read", "intake.appended"])
async def test_a_polled_update_comes_again_until_it_is_stored(polling_shop: Shop, point: str) -> None:
    """Killed after Telegram gave it, before and after it was stored: Telegram forgets it only when we come back for the next."""
    shop = polling_shop
    user = await shop.phone.user("Cleo")
    shop.gateway.environment = {"SPORTELLO_CRASH_AT": f"{point}:2"}
    await shop.gateway.start()
    for text in ("one", "two", "three"):
        await shop.phone.say(user, text=text)
    await shop.gateway.dead()
    shop.gateway.environment = {}
    await shop.gateway.start()
    await eventually(lines_shown(shop), lambda found: len(found) >= 3)
    await shop.gateway.stop()
    assert [plain_text(line.parts) for line in await inbound(shop)] == ["one", "two", "three"]


async def test_a_file_whose_fetching_was_cut_off_is_fetched_again(polling_shop: Shop) -> None:
    shop = polling_shop
    user = await shop.phone.user("Cleo")
    shop.gateway.environment = {"SPORTELLO_CRASH_AT": "media.fetched:1"}
    await shop.gateway.start()
    await shop.phone.say(user, photo=base64.b64encode(PNG).decode(), caption="my parcel")
    await shop.gateway.dead()
    shop.gateway.environment = {}
    await shop.gateway.start()

    def stored(found: list[dict[str, Any]]) -> list[str]:
        return [part["stored"] for line in found for part in line["parts"] if part.get("stored")]

    (file,) = stored(await eventually(lines_shown(shop), lambda found: bool(stored(found))))
    async with shop.session.get(f"{shop.gateway.url}/api/v1/media/{file}", headers={"Authorization": f"Bearer {shop.token}"}) as answer:
        assert (answer.status, await answer.read()) == (200, PNG)
    await shop.gateway.stop()
    (line,) = await inbound(shop)
    assert sum(isinstance(part, Media) for part in line.parts) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB, where this machine lets us have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], check=False, capture_output=True).returncode
    ):
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
async def cramped_shop(small_disk: Path) -> AsyncIterator[Shop]:
    async with open_shop(small_disk) as opened:
        yield opened


async def test_a_full_disk_refuses_loses_nothing_and_recovers(cramped_shop: Shop, small_disk: Path) -> None:
    shop, user = cramped_shop, await cramped_shop.phone.user("Cleo")
    await shop.gateway.start()
    acknowledged: list[str] = []

    async def post(number: int) -> int:
        body = update(number, user, f"m{number} " + "x" * 3000)
        async with shop.session.post(f"{shop.gateway.url}/webhooks/shop", json=body, headers=HEADER) as answer:
            if answer.status == 200:
                acknowledged.append(f"m{number}")
            elif answer.status == 503:
                assert answer.headers["Retry-After"]
            return answer.status

    assert await post(1) == 200
    filler = small_disk / "filler"
    fill(filler)
    # A little is left, so that some are still taken.
    os.truncate(filler, filler.stat().st_size - 200_000)
    statuses = [await post(number) for number in range(2, 400)]
    assert set(statuses) == {200, 503}
    assert statuses[-20:] == [503] * 20
    # Reading goes on, uploads are refused with the reason.
    async with shop.session.get(f"{shop.gateway.url}/readyz") as answer:
        assert answer.status == 200
    headers = {"Authorization": f"Bearer {shop.token}"}
    large = BytesIO(b"%PDF-1.7" + bytes(1_000_000))
    async with shop.session.post(f"{shop.gateway.url}/api/v1/media", data=large, headers=headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (507, "disk_full")
    # Long enough for every background worker to have met the full disk.
    await asyncio.sleep(2.5)
    filler.unlink()
    began = monotonic()
    await eventually(lambda: post(400), lambda status: status == 200)
    await eventually(lines_shown(shop), lambda found: any(line["parts"][0]["text"].startswith("m400 ") for line in found))
    assert monotonic() - began < 20
    assert await shop.gateway.stop() == 0, shop.gateway.said()
    assert [plain_text(line.parts).split()[0] for line in await inbound(shop)] == acknowledged


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def test_a_stop_under_load_is_quick_and_loses_nothing(shop: Shop) -> None:
    """With calls to the provider that hang, so that some have to be cut off."""
    random.seed(11)
    promised, stop = Promised(), asyncio.Event()
    users = [await shop.phone.user(f"Cleo {number}") for number in range(6)]
    await shop.phone.post("faults", kind="hang", method="sendMessage", count=2, seconds=30)
    await shop.gateway.start()
    tasks = [asyncio.create_task(shopper(shop, promised, user, stop)) for user in users]
    tasks.append(asyncio.create_task(agent(shop, promised, stop)))
    await eventually(_count(promised), lambda number: number > 12)
    began = monotonic()
    assert await shop.gateway.stop() == 0, shop.gateway.said()
    assert monotonic() - began < 30
    await shop.gateway.start()
    stop.set()
    await asyncio.gather(*tasks)
    await at_rest(shop)
    assert await shop.gateway.stop() == 0, shop.gateway.said()
    lines, _, _ = await everything(shop.database)
    check(promised, lines, Counter(entry["text"] for entry in await shop.phone.ledger()))


def _count(promised: Promised) -> Callable[[], Awaitable[int]]:
    async def look() -> int:
        return len(promised.accepted)

    return look


async def test_what_a_former_version_could_not_read_is_brought_in_after_the_fix(shop: Shop) -> None:
    user = await shop.phone.user("Cleo")
    shop.gateway.program = ("-c", UNREADING)
    await shop.gateway.start()
    for number in (1, 2):
        await deliver(shop, update(number, user, f"m{number}"))
    assert await shop.gateway.stop() == 0, shop.gateway.said()
    assert await inbound(shop) == []

    shop.gateway.program = ("-m", "gateway")
    await shop.gateway.start()
    await deliver(shop, update(3, user, "m3"))
    # The provider repeats one of the old ones after the fix, and before anybody has asked for the others.
    await deliver(shop, update(2, user, "m2"))
    for expected in (2, 0):
        command = [sys.executable, "-m", "gateway", "reprocess", "--config", str(shop.gateway.config)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=120)
        assert str(expected) in done.stdout
    found = await eventually(lines_shown(shop), lambda found: len(found) >= 3)
    assert sorted(line["parts"][0]["text"] for line in found) == ["m1", "m2", "m3"]
    assert await shop.gateway.stop() == 0, shop.gateway.said()
