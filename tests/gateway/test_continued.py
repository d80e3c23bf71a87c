"""A chat goes on by mail, through the whole gateway: a visitor's window, an agent's API, a real SMTP server, and the answer by mail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from config import ChannelConfig, ConfigError
from connectors.email.inbound import SECRET_HEADER
from gateway.channels import plan_channels
from gateway.work.continued import CONSUMER
from tests.support.cast import Cast, Shopper, assemble
from tests.support.gateway import CHANNELS, SHOP, gateway_config, running_gateway
from tests.support.mail import BASE, SMTP_PASSWORD, WEBHOOK_SECRET, Post, mail, running_post, smtp_section
from tests.support.visitor import call
from tests.support.waiting import DEADLINE

CLEO = "cleo@example.org"
HOOK = {SECRET_HEADER: WEBHOOK_SECRET, "Content-Type": "message/rfc822"}


def _channels(post: Post, **mail_fields: Any) -> dict[str, ChannelConfig]:
    web = CHANNELS["web"]
    going_on = replace(web, settings={**web.settings, "mail_channel": "mail", "mail_after": 1})
    settings = {**BASE, "smtp": smtp_section(post), **mail_fields}
    return {"web": going_on, "mail": ChannelConfig(kind="email", title="Mail", settings=settings)}


@contextlib.asynccontextmanager
async def _opened(tmp_path: Path, post: Post) -> AsyncIterator[Cast]:
    async with running_gateway(gateway_config(tmp_path, _channels(post))) as gateway:
        yield await assemble(gateway)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with running_post() as server:
        yield server


@pytest.fixture
async def cast(tmp_path: Path, post: Post) -> AsyncIterator[Cast]:
    async with _opened(tmp_path, post) as found:
        yield found


async def _asks(cast: Cast, shopper: Shopper, address: str, text: str = "SECRET QUESTION") -> dict[str, Any]:
    """A visitor gives an address, asks, and goes."""
    async with shopper.open() as window:
        assert [frame["mail"] for frame in window.seen if frame["type"] == "hello"] == [True]
        await window.send({"type": "profile", "id": "profile-0001", "email": address})
        await window.of("ack")
        identifier = "question-0001"
        await window.send({"type": "message", "id": identifier, "text": text, "page": f"{SHOP}/cups?token=1"})
        await window.of("ack")
    return await _conversation(cast, lambda item: bool(item["identity"]["value"] == shopper.visitor_id))


async def _conversation(cast: Cast, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        while True:
            for item in (await cast.sue.get("/conversations")).json["items"]:
                if wanted(item):
                    return dict(item)
            await asyncio.sleep(0.02)


async def _answers(cast: Cast, conversation: dict[str, Any], text: str) -> dict[str, Any]:
    posted = await cast.sue.post(f"/conversations/{conversation['id']}/messages", {"text": text})
    assert posted.status == 201, posted.raw
    return dict(posted.json["message"])


def _read(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def _body(found: EmailMessage) -> str:
    return str(found.get_content()).replace("\r\n", "\n")


async def test_there_by_chat_and_back_by_mail(cast: Cast, post: Post) -> None:
    chat = await _asks(cast, cast.cleo, CLEO)
    await _answers(cast, chat, "It leaves today.")
    found = _read(await post.mail())
    assert (found["To"], found["Auto-Submitted"], found["Subject"]) == (CLEO, "auto-generated", "Your chat with us: Shop chat")
    assert found["Reply-To"].startswith("support+")
    assert found["List-Unsubscribe"] is None
    assert post.taken[0].mail_from == BASE["address"], "bounces come back"
    text = _body(found)
    assert "Sue:\nIt leaves today." in text
    assert f"{SHOP}/cups\n" in text
    assert "STOP" in text
    assert "SECRET" not in text
    assert "token" not in text

    back = mail("Thanks, by mail!", sender=f"Cleo <{CLEO}>", proved=False, head=f"In-Reply-To: {found['Message-ID']}\n")
    back = back.replace(BASE["address"].encode(), found["Reply-To"].encode(), 1)
    assert (await cast.gateway.request("POST", "/webhooks/mail", data=back, headers=HOOK))[0] == 200
    answered = await _conversation(cast, lambda item: item["channel"] == "mail" and item["state"] == "queued")
    assert answered["customer_id"] == chat["customer_id"]
    history = (await cast.sue.get(f"/customers/{chat['customer_id']}/history")).json["items"]
    assert "Thanks, by mail!" in repr(history)
    assert [part["subject"] for line in history for part in line["parts"] if part.get("code") == "mailed"] == [CLEO]
    # What came by mail is no business of whoever has the chat window.
    async with cast.cleo.open() as window:
        assert "Thanks" not in repr(window.seen)
        assert "It leaves today." in repr(window.seen)

    await _answers(cast, answered, "With pleasure.")
    again = _read(await post.mail(2))
    assert (again["Auto-Submitted"], again["In-Reply-To"]) == (None, "<one@example.org>")
    assert "With pleasure." in _body(again)


async def test_a_letter_speaks_the_language_of_the_visitors_window(cast: Cast, post: Post) -> None:
    async with cast.cleo.open() as window:
        await window.send({"type": "profile", "id": "profile-0001", "email": CLEO, "language": "it-IT"})
        await window.of("ack")
        await window.send({"type": "profile", "id": "profile-0002", "email": CLEO, "language": "no language"})
        assert (await window.of("error"))["code"] == "bad_frame"
        await window.send({"type": "message", "id": "question-0001", "text": "Dov'è?"})
        await window.of("ack")
    chat = await _conversation(cast, lambda item: bool(item["identity"]["value"] == cast.cleo.visitor_id))
    await _answers(cast, chat, "Parte oggi.")
    found = _read(await post.mail())
    assert found["Subject"] == "La tua chat con noi: Shop chat"
    assert "rispondi con la sola parola STOP" in " ".join(_body(found).split())


async def test_who_is_there_gets_no_mail(cast: Cast, post: Post) -> None:
    """Dan is there and sees it, Cleo is not; hers is asked about later, and sent."""
    there, away = await _asks(cast, cast.dan, "dan@example.org"), await _asks(cast, cast.cleo, CLEO)
    async with cast.dan.open() as window:
        said = await _answers(cast, there, "Hello Dan")
        await window.until(lambda frame: frame["type"] == "message" and frame["id"] == said["id"])
        await window.send({"type": "seen", "pos": said["pos"]})
        await _answers(cast, away, "Hello Cleo")
        assert _read(await post.mail())["To"] == CLEO
    assert len(post.taken) == 1


async def test_what_was_answered_before_a_stop_is_mailed_after_it(tmp_path: Path, post: Post) -> None:
    config = gateway_config(tmp_path, _channels(post))
    web = config.channels["web"]
    patient = replace(config, channels={**config.channels, "web": replace(web, settings={**web.settings, "mail_after": 3600})})
    async with running_gateway(patient) as gateway:
        cast = await assemble(gateway)
        await _answers(cast, await _asks(cast, cast.cleo, CLEO), "Before the stop")
        noted = await gateway.services.store.view(lambda tx: tx.settings.get(CONSUMER))
        assert int(noted) < await gateway.services.store.view(lambda tx: tx.stream.head())
    assert post.taken == []
    async with running_gateway(config):
        assert "Before the stop" in _body(_read(await post.mail()))


async def test_a_stranger_who_types_a_customers_address_learns_nothing(cast: Cast, post: Post) -> None:
    """The address has an owner: they get the agent's lines and may answer, and neither side's history opens to the other."""
    first = mail("EVES ORDER 4711", sender="Eve <eve@example.org>")
    assert (await cast.gateway.request("POST", "/webhooks/mail", data=first, headers=HOOK))[0] == 200
    eve = await _conversation(cast, lambda item: item["channel"] == "mail")
    chat = await _asks(cast, cast.dan, "eve@example.org", "I am Eve")
    await _answers(cast, chat, "Which order?")
    found = _read(await post.mail())
    assert "4711" not in _body(found)
    back = mail("Who asks?", sender="Eve <eve@example.org>", id_="two@example.org", head=f"In-Reply-To: {found['Message-ID']}\n")
    back = back.replace(BASE["address"].encode(), found["Reply-To"].encode(), 1)
    assert (await cast.gateway.request("POST", "/webhooks/mail", data=back, headers=HOOK))[0] == 200
    await _conversation(cast, lambda item: "Who asks?" in item["preview"])
    customer = (await cast.sue.get(f"/customers/{eve['customer_id']}")).json
    assert [one["identity"]["value"] for one in customer["identities"]] == ["eve@example.org"]
    assert "4711" not in repr((await cast.sue.get(f"/customers/{chat['customer_id']}/history")).json)
    async with cast.dan.open() as window:
        assert "4711" not in repr(window.seen)
        assert "Who asks?" not in repr(window.seen)


async def test_a_visitor_has_the_chat_sent(cast: Cast, post: Post) -> None:
    assert (await call(cast.cleo, "POST", "transcript", {})).code == "nothing_said"
    chat = await _asks(cast, cast.cleo, CLEO, "Where is it?")
    assert (await call(cast.cleo, "POST", "transcript", {})).code == "nothing_said"
    said = await _answers(cast, chat, "On its way.")
    async with cast.cleo.open() as window:
        await window.send({"type": "seen", "pos": said["pos"], "read": True})
        await _conversation(cast, lambda item: item["customer_seen_pos"] >= said["pos"])
    asked = await call(cast.cleo, "POST", "transcript", {})
    assert (asked.status, asked.json) == (202, {"status": "queued"})
    text = _body(_read(await post.mail()))
    assert "Sue:\nOn its way." in text
    assert "Where is it?" not in text, "the address is only typed, and whoever reads there may be somebody else"
    assert (await call(cast.cleo, "POST", "transcript", {})).code == "too_often"
    assert (await call(cast.cleo, "POST", "transcript", {"to": "eve@example.org"})).status == 400
    assert (await call(cast.cleo, "POST", "transcript", {}, token="forged")).status == 401
    assert (await call(cast.cleo, "POST", "transcript", {}, Origin="https://evil.example")).code == "bad_origin"
    assert len(post.taken) == 1


async def test_a_chat_without_mail_sends_no_transcript(tmp_path: Path) -> None:
    async with running_gateway(gateway_config(tmp_path, {"web": CHANNELS["web"]})) as gateway:
        assert (await call(Shopper(gateway), "POST", "transcript", {})).code == "no_mail"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mail": None}, "there is no e-mail channel 'mail'"),
        ({"kind": "webchat"}, "there is no e-mail channel 'mail'"),
        ({"enabled": False}, "is not enabled"),
        ({"smtp": None}, "needs smtp and reply_address"),
        ({"reply_address": ""}, "needs smtp and reply_address"),
    ],
)
def test_a_chat_that_could_not_go_on_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    channels = _channels(Post(port=25))
    section = channels["mail"]
    if "mail" in fields:
        del channels["mail"]
    elif "kind" in fields:
        channels["mail"] = ChannelConfig(kind="webchat", settings={})
    elif "enabled" in fields:
        channels["mail"] = replace(section, enabled=False)
    else:
        settings = {name: value for name, value in {**section.settings, **fields}.items() if value is not None}
        channels["mail"] = replace(section, settings=settings)
    with pytest.raises(ConfigError, match=words) as refused:
        plan_channels(gateway_config(tmp_path, channels))
    assert "channels.web.mail_channel" in str(refused.value)
    assert SMTP_PASSWORD not in str(refused.value)
