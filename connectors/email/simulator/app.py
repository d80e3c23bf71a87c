"""The simulator as an aiohttp application, with an SMTP server beside it while it runs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from aiohttp import web
from aiosmtpd.smtp import SMTP

from connectors.email.simulator.sink import MAX_BYTES, Sink
from connectors.email.simulator.world import People, World
from connectors.simulator import Control, Faults, Phone, Webhooks

#: For tests which look inside, and for who mounts it.
WORLD: Final = web.AppKey("world", World)


def create_simulator_app(
    *,
    address: str,
    webhook: str,
    secret: str,
    authserv: str,
    smtp_port: int = 0,
    host: str = "127.0.0.1",
    now: Callable[[], float] = time.time,
) -> web.Application:
    """One shop's address; nothing is shared between two applications.

    ``webhook`` is the channel's and ``secret`` its ``webhook_secret``; ``authserv`` is one of its ``authserv_ids``. The channel's
    ``smtp`` goes to ``host`` and ``smtp_port`` (0: any free one, see ``app[WORLD].smtp_port``) with ``security = "none"``.
    """
    phone = Phone(now=now, features=("files", "subject"))
    world = World(address=address, webhook=webhook, secret=secret, authserv=authserv, phone=phone, now=now, host=host)
    faults = Faults()
    webhooks = Webhooks(faults)
    people = People(world, webhooks)
    sink = Sink(world, people, faults)
    app = web.Application()
    app[WORLD] = world

    async def running(_: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        open_: set[SMTP] = set()

        def protocol() -> SMTP:
            one = SMTP(sink, hostname="mail.example.org", data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, decode_data=False, loop=loop)
            open_.add(one)
            return one

        server = await loop.create_server(protocol, host, smtp_port)
        world.smtp_port = server.sockets[0].getsockname()[1]
        async with webhooks.running():
            yield
            server.close()
            for one in open_:
                if one.transport is not None:
                    one.transport.close()
            await server.wait_closed()

    app.cleanup_ctx.append(running)
    app.add_routes(Control(phone, people, faults).routes())
    return app
