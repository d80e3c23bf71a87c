"""The connector's own client on the simulated mailbox: pushed mail, logins, and each fault that a mailbox can have."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import uvloop

from connectors.abilities import Component
from connectors.contract import Request
from connectors.email.client import EmailClient
from connectors.email.imap import KEYWORD, FolderReader
from connectors.email.inbound import parse
from tests.support.mail import ADDRESS, QUICK, mail, mail_client, mail_settings
from tests.support.mail_world import PASSWORD, MailWorld, mail_world
from tests.support.waiting import DEADLINE, until


@pytest.fixture
async def world() -> AsyncIterator[MailWorld]:
    async with mail_world() as found:
        yield found


@dataclass
class Taking:
    """A client that takes all there is; each is durable at once."""

    client: EmailClient
    taken: list[Request] = field(default_factory=list)
    told: list[tuple[bool, str, str]] = field(default_factory=list)

    @property
    def reader(self) -> FolderReader:
        return self.client.readers[0]

    def texts(self) -> list[str]:
        return [one.body.partition(b"\r\n\r\n")[2].decode().strip() for one in self.taken]

    async def listening(self) -> None:
        await until(lambda: bool(self.client.readers) and self.reader.state.listening.is_set())

    async def run(self) -> None:
        async for request in self.client.receive():
            self.taken.append(request)


@contextlib.asynccontextmanager
async def taking(box: dict[str, Any], *, idle: float = 600.0, read: float = 10.0) -> AsyncIterator[Taking]:
    """IDLE lasts far beyond the test unless it says otherwise: what comes is pushed."""
    told: list[tuple[bool, str, str]] = []

    def report(kind: Literal["token", "receiver"], *, ok: bool, code: str = "", detail: str = "") -> None:
        assert kind == "receiver"
        told.append((ok, code, detail))

    async with mail_client(mail_settings(mailboxes=[box]), replace(QUICK, idle=idle, read=read, connect=read), report) as client:
        found = Taking(client, told=told)
        task = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def marked(world: MailWorld, folder: str = "INBOX") -> int:
    return sum(one.has(KEYWORD.decode()) for one in world.folder(folder).mails.values())


@pytest.mark.parametrize("by", [MailWorld.mailbox, MailWorld.oauth], ids=["password", "token"])
async def test_what_waits_and_what_comes(world: MailWorld, by: Callable[[MailWorld], dict[str, Any]]) -> None:
    world.put(mail("one", id_="1@x"), mail("two", id_="2@x"))
    async with taking(by(world)) as found:
        await found.listening()
        assert found.texts() == ["one", "two"]
        assert found.reader.state.pushes
        world.put(mail("three", id_="3@x"))
        await until(lambda: found.texts() == ["one", "two", "three"])
        await until(lambda: marked(world) == 3)
    assert found.told == [(True, "", "")]


async def test_no_push_is_lost_between_a_look_and_the_wait(world: MailWorld) -> None:
    async with taking(world.mailbox()) as found:
        for number in range(100):
            world.put(mail(f"{number}", id_=f"{number}@x"))
            if number % 7 == 0:
                await until(lambda number=number: len(found.taken) >= number)  # type: ignore[misc]
        await until(lambda: found.texts() == [str(number) for number in range(100)])


@pytest.mark.parametrize("mark", ["seen", "move", "keyword that is not permitted"])
async def test_other_marks(world: MailWorld, mark: str) -> None:
    more = {"mark": "move", "move_to": "Archive"} if mark == "move" else {"mark": mark} if mark == "seen" else {}
    await world.control("mailbox", {"limits": {"keywords": mark == "seen"}})
    world.put(mail("one"))
    async with taking(world.mailbox(**more)) as found:
        await found.listening()
    assert found.texts() == ["one"]
    if mark == "move":
        assert (len(world.folder().mails), len(world.folder("Archive").mails)) == (0, 1)
    else:
        assert [one.flags for one in world.folder().mails.values()] == [frozenset({"\\Seen"})]


async def test_a_mailbox_that_cannot_push_is_polled(world: MailWorld) -> None:
    await world.control("mailbox", {"limits": {"idle": False}})
    async with taking(world.mailbox(poll_seconds=0.05)) as found:
        await found.listening()
        world.put(mail("polled"))
        await until(lambda: found.texts() == ["polled"])


# --- faults ---------------------------------------------------------------------------------------------------------------


async def test_a_wrong_password(world: MailWorld) -> None:
    world.put(mail("one"))
    async with taking(world.mailbox(password="canary-wrong-0123")) as found:
        await until(lambda: (False, "auth", "login refused") in found.told)
        assert not found.taken
        findings = await found.client.probe("https://shop.example/hook")
    assert [one.ok for one in findings if one.component is Component.AUTH] == [False]
    assert "canary-wrong-0123" not in repr(findings) + repr(found.told)


async def test_a_password_that_is_refused_once_is_tried_again(world: MailWorld) -> None:
    world.put(mail("one"))
    await world.fault("error", "login")
    async with taking(world.mailbox()) as found:
        await until(lambda: found.texts() == ["one"])
        await until(lambda: found.told == [(False, "auth", "login refused"), (True, "", "")])


@pytest.mark.parametrize(
    ("fault", "on"),
    [
        ("throttled", "login"),
        ("500", "login"),
        ("throttled", "connect"),
        ("throttled", "select"),
        ("500", "search"),
        ("garbage", "connect"),
    ],
)
async def test_a_busy_server_is_no_wrong_password(world: MailWorld, fault: str, on: str) -> None:
    world.put(mail("one"))
    await world.fault(fault, on, count=2)
    async with taking(world.mailbox()) as found:
        await until(lambda: found.texts() == ["one"])
        await found.listening()
    assert [code for ok, code, _ in found.told if not ok] == ["", ""]
    assert found.told[-1] == (True, "", "")


async def test_a_busy_server_is_told_as_such_to_who_probes(world: MailWorld) -> None:
    await world.fault("throttled", "login")
    async with mail_client(mail_settings(mailboxes=[world.mailbox()])) as client:
        findings = await client.probe("https://shop.example/hook")
    (found,) = [one for one in findings if "busy" in one.detail]
    assert (found.component, found.ok) == (Component.INBOUND, False)
    assert not [one for one in findings if one.component is Component.AUTH]


async def test_too_many_connections(world: MailWorld) -> None:
    await world.control("mailbox", {"limits": {"connections": 0}})
    async with taking(world.mailbox()) as found:
        await until(lambda: any(detail == "INBOX: the server is busy" for _, _, detail in found.told))
        world.put(mail("one"))
        await world.control("mailbox", {"limits": {"connections": 1}})
        await until(lambda: found.texts() == ["one"])


@pytest.mark.parametrize("on", ["login", "select", "search", "fetch", "store", "idle"])
@pytest.mark.parametrize("fault", ["reset_after", "garbage"])
async def test_a_line_that_breaks_at_any_moment(world: MailWorld, fault: str, on: str) -> None:
    """At worst a mail is taken twice, and is the same event."""
    world.put(mail("one", id_="1@x"), mail("two", id_="2@x"))
    await world.fault(fault, on)
    async with taking(world.mailbox()) as found:
        await until(lambda: set(found.texts()) == {"one", "two"} and marked(world) == 2)
        await found.listening()
        world.put(mail("three", id_="3@x"))
        await until(lambda: "three" in found.texts())
    settings = mail_settings()
    keys = {event.key for one in found.taken for event in parse(one, settings)}
    assert len(keys) == 3
    assert all(one.body.endswith(b"\r\n") for one in found.taken)


async def test_an_idle_that_is_silently_dead(world: MailWorld) -> None:
    """Nothing is pushed, nothing is answered; the client asks again by itself after its own time."""
    await world.fault("hang", "idle", seconds=60.0)
    async with taking(world.mailbox(), idle=0.3, read=0.3) as found:
        await found.listening()
        world.put(mail("unannounced"))
        await until(lambda: found.texts() == ["unannounced"])
        assert found.told == [(True, "", "")]


@pytest.mark.parametrize("on", ["connect", "login", "search", "fetch"])
async def test_a_server_that_says_nothing(world: MailWorld, on: str) -> None:
    await world.fault("hang", on, seconds=60.0)
    world.put(mail("one"))
    async with taking(world.mailbox(), read=0.3) as found:
        await until(lambda: found.texts() == ["one"])


async def test_a_new_uidvalidity_costs_a_second_look_and_no_mail(world: MailWorld) -> None:
    world.put(mail("one", id_="1@x"))
    async with taking(world.mailbox()) as found:
        await found.listening()
        await until(lambda: marked(world) == 1)
        await world.control("mailbox", {"renew": "INBOX"})
        world.put(mail("two", id_="2@x"))
        await until(lambda: found.texts() == ["one", "one", "two"])
        await until(lambda: marked(world) == 2)
    settings = mail_settings()
    assert len({event.key for one in found.taken for event in parse(one, settings)}) == 2


async def test_the_end_of_one_connection_is_no_failure_and_of_several_it_is(world: MailWorld) -> None:
    """Servers end connections now and then. Whoever is told of each, soon listens no more."""
    async with taking(world.mailbox()) as found:
        await found.listening()
        for number, failures in ((1, 0), (2, 1)):
            await world.control("mailbox", {"cut": True})
            await until(lambda: not found.reader.state.listening.is_set())
            await found.listening()
            world.put(mail(f"{number}", id_=f"{number}@x"))
            await until(lambda number=number: len(found.taken) == number)  # type: ignore[misc]
            assert sum(not ok for ok, _, _ in found.told) == failures
        await until(lambda: found.told[-1][0])


async def test_a_client_stops_at_once_in_the_middle_of_a_login(world: MailWorld) -> None:
    await world.fault("hang", "login", seconds=600.0)
    async with asyncio.timeout(DEADLINE / 2):
        async with taking(world.mailbox(), read=60.0) as found:
            await until(lambda: bool(found.client.readers) and found.reader._client is not None)
        assert not found.taken


async def test_the_simulator_stops_while_clients_wait() -> None:
    """Those in IDLE, and those whom a fault keeps waiting."""
    async with contextlib.AsyncExitStack() as clients:
        async with mail_world() as world:
            found = await clients.enter_async_context(taking(world.mailbox()))
            await found.listening()
            await world.fault("hang", "login", seconds=600.0)
            other = await clients.enter_async_context(taking(world.mailbox()))
            await until(lambda: bool(other.client.readers) and other.reader._client is not None)
        async with asyncio.timeout(DEADLINE / 2):
            await until(lambda: bool(found.reader.state.problem) and bool(other.reader.state.problem))


def test_the_simulator_stops_in_silence_on_the_demos_own_loop() -> None:
    """Which takes offence at words for a line that was cut."""
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        lines = []
        async with mail_world() as world:
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", world.world.imap_port)
                writer.write(b"a LOGIN %b %b\r\nb SELECT INBOX\r\nc IDLE\r\n" % (ADDRESS.encode(), PASSWORD.encode()))
                while b"idling" not in await reader.readline():
                    pass
                lines.append(writer)
                world.put(mail("news"))
        for writer in lines:
            writer.close()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    assert complaints == []
