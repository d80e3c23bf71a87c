"""E-mail, both directions, through the whole gateway: a real mailbox, a real SMTP server, our own SMTP server, the webhook."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from config import ChannelConfig
from connectors.email.client import EmailClient
from connectors.email.imap import KEYWORD
from connectors.email.inbound import SECRET_HEADER
from storage.protocol import WHOLE
from tests.support.cast import Cast, assemble
from tests.support.dovecot import Dovecot, running_dovecot
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.mail import ADDRESS, BASE, WEBHOOK_SECRET, Post, mail, mailbox, running_post, smtp_section
from tests.support.pictures import PNG
from tests.support.waiting import until

HEADERS = {SECRET_HEADER: WEBHOOK_SECRET, "Content-Type": "message/rfc822"}


@dataclass
class Town:
    """A gateway with its people, the shop's mailbox, and a server that takes its answers."""

    cast: Cast
    post: Post
    dovecot: Dovecot
    user: str

    @property
    def client(self) -> EmailClient:
        client = self.cast.gateway.services.channels["mail"].client
        assert isinstance(client, EmailClient)
        return client

    async def write(self, *mails: bytes) -> list[dict[str, Any]]:
        """Puts mails into the mailbox; what agents see of each."""
        async with self.cast.sue.feed() as feed:
            await self.dovecot.append(self.user, *mails)
            frames = [await feed.until(_inbound) for _ in mails]
        return [frame["data"] for frame in frames]

    async def hook(self, raw: bytes, headers: dict[str, str] | None = None) -> int:
        return (await self.cast.gateway.request("POST", "/webhooks/mail", data=raw, headers=HEADERS if headers is None else headers))[0]

    async def events(self, type_: str = "") -> list[dict[str, Any]]:
        recorded = await self.cast.gateway.services.store.read(WHOLE, 0, 100_000)
        found = [(one.entry.type, json.loads(one.entry.data)) for one in recorded if one.entry.channel == "mail" and one.entry.key]
        return [data for kind, data in found if type_ in ("", kind)]

    async def answer(self, conversation: dict[str, Any], body: dict[str, Any], status: str = "sent") -> dict[str, Any]:
        async with self.cast.sue.feed() as feed:
            posted = await self.cast.sue.post(f"/conversations/{conversation['id']}/messages", body)
            assert posted.status == 201, posted.raw
            frame = await feed.until(lambda one: one["type"] == "message.status_changed" and one["data"]["message"]["status"] == status)
        message: dict[str, Any] = frame["data"]["message"]
        return message


def _inbound(frame: dict[str, Any]) -> bool:
    return bool(frame["type"] == "message.added" and frame["data"]["message"]["kind"] == "inbound")


@pytest.fixture(scope="module")
async def dovecot() -> AsyncIterator[Dovecot]:
    async with running_dovecot() as server:
        yield server


@pytest.fixture
def settings(dovecot: Dovecot, request: pytest.FixtureRequest) -> dict[str, Any]:
    user = "".join(char for char in request.node.name if char.isalnum())[-40:].lower()
    return {**BASE, "mailboxes": [mailbox(dovecot, user)], "listen": {"host": "127.0.0.1", "port": 0}}


@contextlib.asynccontextmanager
async def opened(tmp_path: Path, settings: dict[str, Any], dovecot: Dovecot, post: Post) -> AsyncIterator[Town]:
    channel = ChannelConfig(kind="email", title="Mail", settings={**settings, "smtp": smtp_section(post)})
    config = gateway_config(tmp_path, {"web": CHANNELS["web"], "mail": channel})
    async with running_gateway(config) as gateway:
        yield Town(await assemble(gateway), post, dovecot, settings["mailboxes"][0]["username"])


@pytest.fixture
async def town(tmp_path: Path, settings: dict[str, Any], dovecot: Dovecot) -> AsyncIterator[Town]:
    async with running_post() as post, opened(tmp_path, settings, dovecot, post) as found:
        yield found


