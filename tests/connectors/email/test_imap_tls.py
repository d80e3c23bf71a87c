"""Mailboxes of a real Dovecot over TLS and STARTTLS with a certificate of its own, and logins by token."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.abilities import Component, Finding
from tests.support.dovecot import Dovecot, Tls, running_dovecot
from tests.support.mail import certificate, mail, mail_client, mail_settings, mailbox
from tests.support.serving import serving
from tests.support.waiting import DEADLINE, until

USER = "shop"


@dataclass
class Authority:
    """Gives access tokens for refresh tokens, and says whose they are."""

    #: What is given, one after another; the last one for ever.
    tokens: list[str] = field(default_factory=lambda: ["canary-good-token"])
    #: Whose they are.
    owners: dict[str, str] = field(default_factory=lambda: {"canary-good-token": USER, "canary-good-token-2": USER})
    asked: list[str] = field(default_factory=list)
    introspected: list[str] = field(default_factory=list)

    async def give(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form["refresh_token"]))
        if form["refresh_token"] == "canary-revoked-0123":
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        return web.json_response({"access_token": token, "expires_in": 3600})

    async def tell(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = str(form["token"])
        self.introspected.append(token)
        owner = self.owners.get(token)
        return web.json_response({"active": True, "username": owner} if owner else {"active": False})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/token", self.give)
        app.router.add_post("/whose", self.tell)
        return app


@dataclass
class House:
    """A mail server and who vouches for its tokens."""

    dovecot: Dovecot
    authority: Authority
    base: str
    ca_file: str
    #: A certificate of somebody else's.
    stranger: str

    def box(self, security: str, **more: Any) -> dict[str, Any]:
        port = {"tls": self.dovecot.tls_port, "starttls": self.dovecot.port, "none": self.dovecot.port}[security]
        return {**mailbox(self.dovecot, USER), "security": security, "port": port, "ca_file": self.ca_file, **more}

    def by_token(self, refresh_token: str = "canary-refresh-0123") -> dict[str, Any]:
        oauth = {"token_url": f"{self.base}/token", "client_id": "us", "refresh_token": refresh_token}
        return {name: value for name, value in self.box("tls", oauth=oauth).items() if name != "password"}

    def log(self) -> str:
        return (self.dovecot.home / "log").read_text("utf-8")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / "stranger").mkdir()
    ours, key = await asyncio.to_thread(certificate, tmp_path)
    theirs, _ = await asyncio.to_thread(certificate, tmp_path / "stranger")
    authority = Authority()
    async with (
        serving(authority.app()) as base,
        running_dovecot(tls=Tls(certificate=ours, key=key), introspection_url=f"{base}/whose") as dovecot,
    ):
        yield House(dovecot, authority, base, str(ours), str(theirs))


async def first(box: dict[str, Any]) -> bytes:
    """The first mail that is taken."""
    async with mail_client(mail_settings(mailboxes=[box])) as client:
        requests = client.receive()
        async with asyncio.timeout(DEADLINE):
            request = await anext(requests)
        await requests.aclose()  # type: ignore[attr-defined]
    return request.body


async def problem(box: dict[str, Any]) -> tuple[str, list[Finding]]:
    """Why nothing is taken; and what a probe says."""
    async with mail_client(mail_settings(mailboxes=[box])) as client:
        requests = client.receive()
        waiting = asyncio.ensure_future(anext(requests))
        await until(lambda: bool(client.readers) and bool(client.readers[0].state.problem))
        words = client.readers[0].state.problem
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        findings = await client.probe("https://shop.example/hook")
    return words, [one for one in findings if not one.ok and one.component is not Component.OUTBOUND]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_mail_comes_over_an_encrypted_line(house: House, security: str) -> None:
    await house.dovecot.append(USER, mail("in secret"))
    assert b"in secret" in await first(house.box(security))
    async with mail_client(mail_settings(mailboxes=[house.box(security)])) as client:
        findings = await client.probe("https://shop.example/hook")
    assert f"127.0.0.1: logged in as {USER}" in {one.detail for one in findings if one.ok}
    logins = [line for line in house.log().splitlines() if f"Login: user=<{USER}>" in line]
    assert logins
    assert all("TLS" in line for line in logins)


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("ca_file", ["", "stranger"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_password(house: House, security: str, ca_file: str) -> None:
    words, findings = await problem(house.box(security, ca_file=house.stranger if ca_file else ""))
    assert "certificate" in words
    assert any("certificate" in one.detail and one.remedy for one in findings), findings
    assert f"user=<{USER}>" not in house.log()


async def test_a_server_without_starttls_gets_no_password() -> None:
    async with running_dovecot() as plain:
        words, findings = await problem({**mailbox(plain, USER), "security": "starttls"})
        assert words
        assert findings
        assert f"user=<{USER}>" not in (plain.home / "log").read_text("utf-8")


async def test_login_by_token(house: House) -> None:
    await house.dovecot.append(USER, mail("by token"))
    assert b"by token" in await first(house.by_token())
    assert house.authority.asked == ["canary-refresh-0123"]
    assert house.authority.introspected == ["canary-good-token"]
    assert "method=XOAUTH2" in house.log()


async def test_a_token_that_is_refused_is_asked_for_anew(house: House) -> None:
    house.authority.tokens = ["canary-stale-token", "canary-good-token-2"]
    await house.dovecot.append(USER, mail("by the second token"))
    assert b"second token" in await first(house.by_token())
    assert house.authority.introspected == ["canary-stale-token", "canary-good-token-2"]
    assert len(house.authority.asked) == 2


async def test_a_refresh_token_that_was_taken_back_is_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    words, findings = await problem(house.by_token("canary-revoked-0123"))
    assert "invalid_grant" in words or "refused" in words
    (finding,) = [one for one in findings if one.component is Component.AUTH]
    assert "agree again" in finding.remedy
    assert "canary-revoked-0123" not in f"{caplog.text} {findings} {words}"
    assert house.authority.introspected == []
