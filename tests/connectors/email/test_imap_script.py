"""A mailbox that follows a script: what a real server does only now and then, it does every time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from tests.support.mail import QUICK, mail, mail_client, mail_settings
from tests.support.waiting import DEADLINE

MAIL = mail("announced")


@dataclass
class Script:
    """An IMAP server with one mail that comes at a chosen moment."""

    #: ``search``: while it searches; ``idle``: in one breath with "go on".
    moment: str
    there: bool = False
    announced: bool = False
    port: int = 0
    said: list[str] = field(default_factory=list)
    marked: bool = False
    #: Cuts the line in the middle of the mail so often.
    cuts: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                tag, _, command = line.decode().strip().partition(" ")
                if tag == "DONE":
                    writer.write(f"{self.said[-1].partition(' ')[0]} OK done\r\n".encode())
                    continue
                self.said.append(f"{tag} {command}")
                if not await self._answer(tag, command.upper(), writer):
                    break
                await writer.drain()
        writer.close()

    async def _answer(self, tag: str, command: str, writer: asyncio.StreamWriter) -> bool:
        exists = b"* 1 EXISTS\r\n"
        if command.startswith("UID SEARCH"):
            found = b"* SEARCH 1\r\n" if self.there and not self.marked else b"* SEARCH\r\n"
            writer.write(found)
            if self.moment == "search" and not self.announced:
                self.there = self.announced = True
                writer.write(exists)
        elif command == "IDLE":
            news = b""
            if self.moment == "idle" and not self.announced:
                self.there = self.announced = True
                news = exists
            # One packet.
            writer.write(b"+ idling\r\n" + news)
            return True
        elif "BODY.PEEK[]" in command:
            body = b"* 1 FETCH (UID 1 BODY[] {%d}\r\n" % len(MAIL) + MAIL + b")\r\n"
            if self.cuts:
                self.cuts -= 1
                writer.write(body[: len(body) // 2])
                return False
            writer.write(body)
        elif command.startswith("UID FETCH"):
            writer.write(b'* 1 FETCH (UID 1 RFC822.SIZE %d INTERNALDATE "05-Oct-2026 10:00:00 +0200")\r\n' % len(MAIL))
        elif command.startswith("SELECT"):
            writer.write(b"* 0 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] ok\r\n")
        elif command.startswith("UID STORE"):
            self.marked = True
        elif command.startswith("CAPABILITY"):
            writer.write(b"* CAPABILITY IMAP4rev1 IDLE\r\n")
        writer.write(f"{tag} OK done\r\n".encode())
        return True


@contextlib.asynccontextmanager
async def playing(script: Script) -> AsyncIterator[Script]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        await server.wait_closed()


async def first(script: Script) -> bytes:
    """What is taken first; IDLE would otherwise last far beyond the test."""
    box = {"host": "127.0.0.1", "port": script.port, "security": "none", "username": "u", "password": "p", "since": "2020-01-01"}
    async with mail_client(mail_settings(mailboxes=[box]), replace(QUICK, idle=600.0, read=30.0)) as client:
        requests = client.receive()
        async with asyncio.timeout(DEADLINE / 3):
            request = await anext(requests)
        await requests.aclose()  # type: ignore[attr-defined]
    return request.body


@pytest.mark.parametrize("moment", ["search", "idle"])
async def test_a_mail_that_comes_between_the_look_and_the_wait(moment: str) -> None:
    async with playing(Script(moment)) as script:
        assert await first(script) == MAIL


async def test_a_line_cut_in_the_middle_of_a_mail_brings_it_again_and_whole() -> None:
    async with playing(Script("search", cuts=2)) as script:
        assert await first(script) == MAIL
        assert sum("BODY.PEEK[]" in one.upper() for one in script.said) == 3