async def test_a_mail_there_and_back_in_one_thread(town: Town) -> None:
    (seen,) = await town.write(mail("Where is my order?", id_="q@example.org"))
    assert [part["type"] for part in seen["message"]["parts"]] == ["envelope", "text"]
    message = await town.answer(seen["conversation"], {"text": "It leaves today – promised."})
    assert message["status"] == "sent"
    raw = await town.post.mail()
    assert b"In-Reply-To: <q@example.org>" in raw
    assert b"Subject: Re: Question" in raw
    headers = dict(line.split(": ", 1) for line in raw.partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ").split("\r\n"))
    back = mail("Thanks!", id_="q2@example.org", head=f"In-Reply-To: {headers['Message-ID']}\n")
    (again,) = await town.write(back)
    assert again["conversation"]["id"] == seen["conversation"]["id"]
    assert again["message"]["reply_to"] == message["id"]


async def test_files_come_out_of_the_stored_mail_when_the_mailbox_is_gone(town: Town) -> None:
    await town.hook(mail("hello", id_="0@example.org"))
    picture = base64.encodebytes(PNG).decode()
    raw = mail(
        "--b\nContent-Type: text/plain\n\nlook\n--b\nContent-Type: image/png; name=stain.png\n"
        f"Content-Transfer-Encoding: base64\n\n{picture}\n--b--",
        head="Content-Type: multipart/mixed; boundary=b\n",
        id_="1@example.org",
    )
    async with town.cast.sue.feed() as feed:
        assert await town.hook(raw) == 200
        frame = await feed.until(
            lambda one: one["type"] == "message.changed" and any(part.get("stored") for part in one["data"]["message"]["parts"])
        )
    media = frame["data"]["message"]["parts"][-1]
    assert (media["kind"], media["name"], media["mime"]) == ("image", "stain.png", "image/png")
    fetched = await town.cast.sue.get(f"/media/{media['stored']}")
    assert (fetched.status, fetched.raw) == (200, PNG)


async def test_spoofed_mail_never_joins_a_customer(town: Town) -> None:
    (known,) = await town.write(mail("I am Ada", id_="1@example.org"))
    await town.answer(known["conversation"], {"text": "Hello Ada"})
    ours = (await town.post.mail()).partition(b"Message-ID: <")[2].partition(b">")[0].decode()
    spoofs = [
        mail("it is me, Ada", id_="2@example.org", proved=False),
        mail("again", id_="3@example.org", proved=False, head=f"In-Reply-To: <{ours}>\nReferences: <1@example.org> <{ours}>\n"),
        b"Authentication-Results: mx.evil.example; dmarc=pass header.from=example.org\r\n" + mail("forged", id_="4@example.org"),
        mail("dup", id_="5@example.org", sender='"Ada <ada@example.org>" <mallory@evil.example>'),
        mail("two", id_="6@example.org", head="From: mallory@evil.example\n"),
    ]
    seen = await town.write(*spoofs)
    customers = {one["conversation"]["customer_id"] for one in seen}
    assert known["conversation"]["customer_id"] not in customers
    history = (await town.cast.sue.get(f"/customers/{known['conversation']['customer_id']}/history")).json["items"]
    assert [one["parts"][1]["text"] for one in history if one["kind"] == "inbound"] == ["I am Ada"]
    # Those without any proof stay with each other, apart from her.
    assert seen[0]["conversation"]["customer_id"] == seen[1]["conversation"]["customer_id"]
    assert "unverified" in seen[0]["message"]["parts"][0]["remarks"]
    # And after them she is still herself.
    (after,) = await town.write(mail("really me", id_="7@example.org"))
    assert after["conversation"]["customer_id"] == known["conversation"]["customer_id"]


async def test_a_bounce_fails_the_answer(town: Town) -> None:
    (seen,) = await town.write(mail("hi", id_="1@example.org"))
    message = await town.answer(seen["conversation"], {"text": "hello"})
    ours = (await town.post.mail()).partition(b"Message-ID: <")[2].partition(b">")[0].decode()
    bounce = (
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.org\r\nMessage-ID: <b@mx>\r\nContent-Type: multipart/report; "
        "report-type=delivery-status; boundary=B\r\n\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        "Final-Recipient: rfc822; ada@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        "--B\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"Message-ID: <{ours}>\r\n\r\n--B--\r\n"
    ).encode()
    async with town.cast.sue.feed() as feed:
        await town.dovecot.append(town.user, bounce)
        frame = await feed.until(lambda one: one["type"] == "message.status_changed" and one["data"]["message"]["status"] == "failed")
    assert frame["data"]["message"]["id"] == message["id"]


async def test_a_greylisted_answer_is_sent_a_little_later_and_once(town: Town) -> None:
    (seen,) = await town.write(mail("hi", id_="1@example.org"))
    town.post.faults.append("greylist")
    await town.answer(seen["conversation"], {"text": "hello"})
    assert len(town.post.taken) == 1


async def test_a_person_who_is_unknown_there_fails_at_once(town: Town) -> None:
    (seen,) = await town.write(mail("hi", id_="1@example.org"))
    town.post.faults.append("unknown")
    message = await town.answer(seen["conversation"], {"text": "hello"}, status="failed")
    assert message["status"] == "failed"
    assert town.post.taken == []


async def test_copies_subject_and_a_file_go_out(town: Town) -> None:
    (seen,) = await town.write(mail("hi", id_="1@example.org"))
    parts = [{"type": "envelope", "subject": "Your invoice", "cc": ["boss@example.org"]}, {"type": "text", "text": "Attached."}]
    await town.answer(seen["conversation"], {"parts": parts})
    raw = await town.post.mail()
    assert b"Subject: Your invoice\r\n" in raw
    assert b"Cc: boss@example.org\r\n" in raw
    assert town.post.taken[0].rcpt_tos == ["ada@example.org", "boss@example.org"]


async def test_one_mail_by_three_ways_is_one_message(town: Town) -> None:
    raw = mail("only once", id_="1@example.org")
    await town.write(raw)
    assert await town.hook(raw) == 200
    await deliver(town, raw)
    assert len(await town.events("message.received")) == 1


async def marked(dovecot: Dovecot, user: str, count: int) -> None:
    async def so_many() -> bool:
        return sum(KEYWORD in flags for flags in (await dovecot.flags(user)).values()) == count

    await until(so_many)


async def deliver(town: Town, raw: bytes, to: str = ADDRESS, sender: str = "ada@example.org") -> str:
    """By SMTP, to our own server."""
    await until(lambda: town.client.listener is not None)
    assert town.client.listener is not None
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=town.client.listener.port, start_tls=False) as server:
        await server.mail(sender)
        await server.rcpt(to)
        return (await server.data(raw)).message


