"""Sending through a real SMTP server, which misbehaves to order; tokens from a real token endpoint."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.abilities import Component
from connectors.content import AnyPart, Envelope, Media, MediaKind, Text
from connectors.contract import Failure, Outbound, Outcome, Sent
from connectors.email.client import EmailClient
from connectors.email.outbound import read_reply, render
from connectors.email.settings import Settings
from connectors.errors import FailureKind
from tests.support.mail import SMTP_PASSWORD, certificate, mail_client, mail_settings, running_post, smtp_section
from tests.support.serving import serving


def answer(*parts: AnyPart, id_: str = "msg_0000000000000000000000000a", to: str = "ada@example.org", **more: Any) -> Outbound:
    return Outbound(id=id_, to=to, parts=parts or (Text(text="Yes."),), author="Ben", **more)


async def send(client: EmailClient, settings: Settings, message: Outbound) -> Outcome:
    (call,) = render(message, settings)
    return read_reply(call, await client.send(call), settings)


async def test_a_mail_with_a_file_arrives_whole() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        file = Media(kind=MediaKind.FILE, ref="", stored="the bytes of the file", name="f.txt", mime="text/plain")
        outcome = await send(client, settings, answer(Text(text="Here.\n.\n..dots"), file))
        raw = await post.mail()
        assert isinstance(outcome, Sent)
        assert f"Message-ID: <{outcome.provider_id}>".encode() in raw
        assert b"Here.\r\n.\r\n..dots" in raw
        assert (post.taken[0].mail_from, post.taken[0].rcpt_tos) == ("support@shop.example", ["ada@example.org"])
        # Connections are kept.
        assert isinstance(await send(client, settings, answer(id_="msg_b")), Sent)
        assert post.connections == 1


async def test_automatic_answers_have_an_empty_envelope_sender_and_other_automatic_mail_gets_its_bounces() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        assert isinstance(await send(client, settings, answer(automatic=True, reply_to="q@example.org")), Sent)
        assert isinstance(await send(client, settings, answer(id_="msg_b", automatic=True)), Sent)
        assert post.taken[0].mail_from in {"", "<>"}
        assert post.taken[1].mail_from == "support@shop.example"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("greylist", FailureKind.TRANSIENT, "451 4.7.1"),
        ("busy", FailureKind.THROTTLED, "452 4.2.1"),
        ("unknown", FailureKind.RECIPIENT, "550 5.1.1"),
        ("mail", FailureKind.ACCOUNT, "550 5.7.60"),
        ("421", FailureKind.TRANSIENT, "421 4.3.2"),
        ("size", FailureKind.INVALID, "552 5.3.4"),
    ],
)
async def test_a_refusal_and_then_a_retry_is_one_mail(fault: str, kind: FailureKind, code: str) -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        post.faults.append(fault)
        first = await send(client, settings, answer())
        assert isinstance(first, Failure)
        assert (first.kind, first.code) == (kind, code)
        assert isinstance(await send(client, settings, answer()), Sent)
        assert len(post.taken) == 1


async def test_a_line_cut_after_the_dot_is_unknown_and_the_retry_bears_the_same_id() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        post.faults.append("cut-after-dot")
        first = await send(client, settings, answer())
        assert isinstance(first, Failure)
        assert first.kind is FailureKind.UNKNOWN
        assert isinstance(await send(client, settings, answer()), Sent)
        assert len(post.taken) == 2
        assert post.taken[0].content == post.taken[1].content


async def test_a_copy_that_is_refused_does_not_stop_the_mail() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        post.faults.append("copy-unknown")
        assert isinstance(await send(client, settings, answer(Envelope(cc=("bob@example.org",)), Text(text="x"))), Sent)
        assert post.taken[0].rcpt_tos == ["ada@example.org"]


async def test_a_server_that_is_away_has_got_nothing() -> None:
    settings = mail_settings(smtp={"host": "127.0.0.1", "port": 9, "security": "none"})
    async with mail_client(settings) as client:
        outcome = await send(client, settings, answer())
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.TRANSIENT


async def test_a_connection_that_died_while_idle_is_replaced() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        assert isinstance(await send(client, settings, answer()), Sent)
        for transport in list(post.transports):
            transport.close()
        await asyncio.sleep(0)
        assert isinstance(await send(client, settings, answer(id_="msg_b")), Sent)
        assert post.connections == 2


async def test_no_more_connections_than_allowed() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post, connections=2))) as client:
        outcomes = await asyncio.gather(*(send(client, settings, answer(id_=f"msg_{number}")) for number in range(12)))
        assert all(isinstance(one, Sent) for one in outcomes)
        assert (len(post.taken), post.connections <= 2) == (12, True)


async def test_a_file_that_cannot_be_read_sends_nothing() -> None:
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        outcome = await send(client, settings, answer(Media(kind=MediaKind.FILE, ref="", stored="missing", name="f")))
        assert getattr(outcome, "kind", None) is FailureKind.TRANSIENT
        assert post.taken == []


async def test_an_address_with_other_letters_goes_only_where_the_server_can() -> None:
    async with running_post(utf8=False) as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        assert getattr(await send(client, settings, answer(to="jörg@example.org")), "kind", None) is FailureKind.INVALID
    async with running_post() as post, mail_client(settings := mail_settings(smtp=smtp_section(post))) as client:
        assert isinstance(await send(client, settings, answer(to="jörg@example.org")), Sent)
        assert post.taken[0].rcpt_tos == ["jörg@example.org"]


async def test_starttls_and_login(tmp_path: Path) -> None:
    cert, key = await asyncio.to_thread(certificate, tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    more = {"security": "starttls", "username": "shop", "password": SMTP_PASSWORD}
    async with running_post(tls=context, auth=True) as post:
        settings = mail_settings(smtp=smtp_section(post, **more, ca_file=str(cert)))
        async with mail_client(settings) as client:
            assert isinstance(await send(client, settings, answer()), Sent)
            assert post.logins == ["shop"]
            findings = await client.probe("https://shop.example/hook")
            assert [one.ok for one in findings if one.component is Component.OUTBOUND] == [True]
        # A certificate that nobody signed whom we know.
        settings = mail_settings(smtp=smtp_section(post, **more))
        async with mail_client(settings) as client:
            outcome = await send(client, settings, answer())
            assert getattr(outcome, "kind", None) in {FailureKind.CONFIG, FailureKind.TRANSIENT}
            assert len(post.taken) == 1
        settings = mail_settings(smtp=smtp_section(post, **{**more, "password": "canary-wrong"}, ca_file=str(cert)))
        async with mail_client(settings) as client:
            outcome = await send(client, settings, answer())
            assert isinstance(outcome, Failure)
            assert outcome.kind is FailureKind.AUTH
            findings = await client.probe("https://shop.example/hook")
            assert any(one.component is Component.AUTH and not one.ok and one.remedy for one in findings)
            assert "canary-wrong" not in repr(outcome) + repr(findings)


async def test_a_server_that_dropped_starttls_gets_no_mail() -> None:
    async with running_post() as post:
        settings = mail_settings(smtp=smtp_section(post, security="starttls"))
        async with mail_client(settings) as client:
            outcome = await send(client, settings, answer())
            assert getattr(outcome, "kind", None) is FailureKind.CONFIG
            assert post.taken == []


async def test_oauth_refreshes_once_and_again_when_the_token_is_refused() -> None:
    asked: list[dict[str, str]] = []
    tokens = ["canary-stale-token", "canary-good-token"]

    async def token(request: web.Request) -> web.Response:
        asked.append({name: str(value) for name, value in (await request.post()).items()})
        if asked[-1]["refresh_token"].startswith("canary-revoked"):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": tokens[min(len(asked), 2) - 1], "expires_in": 3600, "refresh_token": "second"})

    app = web.Application()
    app.router.add_post("/token", token)
    async with serving(app) as base, running_post(auth=True) as post:
        oauth = {
            "token_url": f"{base}/token",
            "client_id": "us",
            "refresh_token": "canary-first-0123",
            "client_secret": "canary-hidden-0123",
        }
        settings = mail_settings(smtp=smtp_section(post, username="shop@example.org", oauth=oauth))
        async with mail_client(settings) as client:
            refused = await send(client, settings, answer())
            assert getattr(refused, "kind", None) is FailureKind.AUTH
            assert isinstance(await send(client, settings, answer()), Sent)
            assert isinstance(await send(client, settings, answer(id_="msg_b")), Sent)
        assert [one["refresh_token"] for one in asked] == ["canary-first-0123", "second"]
        assert "user=shop@example.org\x01auth=Bearer canary-good-token\x01\x01" in post.logins
        settings = mail_settings(smtp=smtp_section(post, username="shop", oauth={**oauth, "refresh_token": "canary-revoked-0123"}))
        async with mail_client(settings) as client:
            outcome = await send(client, settings, answer())
            assert getattr(outcome, "kind", None) is FailureKind.AUTH
            assert "canary" not in repr(outcome)


async def test_without_smtp_settings_the_channel_only_receives() -> None:
    settings = mail_settings()
    async with mail_client(settings) as client:
        assert getattr(await send(client, settings, answer()), "kind", None) is FailureKind.CONFIG


async def test_a_mail_that_is_cancelled_in_the_moment_of_the_connection_ends_at_once() -> None:
    """The gateway stops, or gives up: nothing may go on sending behind its back."""
    there, writers = asyncio.Event(), []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writers.append(writer)
        there.set()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    settings = mail_settings(smtp={"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "security": "none", "timeout": 60.0})
    async with mail_client(settings) as client:
        sending = asyncio.create_task(send(client, settings, answer()))
        await there.wait()
        sending.cancel()
        done, _ = await asyncio.wait({sending}, timeout=30)
        assert done
        assert sending.cancelled()
    for writer in writers:
        writer.transport.abort()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("auth", ["password", "token"])
async def test_a_server_that_repeats_our_login_is_not_quoted(auth: str) -> None:
    """Servers quote the line that they refuse, and people read what they said."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx ESMTP\r\n")
        while line := await reader.readline():
            is_hello = line.upper().startswith(b"EHLO")
            writer.write(b"250-mx\r\n250 AUTH PLAIN XOAUTH2\r\n" if is_hello else b"550 5.5.4 refused: " + line.strip() + b"\r\n")
        writer.close()

    async def token(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.json_response({"access_token": "canary-access-token", "expires_in": 3600})

    app = web.Application()
    app.router.add_post("/token", token)
    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    async with serving(app) as base:
        oauth = {"token_url": f"{base}/token", "client_id": "us", "refresh_token": "canary-refresh"}
        proof: dict[str, Any] = {"password": "canary-password"} if auth == "password" else {"oauth": oauth}
        section = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "security": "none", "username": "shop", **proof}
        async with mail_client(settings := mail_settings(smtp=section)) as client:
            outcome = await send(client, settings, answer())
    server.close()
    await server.wait_closed()
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.AUTH
    assert "[hidden]" in outcome.detail
    sent = [b"\0shop\0canary-password", b"user=shop\x01auth=Bearer canary-access-token\x01\x01"]
    assert not any(base64.b64encode(one).decode() in outcome.detail for one in sent)
