"""What the handlers of one gateway share; found in the application under one typed key."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from config.address import origin_of
from gateway.passwords import Passwords
from gateway.services import Channel, Services
from gateway.web.bodies import Bodies
from gateway.web.courtesies import Courtesies
from gateway.web.picture_fetch import RemotePictures
from gateway.web.signing import Cursors
from gateway.web.template_cache import Templates
from gateway.web.throttle import Rates, Throttle


class Background:
    """Small tasks that outlive their request; awaited or cancelled when the gateway stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, seconds: float) -> None:
        """Give what runs some time, then cancel it."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebState:
    """Built by ``gateway.app.create_app``."""

    services: Services
    #: When this process began.
    started: datetime
    #: Shop and phone pages are shown, and the web chat accepts the gateway's own pages.
    demo: bool
    #: The enabled web chats, with their secrets.
    chats: Mapping[str, Channel]
    cursors: Cursors
    passwords: Passwords
    #: Attempts to log in, by account and address together.
    login_throttle: Throttle
    #: Failures to log in, by address and by account.
    flood_throttle: Throttle
    #: New visitors, by address.
    visitor_throttle: Throttle
    #: Visitors' frames that come by HTTP, by visitor: as many as a socket may send.
    visitor_frames: Rates = field(default_factory=lambda: Rates(20, 20))
    courtesies: Courtesies
    templates: Templates
    remote_pictures: RemotePictures
    #: Files fetched by public address, by who fetches: a provider does so for many shoppers at once.
    file_fetches: Rates = field(default_factory=lambda: Rates(50, 200))
    #: People who want no more mails, by address: their providers ask for many of them.
    unsubscribes: Rates = field(default_factory=lambda: Rates(50, 200))
    #: Requests' bodies that are still coming.
    bodies: Bodies = field(default_factory=Bodies)
    background: Background = field(default_factory=Background)
    #: Set when the gateway is about to stop: it works as ever, and wants no more visitors.
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set when the gateway stops: open sockets close with 1012, so that browsers come back.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        """The gateway's own origin, for example ``https://chat.example.org``."""
        return origin_of(self.services.config.public_url)

    @property
    def secure(self) -> bool:
        """Is the gateway reached by https?"""
        return self.origin.startswith("https://")


STATE: Final = web.AppKey("state", WebState)
