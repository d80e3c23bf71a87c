"""A mail whose sending had no answer is looked for in the folder for sent mail: found, not there, or nobody can say."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config import ConfigError
from connectors.abilities import Component, SendFinder
from connectors.content import Text
from connectors.contract import Call, Failure, Outbound, Sent
from connectors.email import CONNECTOR
from connectors.email.client import FilingClient, open_client
from connectors.email.outbound import read_reply, render
from connectors.email.settings import Settings
from connectors.errors import FailureKind
from connectors.simulator import Person
from tests.support.dovecot import running_dovecot
from tests.support.mail import mail, mail_client, mail_settings, mailbox
from tests.support.mail_world import MailWorld, mail_world

ADA = "ada@example.org"
Found = Sequence[str] | None


@pytest.fixture
async def world() -> AsyncIterator[MailWorld]:
    async with mail_world() as found:
        found.world.phone.add_person(Person(id=ADA, name="Ada"))
        yield found


def answer(settings: Settings, id_: str = "msg_one") -> Call:
    (call,) = render(Outbound(id=id_, to=ADA, parts=(Text(text="Yes."),), author="Ben"), settings)
    return call


def id_of(call: Call) -> str:
    return str(dict(call.json["headers"])["Message-ID"]).strip("<>")


def shop(world: MailWorld, *boxes: dict[str, Any]) -> Settings:
    return mail_settings(mailboxes=list(boxes or (world.mailbox(),)), smtp=world.smtp(connections=1))


async def find(settings: Settings, call: Call, since: datetime | None = None) -> Found:
    async with mail_client(settings) as plain:
        client = FilingClient(settings, plain._context)
        return await client.find_sent(call, since or datetime.now(UTC) - timedelta(minutes=1))


async def test_only_with_a_mailbox_anything_can_be_found(world: MailWorld) -> None:
    async with mail_client(shop(world)) as plain:
        assert isinstance(open_client(shop(world), plain._context), SendFinder)
        assert not isinstance(open_client(mail_settings(), plain._context), SendFinder)
    assert CONNECTOR.client is open_client


async def test_a_lost_answer_is_found(world: MailWorld) -> None:
    settings = shop(world)
    await world.fault("reset_after")
    async with mail_client(settings) as client:
        call = answer(settings)
        outcome = read_reply(call, await client.send(call), settings)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNKNOWN
    assert await find(settings, call) == [id_of(call)]
    # Sent once more after all: then it was twice.
    async with mail_client(settings) as client:
        assert isinstance(read_reply(call, await client.send(call), settings), Sent)
    assert await find(settings, call) == [id_of(call)] * 2


async def test_what_is_not_there_was_not_sent_where_the_server_files_what_it_sends(world: MailWorld) -> None:
    settings = shop(world)
    one, other = answer(settings), answer(settings, "msg_two")
    assert await find(settings, one) is None
    # Somebody else's mail proves nothing, nor does one with an id that only looks like ours.
    forged = id_of(one).replace(".", ".a", 1)
    world.put(mail(id_="0@shop.example"), mail(id_=forged), folder="Sent")
    assert await find(settings, one) is None
    async with mail_client(settings) as client:
        assert isinstance(read_reply(other, await client.send(other), settings), Sent)
    assert await find(settings, one) == []
    assert await find(settings, other) == [id_of(other)]


async def test_a_server_that_files_nothing_cannot_say(world: MailWorld) -> None:
    settings = shop(world)
    world.world.files_sent = False
    call = answer(settings)
    async with mail_client(settings) as client:
        assert isinstance(read_reply(call, await client.send(call), settings), Sent)
    assert await find(settings, call) is None


@pytest.mark.parametrize(("fault", "on"), [("error", "login"), ("throttled", "login"), ("reset_after", "connect"), ("500", "search")])
async def test_who_cannot_be_asked_is_not_believed(world: MailWorld, fault: str, on: str) -> None:
    """One of two mailboxes is away: that nothing is in the other says nothing."""
    two = shop(world, world.mailbox(), world.mailbox(sent_folder="Archive"))
    call, other = answer(two), answer(two, "msg_two")
    async with mail_client(two) as client:
        assert isinstance(read_reply(other, await client.send(other), two), Sent)
    assert await find(two, call) == []
    await world.fault(fault, on)
    assert await find(two, call) is None
    await world.fault(fault, on)
    world.put(*(one.raw for one in world.folder("Sent").mails.values()), folder="Archive")
    assert await find(two, other) == [id_of(other)]


async def test_a_folder_of_any_name(world: MailWorld) -> None:
    settings = shop(world, world.mailbox(sent_folder="Out"))
    assert await find(settings, answer(settings)) is None
    async with mail_client(settings) as client:
        (finding,) = [one for one in await client.probe("https://shop.example/hook") if not one.ok]
    assert (finding.component, finding.detail) == (Component.OUTBOUND, "there is no folder 'Out'")
    world.world.box.create("Out")
    world.put(mail(id_=id_of(answer(settings))), folder="Out")
    assert await find(settings, answer(settings)) == [id_of(answer(settings))]
    with pytest.raises(ConfigError, match="sent_folder must not be one of the folders"):
        shop(world, world.mailbox(folders=["INBOX", "Out"], sent_folder="Out"))


async def test_a_login_by_token(world: MailWorld) -> None:
    settings = shop(world, world.oauth())
    world.put(mail(id_=id_of(answer(settings))), folder="Sent")
    assert await find(settings, answer(settings)) == [id_of(answer(settings))]
    wrong = shop(world, world.mailbox(oauth={**world.oauth()["oauth"], "refresh_token": "revoked"}, password=""))
    assert await find(wrong, answer(wrong)) is None


async def test_only_what_is_as_young_as_the_attempt(world: MailWorld) -> None:
    settings = shop(world)
    world.put(mail(id_=id_of(answer(settings))), folder="Sent")
    assert await find(settings, answer(settings), datetime.now(UTC) + timedelta(days=3)) == []


async def test_on_a_real_server() -> None:
    """Its folders bear no marks: the usual name is found."""
    async with running_dovecot() as dovecot:
        settings = mail_settings(mailboxes=[mailbox(dovecot, "sent")])
        one, other = answer(settings), answer(settings, "msg_two")
        assert await find(settings, one) is None
        await dovecot.by_hand("sent", ("create_folder", "Sent"))
        assert await find(settings, one) is None
        await dovecot.append("sent", mail(id_=id_of(other)), folder="Sent")
        assert await find(settings, one) == []
        assert await find(settings, other) == [id_of(other)]
