"""The simulated mail world on real ports: its mailbox, its server for outgoing mail, its control."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from connectors.email.simulator import WORLD, World, create_simulator_app
from connectors.email.simulator.mailbox import Folder
from tests.support.mail import ADDRESS, AUTHSERV, WEBHOOK_SECRET
from tests.support.serving import serving

#: The mailbox's password is the secret that all of the simulator's doors have.
PASSWORD = WEBHOOK_SECRET


@dataclass
class MailWorld:
    """A running simulator."""

    world: World
    base: str
    session: aiohttp.ClientSession

    async def control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(f"{self.base}/control/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def fault(self, kind: str, on: str = "", **more: Any) -> None:
        await self.control("faults", {"kind": kind, "on": on, **more})

    def folder(self, name: str = "INBOX") -> Folder:
        return self.world.box.folders[name]

    def put(self, *mails: bytes, folder: str = "INBOX") -> None:
        for one in mails:
            self.world.box.add(self.folder(folder), one)

    def mailbox(self, **more: Any) -> dict[str, Any]:
        """A section of settings."""
        return {
            "host": "127.0.0.1",
            "port": self.world.imap_port,
            "security": "none",
            "username": ADDRESS,
            "password": PASSWORD,
            "since": "2020-01-01",
            **more,
        }

    def oauth(self) -> dict[str, Any]:
        """The same mailbox by token."""
        oauth = {"token_url": f"{self.base}/oauth/token", "client_id": "us", "refresh_token": PASSWORD}
        return {name: value for name, value in self.mailbox(oauth=oauth).items() if name != "password"}

    def smtp(self, **more: Any) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.world.smtp_port, "security": "none", "timeout": 5.0, **more}

    def read_by(self, person: str) -> list[str]:
        """What the shop wrote to them."""
        return [line.text for line in self.world.phone.lines.values() if line.person == person and line.from_shop]


@contextlib.asynccontextmanager
async def mail_world() -> AsyncIterator[MailWorld]:
    app: web.Application = create_simulator_app(address=ADDRESS, secret=PASSWORD, authserv=AUTHSERV)
    async with serving(app) as base, aiohttp.ClientSession() as session:
        yield MailWorld(app[WORLD], base, session)
