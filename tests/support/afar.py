"""Somebody else's server, which would like to know who reads the mails that it sends."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from msgspec.structs import replace

from config import ChannelConfig, Config
from config.model import Media
from connectors.email.inbound import SECRET_HEADER
from tests.support.gateway import CHANNELS, gateway_config
from tests.support.mail import BASE, WEBHOOK_SECRET, mail
from tests.support.pictures import png
from tests.support.serving import serving

HOOK = {SECRET_HEADER: WEBHOOK_SECRET, "Content-Type": "message/rfc822"}
HTML_HEAD = "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n"
PIXEL = png(1, 1)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


@dataclass
class Tracker:
    """Counts who comes, and hands out what it has."""

    root: str = ""
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    #: Path and headers, in lower case, of each request.
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.path_qs, {name.lower(): value for name, value in request.headers.items()}))
        cookie = {"Set-Cookie": "who=ada"}
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path], **cookie})
        body, mime = self.files.get(request.path, (PIXEL, "image/png"))
        return web.Response(body=body, content_type=mime, headers=cookie)

    @property
    def place(self) -> str:
        """``host:port``."""
        return self.root.removeprefix("http://")


@contextlib.asynccontextmanager
async def running_tracker() -> AsyncIterator[Tracker]:
    tracker = Tracker()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tracker.answer)
    async with serving(app) as tracker.root:
        yield tracker


def html_mail(html: str, id_: str = "one@example.org") -> bytes:
    """From Ada, or from somebody else if the id is of another house."""
    return mail(html, id_=id_, sender=f"Ada <ada@{id_.rpartition('@')[2]}>", head=HTML_HEAD)


def config_with_mail(folder: Path, *allowed: str) -> Config:
    """A gateway with a support address, which may reach these hosts although they are private."""
    channels = {**CHANNELS, "mail": ChannelConfig(kind="email", title="Mail", settings=BASE)}
    return replace(gateway_config(folder, channels), media=Media(allow_private_hosts=allowed))
