"""Payloads whose parser ends the process, or never ends itself: the gateway dies of each twice at most, and all others get through."""

import asyncio
import contextlib
import dataclasses
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.abilities import FetchedMedia
from connectors.content import plain_text
from gateway import poison
from gateway.fetch import GuardedFetcher
from gateway.poison import DEATHS, PoisonGuard, Poisonous, watch_the_time
from gateway.work.media import MediaWorker
from storage import utc_now
from storage.file import MediaJob
from storage.protocol import WHOLE
from storage.record import MessageKind
from tests.crash.shop import HEADER, Shop, call, deliver, everything, open_shop, update
from tests.support.post import Letter, office
from tests.support.waiting import eventually

#: ``sportello`` with a parser that does something terrible when it meets the word.
FATAL = """
import ctypes, os, re
from connectors.telegram import inbound
decode = inbound._decode
def parse(body):
    if b"poison" in body:
        {deed}
    return decode(body)
inbound._decode = parse
from gateway import poison
poison.SECONDS = 1.0
from gateway.__main__ import main
raise SystemExit(main())
"""
DEEDS = {"ends": "os._exit(3)", "is killed": "os.kill(os.getpid(), 9)", "breaks memory": "ctypes.string_at(8)"}
ENDLESS = {"loops": "while True: pass", "backtracks": 're.match(r"(a+)+$", "a" * 60 + "b")'}


# --- the guard by itself ---------------------------------------------------------------------------------------------------


