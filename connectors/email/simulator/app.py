"""The simulator as an aiohttp application, with an IMAP and an SMTP server beside it while it runs."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiosmtpd.smtp import SMTP

from connectors.email.simulator.imap import Door, ImapServer
from connectors.email.simulator.mailbox import MAX_BYTES, Mailbox
from connectors.email.simulator.mailbox_control import MailboxControl
from connectors.email.simulator.sink import Sink
from connectors.email.simulator.world import People, World
from connectors.simulator import Control, Faults, Phone, Webhooks

#: For tests which look inside, and for who mounts it.
WORLD: Final = web.AppKey("world", World)


def create_simulator_app(
    *,
    address: str,
    secret: str,
    authserv: str,
    webhook: str = "",
    smtp_port: int = 0,
    imap_port: int = 0,
    host: str = "127.0.0.1",
) -> web.Application:
    """One shop's address; nothing is shared between two applications.

    ``authserv`` is one of the channel's ``authserv_ids``. The channel's ``mailboxes`` and ``smtp`` go to ``host`` with
    ``security = "none"``, at ``imap_port`` and ``smtp_port`` (0: any free one, see ``app[WORLD]``). To the mailbox ``secret`` is the
    password of the user ``address``; it is also the refresh token for which ``/oauth/token`` gives access tokens. With ``webhook``,
    the channel's, what people write is also posted there, where ``secret`` is its ``webhook_secret``.
    """
    now = time.time
    phone = Phone(now=now, features=("files", "subject"))
    faults = Faults()
    imap = ImapServer(Mailbox(now), Door(username=address, password=secret), faults)
    world = World(address=address, webhook=webhook, secret=secret, authserv=authserv, phone=phone, now=now, host=host, box=imap.box)
    webhooks = Webhooks(faults)
    people = People(world, webhooks)
    sink = Sink(world, people, faults)
    app = web.Application()
    app[WORLD] = world

    async def running(_: web.Application) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            inbox, outgoing = socket.create_server((host, imap_port)), socket.create_server((host, smtp_port))
            world.imap_port, world.smtp_port = inbox.getsockname()[1], outgoing.getsockname()[1]
            await stack.enter_async_context(imap.running(inbox))
            await stack.enter_async_context(_taking(sink, outgoing))
            await stack.enter_async_context(webhooks.running())
            yield

    app.cleanup_ctx.append(running)
    app.add_routes(Control(phone, people, faults).routes())
    app.add_routes(MailboxControl(imap).routes())
    return app


@contextlib.asynccontextmanager
async def _taking(sink: Sink, listener: socket.socket) -> AsyncIterator[None]:
    """The SMTP server, while it runs."""
    loop = asyncio.get_running_loop()
    open_: set[SMTP] = set()

    def protocol() -> SMTP:
        one = SMTP(sink, hostname="mail.example.org", data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, decode_data=False, loop=loop)
        open_.add(one)
        return one

    server = await loop.create_server(protocol, sock=listener)
    try:
        yield
    finally:
        server.close()
        for one in open_:
            if one.transport is not None:
                one.transport.close()
        await server.wait_closed()
