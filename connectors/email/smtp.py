"""Sending: a few connections, kept open for the next mail.

Every step before the final dot is known to have sent nothing; what happens after ``DATA`` was begun and not answered is
unknown, and said to be.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Final

import aiosmtplib
import structlog
from aiosmtplib.errors import SMTPException, SMTPResponseException
from msgspec.structs import replace

from connectors.contract import Reply
from connectors.email.oauth import NoToken, Tokens
from connectors.email.outbound import PHASE
from connectors.email.settings import Submission

log = structlog.get_logger(__name__)

#: Seconds that an idle connection is kept: servers close them after a minute or more.
IDLE_SECONDS: Final = 30.0


class _Stopped(Exception):
    """A step did not succeed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


class SmtpPool:
    """Up to ``settings.connections`` connections to one server."""

    def __init__(self, settings: Submission, tokens: Tokens | None, channel: str) -> None:
        self._settings = settings
        self._tokens = tokens
        self._channel = channel
        self._turns = asyncio.Semaphore(settings.connections)
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._context: ssl.SSLContext | None = None
        #: What we log in with, in the forms in which a server may repeat it.
        self._hidden = _forms(settings.username, settings.password.reveal())

    async def send(self, envelope_from: str, recipients: Sequence[str], mail: bytes) -> Reply:
        """One mail. The first recipient must be taken, or nothing is sent; copies that are refused are logged only."""
        try:
            async with self._turns, self._connection() as server:
                return self._discreet(await self._transaction(server, envelope_from, recipients, mail))
        except _Stopped as stopped:
            return self._discreet(stopped.reply)

    async def try_login(self) -> Reply:
        """Connects and logs in, for a probe."""
        try:
            async with self._turns, self._connection():
                return Reply(status=250)
        except _Stopped as stopped:
            return self._discreet(stopped.reply)

    async def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for server, _ in idle:
            await _quit(server, self._settings.timeout)

    def _discreet(self, reply: Reply) -> Reply:
        """Servers quote the line that they dislike; people read their words."""
        body = reply.body
        for form in self._hidden:
            body = body.replace(form, b"[hidden]")
        return replace(reply, body=body)

    async def _transaction(self, server: aiosmtplib.SMTP, envelope_from: str, recipients: Sequence[str], mail: bytes) -> Reply:
        wide = any(not one.isascii() for one in (envelope_from, *recipients))
        if wide and not server.supports_extension("smtputf8"):
            return Reply(status=553, body=b"5.6.7 the mail server cannot carry addresses with such letters", headers={PHASE: "rcpt"})
        options = ["SMTPUTF8"] if wide else []
        if server.supports_extension("size"):
            options.append(f"SIZE={len(mail)}")
        encoding = "utf-8" if wide else "ascii"
        seconds = self._settings.timeout
        await _step("mail", server.mail(envelope_from, options=options, encoding=encoding), seconds)
        for index, recipient in enumerate(recipients):
            try:
                await _step("rcpt", server.rcpt(recipient, encoding=encoding), seconds)
            except _Stopped as stopped:
                if index == 0 or stopped.reply.status == 0:
                    raise
                log.warning("email.copy_refused", channel=self._channel, status=stopped.reply.status)
        # From here on a lost line may have carried the whole mail. Two answers are waited for: "go on", and "taken".
        answer = await _step("data", server.data(mail), 2 * seconds, written=True)
        return Reply(status=answer.code, body=answer.message.encode("utf-8", "replace"), headers={PHASE: "data"})

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        server = await self._take() or await self._open()
        healthy = False
        try:
            yield server
            healthy = True
        except _Stopped as stopped:
            healthy = stopped.reply.status not in {0, 421} and await _reset(server, self._settings.timeout)
            raise
        finally:
            if healthy and server.is_connected:
                self._idle.append((server, asyncio.get_running_loop().time() + IDLE_SECONDS))
            else:
                server.close()

    async def _take(self) -> aiosmtplib.SMTP | None:
        """A connection that still answers."""
        while self._idle:
            server, until = self._idle.pop()
            if asyncio.get_running_loop().time() < until and server.is_connected and await _reset(server, self._settings.timeout):
                return server
            server.close()
        return None

    async def _open(self) -> aiosmtplib.SMTP:
        settings = self._settings
        try:
            context = await self._tls()
        except (OSError, ssl.SSLError) as error:
            raise _Stopped(_nothing_sent(f"ca_file cannot be read: {type(error).__name__}", "config")) from error
        server = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=context,
            # With a timeout of its own it would lose a cancellation that comes in the moment of an answer (asyncio.wait_for before
            # Python 3.12), and go on sending.
            timeout=None,
        )
        try:
            await _step("connect", server.connect(), settings.timeout)
            await self._log_in(server)
        except BaseException:
            server.close()
            raise
        return server

    async def _log_in(self, server: aiosmtplib.SMTP) -> None:
        settings = self._settings
        await _step("hello", server.ehlo(), settings.timeout)
        if not settings.username:
            return
        if self._tokens is None:
            await _step("auth", server.login(settings.username, settings.password.reveal()), settings.timeout)
            return
        try:
            token = await self._tokens.get()
        except NoToken as error:
            status = 535 if error.refused else 454
            raise _Stopped(Reply(status=status, body=str(error).encode(), headers={PHASE: "auth"})) from error
        self._hidden = _forms(settings.username, token)
        try:
            await _step("auth", server.auth_xoauth2(settings.username, token), settings.timeout)
        except _Stopped:
            self._tokens.forget()
            raise

    async def _tls(self) -> ssl.SSLContext | None:
        if self._settings.security != "none" and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file or None)
        return self._context