def dies(folder: Path, payload: bytes, slot: int = 0) -> None:
    """A process that ends while it reads ``payload``."""
    program = (
        "import os, pathlib, sys\n"
        "from gateway.poison import PoisonGuard\n"
        f"guard = PoisonGuard(pathlib.Path({str(folder)!r}), {slot})\n"
        "guard.read(b'harmless', lambda: None)\n"
        f"guard.read({payload!r}, lambda: os._exit(7))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr


@contextlib.contextmanager
def guard_of(folder: Path, slot: int = 0) -> Iterator[PoisonGuard]:
    with contextlib.closing(PoisonGuard(folder, slot)) as guard:
        yield guard


def test_what_has_ended_two_processes_is_not_read_a_third_time(tmp_path: Path) -> None:
    for _ in range(DEATHS):
        with guard_of(tmp_path) as guard:
            assert guard.read(b"other", lambda: "read") == "read"
        dies(tmp_path, b"poison")
    with guard_of(tmp_path) as guard:
        with pytest.raises(Poisonous, match="2 times"):
            guard.read(b"poison", lambda: pytest.fail("it was read"))
        assert guard.read(b"other", lambda: "read") == "read"


def test_processes_of_one_folder_share_what_they_know(tmp_path: Path) -> None:
    dies(tmp_path, b"poison", slot=0)
    dies(tmp_path, b"poison", slot=1)
    with guard_of(tmp_path, 0), guard_of(tmp_path, 1) as guard, pytest.raises(Poisonous):
        guard.read(b"poison", lambda: None)


def test_one_death_may_be_chance_and_is_forgotten_when_it_can_be_read(tmp_path: Path) -> None:
    dies(tmp_path, b"unlucky")
    with guard_of(tmp_path) as guard:
        assert guard.read(b"unlucky", lambda: "read") == "read"
    dies(tmp_path, b"unlucky")
    with guard_of(tmp_path) as guard:
        assert guard.read(b"unlucky", lambda: "read") == "read"


def test_after_a_fix_it_is_read_when_somebody_asks_for_it(tmp_path: Path) -> None:
    for _ in range(DEATHS):
        dies(tmp_path, b"poison")
    with guard_of(tmp_path) as guard:
        assert guard.read_anyway(b"poison", lambda: "read") == "read"
        assert guard.read(b"poison", lambda: "read") == "read"


def test_an_error_is_no_death(tmp_path: Path) -> None:
    for _ in range(3):
        with guard_of(tmp_path) as guard, pytest.raises(ZeroDivisionError):
            guard.read(b"broken", lambda: 1 // 0)


def test_without_a_disk_it_still_reads(tmp_path: Path) -> None:
    (tmp_path / "poison").touch()
    with guard_of(tmp_path / "poison") as guard:
        assert guard.read(b"x", lambda: "read") == "read"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[PoisonGuard]:
    monkeypatch.setattr(poison, "SECONDS", 0.2)
    before = signal.getsignal(signal.SIGVTALRM)
    watch_the_time()
    yield PoisonGuard()
    signal.signal(signal.SIGVTALRM, before)


def _loop() -> None:
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


@pytest.mark.parametrize("work", [_loop, lambda: re.match(r"(a+)+$", "a" * 60 + "b")], ids=["forgives everything", "backtracks"])
def test_what_never_ends_is_given_up(impatient: PoisonGuard, work: Any) -> None:
    with pytest.raises(Poisonous, match="more than"):
        impatient.read(b"x", work)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_waiting_and_the_work_of_others_are_not_counted(impatient: PoisonGuard) -> None:
    assert impatient.read(b"x", lambda: time.sleep(0.5)) is None
    # A signal that comes too late finds nothing to interrupt.
    signal.raise_signal(signal.SIGVTALRM)


def test_a_thread_is_not_bounded_and_bounds_nobody(impatient: PoisonGuard) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(impatient.read(b"x", lambda: "read")))
    thread.start()
    thread.join(10)
    assert found == ["read"]


class Envelope:
    """A client whose mails hold files; taking one out is fatal."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def send(self, call: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""

    def extract(self, raw: bytes, ref: str, max_bytes: int) -> FetchedMedia:
        self.taken.append(ref)
        return FetchedMedia(data=raw[:max_bytes])


async def test_a_file_that_ends_the_process_is_given_up_and_its_neighbours_are_not(tmp_path: Path) -> None:
    """Files are taken out of a mail later, and again until it works."""
    async with office(tmp_path / "data") as open_:
        await open_.take(Letter(id="a", sender="cleo", text="two files"))
        raw = (await open_.services.store.read(WHOLE, 0, 1))[0].entry.raw
        fatal, harmless = "raw:a#0", "raw:a#1"
        for _ in range(DEATHS):
            dies(tmp_path / "poison", raw + fatal.encode())
        with guard_of(tmp_path / "poison") as guard:
            worker = MediaWorker(dataclasses.replace(open_.services, poison=guard), GuardedFetcher())
            client = Envelope()
            found = [await worker._from_stream(_job(ref), client, 10) for ref in (fatal, harmless)]
            await worker._fetcher.close()
    assert client.taken == [harmless]
    assert (found[0].data, found[0].retry, bool(found[0].problem)) == (b"", False, True)
    assert found[1].data == raw[:10]


def _job(ref: str) -> MediaJob:
    return MediaJob(id="med_1", channel="post", message_id="msg_1", part=0, ref=ref, attempts=0, next_at=utc_now())


# --- a whole gateway -----------------------------------------------------------------------------------------------------


async def alive_again(shop: Shop) -> None:
    await shop.gateway.dead()
    await shop.gateway.start()


async def give(shop: Shop, user: int, text: str, number: int) -> int:
    """One delivery; 0 for no answer."""
    with contextlib.suppress(aiohttp.ClientError):
        async with shop.session.post(f"{shop.gateway.url}/webhooks/shop", json=update(number, user, text), headers=HEADER) as answer:
            return answer.status
    return 0


async def histories(shop: Shop) -> list[str]:
    lines, _, _ = await everything(shop.database)
    return sorted(plain_text(line.parts) for line in lines if line.kind is MessageKind.INBOUND)


async def quarantined(shop: Shop) -> int:
    page = await call(shop, "GET", "/reconcile")
    return int(sum(item["quarantined"] for item in page["items"]))


@pytest.mark.chaos
@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
async def test_a_webhook_that_ends_the_process_is_set_aside_at_the_third_time(tmp_path: Path, deed: str) -> None:
    async with open_shop(tmp_path) as shop:
        user = await shop.phone.user("Cleo")
        shop.gateway.program = ("-c", FATAL.format(deed=deed))
        await shop.gateway.start()
        await deliver(shop, update(1, user, "before"))
        for _ in range(DEATHS):
            assert await give(shop, user, "poison", 2) == 0
            await alive_again(shop)
            await deliver(shop, update(3, user, "between"))
        assert await give(shop, user, "poison", 2) == 200
        assert await quarantined(shop) == 1
        await deliver(shop, update(4, user, "after"))
        assert await shop.gateway.stop() == 0, shop.gateway.said()
        # A later version can read it.
        shop.gateway.program = ("-m", "gateway")
        await shop.gateway.start()
        command = [sys.executable, "-m", "gateway", "reprocess", "--config", str(shop.gateway.config)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=120)
        assert "recovered: 1" in done.stdout
        await _routed(shop, 4)
        assert await shop.gateway.stop() == 0, shop.gateway.said()
        assert await histories(shop) == ["after", "before", "between", "poison"]


@pytest.mark.chaos
async def test_what_lies_first_in_the_line_does_not_stop_it_for_ever(tmp_path: Path) -> None:
    """Telegram gives it again and again until we come for the next one."""
    async with open_shop(tmp_path, 'mode = "poll"') as shop:
        user = await shop.phone.user("Cleo")
        for text in ("before", "poison", "after"):
            await shop.phone.say(user, text=text)
        shop.gateway.program = ("-c", FATAL.format(deed="os._exit(3)"))
        for _ in range(DEATHS):
            with contextlib.suppress(AssertionError):
                await shop.gateway.start()
            await shop.gateway.dead()
        await shop.gateway.start()
        await _routed(shop, 2)
        assert await quarantined(shop) == 1
        assert await shop.gateway.stop() == 0, shop.gateway.said()
        assert await histories(shop) == ["after", "before"]


@pytest.mark.chaos
@pytest.mark.parametrize("deed", ENDLESS.values(), ids=ENDLESS)
async def test_a_parser_that_never_ends_is_interrupted(tmp_path: Path, deed: str) -> None:
    async with open_shop(tmp_path) as shop:
        user = await shop.phone.user("Cleo")
        shop.gateway.program = ("-c", FATAL.format(deed=deed))
        await shop.gateway.start()
        assert await give(shop, user, "poison", 1) == 200
        await deliver(shop, update(2, user, "after"))
        assert await quarantined(shop) == 1
        await _routed(shop, 1)
        assert await shop.gateway.stop() == 0, shop.gateway.said()
        assert await histories(shop) == ["after"]


async def _routed(shop: Shop, number: int) -> None:
    async def look() -> int:
        page = await call(shop, "GET", "/conversations")
        lines = [await call(shop, "GET", f"/conversations/{one['id']}/messages?limit=200") for one in page["items"]]
        return sum(line["kind"] == "inbound" for each in lines for line in each["items"])

    await eventually(look, lambda found: found >= number)