async def test_our_own_server_says_yes_to_what_is_stored_and_no_to_strangers(town: Town) -> None:
    assert "stored" in await deliver(town, mail("by smtp", id_="1@example.org"))
    assert len(await town.events("message.received")) == 1
    assert "stored" in await deliver(town, mail("plus", id_="2@example.org"), to="Support+abc@shop.example")
    for stranger in ("somebody@elsewhere.example", "support@shop.example.evil.example", "ada@shop.example"):
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await deliver(town, mail("relay me"), to=stranger)
        assert refused.value.code == 550
    assert len(await town.events("message.received")) == 2


async def test_poison_is_kept_apart_and_what_is_behind_it_arrives(town: Town) -> None:
    await town.dovecot.append(town.user, b"Subject: deep\r\n" + b"X: y\r\n" * 2000 + b"\r\nx")
    await town.write(mail("behind", id_="1@example.org"))
    assert len(await town.events("payload.quarantined")) == 1
    await marked(town.dovecot, town.user, 2)


async def test_after_a_restart_nothing_is_lost_and_nothing_twice(tmp_path: Path, settings: dict[str, Any], dovecot: Dovecot) -> None:
    user = settings["mailboxes"][0]["username"]
    async with running_post() as post:
        async with opened(tmp_path, settings, dovecot, post) as town:
            await town.write(mail("one", id_="1@example.org"))
        # All marks are lost, as after a crash between commit and mark; and more has come.
        await dovecot.by_hand(user, ("select_folder", "INBOX"), ("remove_flags", [1], [KEYWORD]))
        await dovecot.append(user, *(mail(f"while away {number}", id_=f"a{number}@example.org") for number in range(3)))
        channel = ChannelConfig(kind="email", title="Mail", settings={**settings, "smtp": smtp_section(post)})
        async with running_gateway(gateway_config(tmp_path, {"web": CHANNELS["web"], "mail": channel})) as gateway:
            await marked(dovecot, user, 4)
            recorded = await gateway.services.store.read(WHOLE, 0, 1000)
            assert len([one for one in recorded if one.entry.type == "message.received" and one.entry.channel == "mail"]) == 4


@pytest.mark.parametrize("headers", [{}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: "é"}])
async def test_the_webhook_wants_its_secret(town: Town, headers: dict[str, str]) -> None:
    assert await town.hook(mail(), headers) == 403
    assert await town.events() == []
