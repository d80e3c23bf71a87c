"""A real IMAP server on one mailbox, with faults to order: RFC 3501 as far as mail programs need it to take mail and to file it.

Also IDLE (2177), UIDPLUS (4315), MOVE (6851), SPECIAL-USE (6154), LITERAL+ (7888), SASL-IR (4959), UNSELECT (3691), and logins
by PLAIN and XOAUTH2. No parts of mails, no renaming, no quotas.

Faults are asked for by a command's name in small letters (``on``; of ``UID FETCH`` it is ``fetch``), or by ``connect``.
"""

import asyncio
import contextlib
import hmac
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from connectors.email.simulator.command import MAX_LINE
from connectors.email.simulator.mailbox import Mailbox
from connectors.email.simulator.session import Session
from connectors.simulator import Faults


@dataclass(kw_only=True)
class Door:
    """Who may come in."""

    username: str
    password: str
    #: Access tokens that are good now, for XOAUTH2; the oldest end first.
    tokens: deque[str] = field(default_factory=lambda: deque(maxlen=50))

    def password_fits(self, username: str, password: str) -> bool:
        """LOGIN and PLAIN."""
        return _same(username, self.username) and _same(password, self.password)

    def token_fits(self, username: str, token: str) -> bool:
        """XOAUTH2."""
        return _same(username, self.username) and any(_same(token, one) for one in self.tokens)


class ImapServer:
    """All connections to one mailbox."""

    def __init__(self, box: Mailbox, door: Door, faults: Faults) -> None:
        self.box = box
        self.door = door
        self.faults = faults
        self._closing = asyncio.Event()
        self._sessions: dict[Session, asyncio.Task[None]] = {}

    @property
    def users(self) -> int:
        """Connections that are logged in."""
        return sum(one.logged_in for one in self._sessions)

    @contextlib.asynccontextmanager
    async def running(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serves what comes to ``listener``, which it closes."""
        server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_LINE)
        try:
            yield
        finally:
            server.close()
            self._closing.set()
            tasks = list(self._sessions.values())
            self.cut()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    def cut(self) -> None:
        """Resets all connections."""
        for one in self._sessions:
            one.cut()

    async def pause(self, seconds: float) -> None:
        """So long, or until the server stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[session] = task
        try:
            await session.run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._sessions[session]
            session.close()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