async def _step(phase: str, step: Awaitable[aiosmtplib.SMTPResponse], seconds: float, *, written: bool = False) -> aiosmtplib.SMTPResponse:
    """One command. Raises :class:`_Stopped` for any answer that is not a yes, or none; ``written``: none may mean that all was taken."""
    try:
        async with asyncio.timeout(seconds):
            return await step
    except SMTPResponseException as error:
        raise _Stopped(Reply(status=error.code, body=error.message.encode("utf-8", "replace"), headers={PHASE: phase})) from error
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise _Stopped(_nothing_sent(f"the server's certificate is not accepted: {type(error).__name__}", "config")) from error
    except (SMTPException, OSError, ValueError) as error:
        # The library's words may quote what was sent; its class says enough.
        words = f"{phase}: {_words(error)}"
        raise _Stopped(Reply(status=0, body=words.encode(), headers={PHASE: _phase_of(error, phase)}, written=written)) from error


def _forms(username: str, password: str) -> tuple[bytes, ...]:
    """A password or token as it is, and as AUTH PLAIN, LOGIN and XOAUTH2 send it; the longest first."""
    if not password:
        return ()
    sent = (f"user={username}\1auth=Bearer {password}\1\1", f"\0{username}\0{password}", password)
    return (*(base64.b64encode(one.encode()) for one in sent), password.encode())


def _words(error: BaseException) -> str:
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def _phase_of(error: BaseException, phase: str) -> str:
    """STARTTLS or a way to log in that we demand and the server lacks is the operator's business, not the weather's."""
    missing = isinstance(error, aiosmtplib.SMTPNotSupported) or (type(error) is SMTPException and phase in {"connect", "auth"})
    return "config" if missing else phase


async def _reset(server: aiosmtplib.SMTP, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return (await server.rset()).code == 250
    except (SMTPException, OSError, ValueError):
        return False


async def _quit(server: aiosmtplib.SMTP, seconds: float) -> None:
    with contextlib.suppress(SMTPException, OSError):
        async with asyncio.timeout(seconds):
            await server.quit()
    server.close()


def _nothing_sent(words: str, phase: str) -> Reply:
    return Reply(status=0, body=words.encode("utf-8", "replace"), headers={PHASE: phase}, written=False)
