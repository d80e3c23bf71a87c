"""The mail world against a whole gateway: a person writes, the shop answers, and things go wrong to order."""

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config import ChannelConfig
from connectors.email.imap import KEYWORD
from gateway.work import calling, doubt
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.mail import BASE
from tests.support.mail_world import MailWorld, mail_world
from tests.support.waiting import until


@dataclass
class Town:
    """A gateway with its people, and the world that writes to it."""

    cast: Cast
    mail: MailWorld

    async def control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self.mail.control(path, body)

    async def says(self, person: str, **message: Any) -> dict[str, Any]:
        async with self.cast.sue.feed() as feed:
            await self.control(f"people/{person}/messages", message)
            frame = await feed.until(lambda one: one["type"] == "message.added" and one["data"]["message"]["kind"] == "inbound")
        data: dict[str, Any] = frame["data"]
        return data

    async def answers(self, seen: dict[str, Any], text: str, status: str = "sent") -> dict[str, Any]:
        async with self.cast.sue.feed() as feed:
            posted = await self.cast.sue.post(f"/conversations/{seen['conversation']['id']}/messages", {"text": text})
            assert posted.status == 201, posted.raw
            frame = await feed.until(lambda one: one["type"] == "message.status_changed" and one["data"]["message"]["status"] == status)
        message: dict[str, Any] = frame["data"]["message"]
        return message

    def read_by(self, person: str) -> list[str]:
        return self.mail.read_by(person)


@contextlib.asynccontextmanager
async def opened(tmp_path: Path, *intakes: str) -> AsyncIterator[Town]:
    """A gateway that gets its mail by ``imap``, by ``webhook``, or by both."""
    async with mail_world() as mail:
        settings = {**BASE, "smtp": mail.smtp(), **({"mailboxes": [mail.mailbox()]} if "imap" in intakes else {})}
        channel = ChannelConfig(kind="email", title="Mail", settings=settings)
        async with running_gateway(gateway_config(tmp_path, {"web": CHANNELS["web"], "mail": channel})) as gateway:
            mail.world.webhook = f"{gateway.url}/webhooks/mail" if "webhook" in intakes else ""
            yield Town(await assemble(gateway), mail)


@pytest.fixture(params=["imap", "webhook"])
async def town(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    async with opened(tmp_path, request.param) as found:
        yield found


async def test_a_conversation_with_a_file(town: Town) -> None:
    cleo = (await town.control("people", {"name": "Cleo Bianchi"}))["id"]
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 32).decode()
    seen = await town.says(
        cleo, subject="Red shoes", text="Are they back?", files=[{"data": picture, "mime": "image/png", "name": "shoe.png"}]
    )
    assert [part["type"] for part in seen["message"]["parts"]] == ["envelope", "text", "media"]
    await town.answers(seen, "Yes, in 42.")
    await until(lambda: town.read_by(cleo) == ["Yes, in 42."])
    again = await town.says(cleo, text="I take them!")
    assert again["conversation"]["id"] == seen["conversation"]["id"]
    assert again["message"]["reply_to"]
    (line,) = (one for one in town.mail.world.phone.lines.values() if one.from_shop)
    assert line.subject == "Re: Red shoes"


async def test_a_lost_network_holds_the_mail_back(town: Town) -> None:
    cleo = (await town.control("people", {"name": "Cleo"}))["id"]
    await town.control(f"people/{cleo}/network", {"online": False})
    await town.control(f"people/{cleo}/messages", {"text": "later"})
    async with town.cast.sue.feed() as feed:
        await town.control(f"people/{cleo}/network", {"online": True})
        await feed.until(lambda one: one["type"] == "message.added")


async def test_faults_and_their_consequences(town: Town) -> None:
    cleo = (await town.control("people", {"name": "Cleo"}))["id"]
    seen = await town.says(cleo, text="hi")
    await town.control("faults", {"kind": "500"})
    await town.answers(seen, "after a greylisting")
    await town.control("faults", {"kind": "later"})
    await town.answers(seen, "bounces later", status="failed")
    await town.control(f"people/{cleo}/block", {"blocked": True})
    await town.answers(seen, "to nobody", status="failed")
    assert town.read_by(cleo) == ["after a greylisting", "bounces later"]


async def test_what_comes_by_the_mailbox_and_by_the_webhook_is_one_message(tmp_path: Path) -> None:
    async with opened(tmp_path, "imap", "webhook") as town:
        cleo = (await town.control("people", {"name": "Cleo"}))["id"]
        seen = await town.says(cleo, text="once")
        await until(lambda: all(one.has(KEYWORD.decode()) for one in town.mail.folder().mails.values()))
        again = await town.says(cleo, text="twice?")
        listed = await town.cast.sue.get(f"/conversations/{seen['conversation']['id']}/messages?limit=200")
        assert again["conversation"]["id"] == seen["conversation"]["id"]
        assert [one["parts"][-1]["text"] for one in listed.json["items"] if one["kind"] == "inbound"] == ["once", "twice?"]


async def test_a_bounce_comes_through_the_mailbox(tmp_path: Path) -> None:
    async with opened(tmp_path, "imap") as town:
        cleo = (await town.control("people", {"name": "Cleo"}))["id"]
        seen = await town.says(cleo, text="hi")
        await town.mail.fault("later")
        await town.answers(seen, "bounces later", status="failed")
        assert [one.header("subject") for one in town.mail.folder().mails.values()][-1] == "Undelivered"


@pytest.mark.parametrize("files_sent", [True, False], ids=["the server files what it sends", "it does not"])
async def test_an_answer_that_was_lost_after_the_mail_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, files_sent: bool
) -> None:
    """The mail in the folder for sent mail is adopted, and no second one goes out; without such a folder one does, and says so."""
    for module in (calling, doubt):
        monkeypatch.setattr(module, "GRACE", timedelta(seconds=0.3))
    async with opened(tmp_path, "imap") as town:
        town.mail.world.files_sent = files_sent
        cleo = (await town.control("people", {"name": "Cleo"}))["id"]
        seen = await town.says(cleo, text="hi")
        await town.mail.fault("reset_after")
        message = await town.answers(seen, "once, please")
        assert bool(message.get("possible_duplicate")) is not files_sent
        assert len(town.mail.world.envelopes) == (1 if files_sent else 2)
        assert town.read_by(cleo) == ["once, please"]
        # The answer to it finds its thread.
        assert (await town.says(cleo, text="thanks"))["message"]["reply_to"] == message["id"]


async def test_an_answer_that_was_lost_before_the_mail_was_taken_goes_out_without_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (calling, doubt):
        monkeypatch.setattr(module, "GRACE", timedelta(seconds=0.3))
    async with opened(tmp_path, "imap") as town:
        cleo = (await town.control("people", {"name": "Cleo"}))["id"]
        seen = await town.says(cleo, text="hi")
        await town.answers(seen, "first")
        await town.mail.fault("hang", seconds=0.1)
        message = await town.answers(seen, "second")
        assert not message.get("possible_duplicate")
        assert town.read_by(cleo) == ["first", "second"]
