"""Our own SMTP server, to which another server forwards. It says 250 only for what is durable, and knows only our own addresses."""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any, Final

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from connectors.contract import Request
from connectors.email.address import normalised
from connectors.email.handover import Handover
from connectors.email.inbound import DOUBTED, ENVELOPE_FROM, ENVELOPE_TO, SECRET_HEADER
from connectors.email.settings import TOKEN, Listen, Settings, own_addresses, receiver_secret

log = structlog.get_logger(__name__)

#: Recipients of one mail; seconds that a client may be silent, and that storing may take.
_MAX_RECIPIENTS: Final = 50
_SILENCE: Final = 60.0
_STORING: Final = 60.0
_LATER: Final = "451 4.3.0 not stored; try again later"


class Listener:
    """Serves until closed."""

    def __init__(self, settings: Settings, listen: Listen, handover: Handover, channel: str) -> None:
        self._settings = settings
        self._listen = listen
        self._handover = handover
        self._believed = tuple(ip_network(one) for one in listen.believe)
        self._own = own_addresses(settings)
        self._server: asyncio.Server | None = None
        self._open: set[_Protocol] = set()
        self._log = log.bind(channel=channel)

    async def start(self) -> None:
        """Raises OSError if the port is taken, the certificate unreadable."""
        context = None
        if self._listen.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            await asyncio.to_thread(context.load_cert_chain, self._listen.certificate, self._listen.key)
        loop = asyncio.get_running_loop()

        def protocol() -> _Protocol:
            return _Protocol(self, context, self._settings.max_bytes, loop)

        self._server = await loop.create_server(protocol, self._listen.host, self._listen.port)
        self._log.info("email.listening", host=self._listen.host, port=self.port)

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None and self._server.sockets else 0

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for one in list(self._open):
                one.cut()
            await self._server.wait_closed()
            self._server = None

    def full(self, protocol: "_Protocol") -> bool:
        """Counts a connection; True if there are too many."""
        self._open.add(protocol)
        return len(self._open) > self._listen.connections

    def gone(self, protocol: "_Protocol") -> None:
        self._open.discard(protocol)

    # --- called by aiosmtpd -----------------------------------------------------------------------------------------------

    async def handle_RCPT(  # noqa: N802  the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Only addresses of ours: an open relay is found within the hour."""
        del server, session, options
        if not self._ours(normalised(address)):
            return "550 5.1.1 no such address here"
        if len(envelope.rcpt_tos) >= _MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  the library's name
        """250 after the gateway has stored it, 451 if it could not: then the other server keeps it."""
        del server
        content = envelope.content
        headers = {
            SECRET_HEADER: receiver_secret(self._settings).reveal(),
            ENVELOPE_FROM: envelope.mail_from or "",
            ENVELOPE_TO: ",".join(envelope.rcpt_tos),
            "content-type": "message/rfc822",
        }
        if not self._is_believed(session.peer):
            headers[DOUBTED] = "1"
        body = content if isinstance(content, bytes) else str(content or "").encode("utf-8", "surrogateescape")
        request = Request(
            method="SMTP", url=f"smtp://{self._listen.host}:{self.port}/", headers=headers, body=body, received_at=datetime.now(UTC)
        )
        try:
            async with asyncio.timeout(_STORING):
                await self._handover.give(request)
        except (OSError, TimeoutError):
            return _LATER
        return "250 2.0.0 stored"

    async def handle_exception(self, error: Exception) -> str:
        self._log.error("email.listener_failed", error=type(error).__name__)
        return _LATER

    def _ours(self, address: str) -> bool:
        if address in self._own:
            return True
        before, _, after = self._settings.reply_address.lower().partition(TOKEN)
        return bool(before and after) and address.startswith(before) and address.endswith(after)

    def _is_believed(self, peer: Any) -> bool:
        try:
            host = ip_address(peer[0].partition("%")[0])
        except (ValueError, TypeError, IndexError, AttributeError):
            return False
        return any(host in network for network in self._believed if network.version == host.version)


class _Protocol(SMTP):
    """aiosmtpd with a limit on connections, and without its name and version in the greeting."""

    def __init__(self, listener: Listener, context: ssl.SSLContext | None, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            listener,
            data_size_limit=limit,
            enable_SMTPUTF8=True,
            decode_data=False,
            hostname="sportello",
            ident="ESMTP",
            tls_context=context,
            timeout=_SILENCE,
            loop=loop,
        )
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._listener.full(self) and isinstance(transport, asyncio.Transport):
            transport.write(b"421 4.7.0 too many connections\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.gone(self)
        if self.transport is not None:
            super().connection_lost(error)

    def cut(self) -> None:
        """End the connection; a mail under way gets no 250."""
        if self.transport is not None:
            with contextlib.suppress(OSError):
                self.transport.close()
