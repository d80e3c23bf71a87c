"""Mail for tests: settings, mails, a sending server with faults to order."""

import asyncio
import base64
import contextlib
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from connectors.contract import ClientContext, Reporter, Request, no_report
from connectors.email import Settings
from connectors.email.client import EmailClient
from connectors.email.imap import ImapTiming
from connectors.email.inbound import parse
from connectors.event import AnyEvent
from tests.support.dovecot import PASSWORD, Dovecot
from tests.support.settings import settings_of
from tests.support.waiting import DEADLINE

ADDRESS = "support@shop.example"
SECRET = "canary-support-address-0123456789"
WEBHOOK_SECRET = "canary-mail-webhook-0123456789"
SMTP_PASSWORD = "canary-smtp-server-0123456789"
AUTHSERV = "mx.shop.example"
QUICK = ImapTiming(idle=5.0, connect=5.0, read=10.0, first_wait=0.05, last_wait=0.4)

BASE: dict[str, Any] = {
    "address": ADDRESS,
    "secret": SECRET,
    "shop": "Shop",
    "aliases": ["sales@shop.example"],
    "reply_address": "support+{token}@shop.example",
    "authserv_ids": [AUTHSERV],
    "forwarders": ["forwarder.example"],
    "forms_from": ["forms@shop.example"],
    "webhook_secret": WEBHOOK_SECRET,
}


def mail_settings(**more: Any) -> Settings:
    """Settings of ``support@shop.example``."""
    return settings_of(Settings, {**BASE, **more})


def mailbox(dovecot: Dovecot, user: str, **more: Any) -> dict[str, Any]:
    """A section of settings for a mailbox."""
    return {
        "host": "127.0.0.1",
        "port": dovecot.port,
        "security": "none",
        "username": user,
        "password": PASSWORD,
        "since": "2020-01-01",
        **more,
    }


def passed(domain: str) -> str:
    """What our own server says about a mail that is what it says."""
    return f"Authentication-Results: {AUTHSERV}; dkim=pass header.d={domain}; dmarc=pass (p=reject) header.from={domain}\n"


def mail(
    text: str = "Hello", *, sender: str = "Ada <ada@example.org>", id_: str = "one@example.org", proved: bool = True, head: str = ""
) -> bytes:
    """A plain mail to us, with CRLF."""
    domain = sender.rpartition("@")[2].strip("> ")
    results = passed(domain) if proved else ""
    fixed = f"To: {ADDRESS}\nSubject: Question\nDate: Mon, 5 Oct 2026 10:00:00 +0200\n"
    raw = f"{results}From: {sender}\n{fixed}Message-ID: <{id_}>\n{head}\n{text}\n"
    return raw.encode().replace(b"\n", b"\r\n")


def request_of(raw: bytes, **headers: str) -> Request:
    """As a receiver gives it, without its secret."""
    return Request(
        method="IMAP", url="imap://mail.example/INBOX", headers=headers, body=raw, received_at=datetime(2026, 10, 5, 9, tzinfo=UTC)
    )


def events_of(raw: bytes, settings: Settings | None = None, **headers: str) -> Sequence[AnyEvent]:
    return parse(request_of(raw, **headers), settings or mail_settings())


async def read_file(stored: str) -> bytes:
    """Files that go out: their bytes are their names."""
    if stored == "missing":
        raise OSError("there is no such file")
    return stored.encode()


@contextlib.asynccontextmanager
async def mail_client(settings: Settings, timing: ImapTiming = QUICK, report: Reporter = no_report) -> AsyncIterator[EmailClient]:
    """A client outside of any gateway."""
    async with aiohttp.ClientSession() as session:
        client = EmailClient(settings, ClientContext(session=session, channel="mail", read_file=read_file, report=report), timing)
        try:
            yield client
        finally:
            await client.close()


@dataclass
class Post:
    """A server that takes mail for everybody, and does what ``faults`` says, one entry per mail."""

    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    #: ``greylist``, ``unknown``, ``mail``, ``size``, ``busy``, ``cut-before-dot``, ``cut-after-dot``, ``copy-unknown``, ``421``.
    faults: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    connections: int = 0
    transports: set[asyncio.BaseTransport] = field(default_factory=set)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def _fault(self, *kinds: str) -> str:
        return self.faults.pop(0) if self.faults and self.faults[0] in kinds else ""

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802, ARG002
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        if self._fault("mail"):
            return "550 5.7.60 sender not allowed"
        return "421 4.3.2 closing" if self._fault("421") else "250 2.1.0 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802, ARG002
        if self._fault("greylist"):
            return "451 4.7.1 greylisted, come again"
        if self._fault("busy"):
            return "452 4.2.1 too many mails, rate limited"
        if self._fault("unknown"):
            return "550 5.1.1 user unknown"
        if envelope.rcpt_tos and self._fault("copy-unknown"):
            return "550 5.1.1 user unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        if self._fault("cut-before-dot"):
            _cut(server)
            return "451 never said"
        if self._fault("size"):
            return "552 5.3.4 too large"
        self.taken.append(envelope)
        self.arrived.set()
        if self._fault("cut-after-dot"):
            _cut(server)
        return "250 2.0.0 queued as 4711"

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802, ARG002
        said = base64.b64decode(args[1]).decode()
        self.logins.append(said)
        return AuthResult(success="auth=Bearer canary-good-token" in said, handled=False)

    async def mail(self, count: int = 1) -> bytes:
        """The newest mail, when there are so many."""
        async with asyncio.timeout(DEADLINE):
            while len(self.taken) < count:
                self.arrived.clear()
                await self.arrived.wait()
        content = self.taken[-1].content
        assert isinstance(content, bytes)
        return content


def _cut(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()


class _Server(SMTP):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        handler: Post = self.event_handler
        handler.connections += 1
        handler.transports.add(transport)
        super().connection_made(transport)


@contextlib.asynccontextmanager
async def running_post(*, tls: ssl.SSLContext | None = None, auth: bool = False, utf8: bool = True) -> AsyncIterator[Post]:
    """A server on a free port; ``tls`` offers STARTTLS, ``auth`` demands the password."""
    post = Post()
    loop = asyncio.get_running_loop()

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ARG001
        assert isinstance(data, LoginPassword)
        post.logins.append(data.login.decode())
        return AuthResult(success=data.password == SMTP_PASSWORD.encode(), handled=False)

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # It warns of passwords without TLS, which is what some tests are about.
            warnings.simplefilter("ignore")
            return _Server(
                post,
                loop=loop,
                hostname="mx.post.example",
                tls_context=tls,
                require_starttls=tls is not None,
                enable_SMTPUTF8=utf8,
                authenticator=check if auth else None,
                auth_required=auth,
                auth_require_tls=False,
            )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        for transport in post.transports:
            transport.close()
        await server.wait_closed()


def smtp_section(post: Post, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": post.port, "security": "none", "timeout": 5.0, **more}


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2 {names}"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=120)
    return cert, key
