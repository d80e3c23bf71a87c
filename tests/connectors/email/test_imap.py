"""Mailboxes of a real Dovecot: push, outage, backfill, a new UIDVALIDITY, marks, and what is not to be trusted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Literal

import pytest

from connectors.abilities import Component
from connectors.contract import Reporter, Request, no_report
from connectors.email.client import EmailClient
from connectors.email.imap import KEYWORD
from connectors.email.inbound import ARRIVED, TRUE_SIZE, parse, verify
from tests.support.dovecot import Dovecot, running_dovecot
from tests.support.mail import QUICK, mail, mail_client, mail_settings, mailbox
from tests.support.waiting import DEADLINE, until


@pytest.fixture(scope="module")
async def dovecot() -> AsyncIterator[Dovecot]:
    async with running_dovecot() as server:
        yield server


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    return "".join(char for char in request.node.name if char.isalnum())[-40:].lower()


class Gateway:
    """Takes requests as the gateway does: coming back for the next says that the one before is durable."""

    def __init__(self, client: EmailClient) -> None:
        self.client = client
        self._iterator = client.receive()

    async def next(self) -> Request:
        async with asyncio.timeout(DEADLINE):
            request = await anext(self._iterator)
        assert isinstance(request, Request)
        return request

    async def close(self) -> None:
        await self._iterator.aclose()  # type: ignore[attr-defined]

    async def listening(self) -> None:
        """Asks for the next, so that the last one is marked, and waits until the server is in IDLE."""
        waiting = asyncio.create_task(_next(self._iterator))
        await until(lambda: bool(self.client.readers) and all(one.state.listening.is_set() for one in self.client.readers))
        self._iterator = _with_first(waiting, self._iterator)


async def _next(iterator: AsyncIterator[Request]) -> Request:
    return await anext(iterator)


async def _with_first(first: "asyncio.Task[Request]", rest: AsyncIterator[Request]) -> AsyncIterator[Request]:
    try:
        yield await first
        async for one in rest:
            yield one
    finally:
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await first
        await rest.aclose()  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def receiving(*mailboxes: dict[str, Any], report: Reporter = no_report, **more: Any) -> AsyncIterator[Gateway]:
    async with mail_client(mail_settings(mailboxes=list(mailboxes), **more), report=report) as client:
        gateway = Gateway(client)
        try:
            yield gateway
        finally:
            await gateway.close()


async def marked(dovecot: Dovecot, user: str, count: int, flag: bytes = KEYWORD, folder: str = "INBOX") -> None:
    async def so_many() -> bool:
        return sum(flag in flags for flags in (await dovecot.flags(user, folder)).values()) == count

    await until(so_many)


def text_of(request: Request) -> str:
    return request.body.partition(b"\r\n\r\n")[2].decode().strip()


async def test_mail_that_waits_is_taken_and_marked_only_after_it_is_durable(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, mail("one", id_="1@x"), mail("two", id_="2@x"))
    async with receiving(mailbox(dovecot, user)) as gateway:
        first = await gateway.next()
        assert text_of(first) == "one"
        assert not any(KEYWORD in flags for flags in (await dovecot.flags(user)).values())
        assert text_of(await gateway.next()) == "two"
        await marked(dovecot, user, 1)
        await gateway.listening()
        await marked(dovecot, user, 2)


async def test_what_is_taken_passes_our_own_check_and_parses(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, mail("hi"))
    async with receiving(mailbox(dovecot, user)) as gateway:
        request = await gateway.next()
    settings = mail_settings()
    assert verify(request, settings)
    (event,) = parse(request, settings)
    assert event.at is not None
    assert ARRIVED in request.headers
    assert b"\\Seen" not in next(iter((await dovecot.flags(user)).values()))


async def test_new_mail_is_pushed(dovecot: Dovecot, user: str) -> None:
    async with mail_client(mail_settings(mailboxes=[mailbox(dovecot, user)]), replace(QUICK, idle=300.0)) as client:
        gateway = Gateway(client)
        await gateway.listening()
        assert client.readers[0].state.pushes
        await dovecot.append(user, mail("pushed"))
        # Well below the interval at which IDLE is renewed.
        async with asyncio.timeout(60):
            assert text_of(await gateway.next()) == "pushed"
        await gateway.close()


async def test_no_push_is_lost_between_a_look_and_the_wait(dovecot: Dovecot, user: str) -> None:
    """A mail that comes while the server answers is announced in one breath with the answer; waiting for the line would miss it."""
    async with mail_client(mail_settings(mailboxes=[mailbox(dovecot, user)]), replace(QUICK, idle=60.0)) as client:
        gateway = Gateway(client)

        async def write() -> None:
            for number in range(60):
                await dovecot.append(user, mail(f"{number}", id_=f"{number}@x"))

        writer = asyncio.create_task(write())
        assert [text_of(await gateway.next()) for _ in range(60)] == [str(number) for number in range(60)]
        await writer
        await gateway.close()


async def test_a_server_without_idle_is_polled(user: str) -> None:
    async with (
        running_dovecot(capability="IMAP4rev1 LITERAL+ UIDPLUS") as plain,
        receiving(mailbox(plain, user, poll_seconds=0.1)) as gateway,
    ):
        await gateway.listening()
        assert not gateway.client.readers[0].state.pushes
        await plain.append(user, mail("polled"))
        assert text_of(await gateway.next()) == "polled"


async def test_after_an_outage_everything_is_there_once(dovecot: Dovecot, user: str) -> None:
    async with receiving(mailbox(dovecot, user)) as gateway:
        await dovecot.append(user, mail("before", id_="0@x"))
        assert text_of(await gateway.next()) == "before"
        await gateway.listening()
        await marked(dovecot, user, 1)
        await dovecot.stop()
        await until(lambda: not gateway.client.readers[0].state.connected)
        await dovecot.start()
        await dovecot.append(user, *(mail(f"missed {number}", id_=f"{number}@x") for number in range(1, 6)))
        assert [text_of(await gateway.next()) for _ in range(5)] == [f"missed {number}" for number in range(1, 6)]
        await gateway.listening()
        await marked(dovecot, user, 6)


async def test_mail_of_a_year_without_us_is_there(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, *(mail(f"old {number}", id_=f"{number}@x") for number in range(30)))
    async with receiving(mailbox(dovecot, user)) as gateway:
        assert [text_of(await gateway.next()) for _ in range(30)] == [f"old {number}" for number in range(30)]


async def test_mail_from_before_the_day_is_left_alone(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, mail("today"))
    async with receiving(mailbox(dovecot, user, since="2100-01-01")) as gateway:
        await gateway.listening()
        assert gateway.client.readers[0].state.taken == 0


async def test_a_stop_between_durable_and_marked_brings_the_same_mail_again_as_the_same_event(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, mail("twice"))
    keys = []
    for _ in range(2):
        async with receiving(mailbox(dovecot, user)) as gateway:
            # Never came back: the gateway died after its commit.
            (event,) = parse(await gateway.next(), mail_settings())
            keys.append(event.key)
    assert keys[0] == keys[1]
    assert not any(KEYWORD in flags for flags in (await dovecot.flags(user)).values())


async def test_a_new_uidvalidity_costs_a_second_look_and_no_mail(dovecot: Dovecot, user: str) -> None:
    await dovecot.by_hand(user, ("create_folder", "Support"))
    await dovecot.append(user, mail("one", id_="1@x"), folder="Support")
    box = mailbox(dovecot, user, folders=["Support"])
    async with receiving(box) as gateway:
        (first,) = parse(await gateway.next(), mail_settings())
        await gateway.listening()
        await marked(dovecot, user, 1, folder="Support")
    await dovecot.by_hand(user, ("delete_folder", "Support"), ("create_folder", "Support"))
    await dovecot.append(user, mail("one", id_="1@x"), mail("two", id_="2@x"), folder="Support")
    async with receiving(box) as gateway:
        (again,) = parse(await gateway.next(), mail_settings())
        (second,) = parse(await gateway.next(), mail_settings())
    assert again.key == first.key
    assert second.key != first.key


async def test_several_mailboxes_and_folders_and_one_mail_in_two_of_them(dovecot: Dovecot, user: str) -> None:
    other = f"{user}2"
    await dovecot.by_hand(user, ("create_folder", "Shop"))
    await dovecot.append(user, mail("inbox", id_="1@x"))
    await dovecot.append(user, mail("folder", id_="2@x"), folder="Shop")
    await dovecot.append(other, mail("inbox", id_="1@x"), mail("other", id_="3@x"))
    async with receiving(mailbox(dovecot, user, folders=["INBOX", "Shop"]), mailbox(dovecot, other)) as gateway:
        requests = [await gateway.next() for _ in range(4)]
    assert sorted(map(text_of, requests)) == ["folder", "inbox", "inbox", "other"]
    assert len({parse(one, mail_settings())[0].key for one in requests}) == 3


@pytest.mark.parametrize("mark", ["seen", "move"])
async def test_other_marks(dovecot: Dovecot, user: str, mark: str) -> None:
    more = {"mark": mark, "move_to": "Done"} if mark == "move" else {"mark": mark}
    await dovecot.by_hand(user, ("create_folder", "Done"))
    await dovecot.append(user, mail("one"))
    async with receiving(mailbox(dovecot, user, **more)) as gateway:
        assert text_of(await gateway.next()) == "one"
        await gateway.listening()
        if mark == "seen":
            await marked(dovecot, user, 1, b"\\Seen")
        else:
            assert len(await dovecot.flags(user, "Done")) == 1
            assert await dovecot.flags(user) == {}


async def test_of_a_mail_that_is_too_large_the_beginning_is_taken(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, mail("the words\n" + "x" * 200_000))
    async with receiving(mailbox(dovecot, user), max_bytes=65536) as gateway:
        request = await gateway.next()
    assert len(request.body) <= 65536
    assert int(request.headers[TRUE_SIZE]) > 200_000
    (event,) = parse(request, mail_settings(max_bytes=65536))
    assert '"oversize"' in repr(event).replace("'", '"')


async def test_a_poison_mail_does_not_stop_the_ones_behind_it(dovecot: Dovecot, user: str) -> None:
    poison = b"Subject: deep\r\n" + b"X: y\r\n" * 2000 + b"\r\n\r\n"
    await dovecot.append(user, poison, mail("after"))
    async with receiving(mailbox(dovecot, user)) as gateway:
        assert (await gateway.next()).body.startswith(b"Subject: deep")
        assert text_of(await gateway.next()) == "after"
        await marked(dovecot, user, 1)


async def test_a_wrong_password_is_told_and_not_hammered(dovecot: Dovecot, user: str, caplog: pytest.LogCaptureFixture) -> None:
    box = {**mailbox(dovecot, user), "password": "wrong-canary-password"}
    told: list[tuple[str, bool, str, str]] = []

    def report(kind: Literal["token", "receiver"], *, ok: bool, code: str = "", detail: str = "") -> None:
        told.append((kind, ok, code, detail))

    async with receiving(box, report=report) as gateway:
        waiting = asyncio.create_task(gateway.next())
        await until(lambda: bool(gateway.client.readers) and gateway.client.readers[0].state.problem == "login refused")
        await until(lambda: ("receiver", False, "auth", "login refused") in told)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        findings = await gateway.client.probe("https://shop.example/hook")
    assert any(one.component is Component.AUTH and not one.ok and one.remedy for one in findings)
    assert "wrong-canary-password" not in caplog.text + repr(findings)


async def test_a_probe_of_a_mailbox_that_works(dovecot: Dovecot, user: str) -> None:
    await dovecot.append(user, mail("waits"))
    async with mail_client(mail_settings(mailboxes=[mailbox(dovecot, user, folders=["INBOX", "Nowhere"])])) as client:
        findings = await client.probe("https://shop.example/hook")
    told = {one.detail: one.ok for one in findings}
    assert told[f"127.0.0.1: logged in as {user}"]
    assert told["INBOX: 1 mails, 1 to be taken; the server pushes new mail"]
    assert told["there is no folder 'Nowhere'"] is False


async def test_a_server_that_is_away_gives_no_tight_loop_and_no_thread_is_left(user: str) -> None:
    box = {"host": "127.0.0.1", "port": 9, "security": "none", "username": user, "password": "x", "since": "2026-01-01"}
    async with receiving(box) as gateway:
        waiting = asyncio.create_task(gateway.next())
        await until(lambda: bool(gateway.client.readers) and bool(gateway.client.readers[0].state.problem))
        (reader,) = gateway.client.readers
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    assert not reader._thread.is_alive()
