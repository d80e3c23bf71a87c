"""Files behind links that live for minutes and want the token too."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import web

from connectors.meta.simulator.graph import Graph, GraphRefusal
from connectors.signature import same
from connectors.simulator.phone import File

LINK_SECONDS: Final = 300.0
PATH: Final = "/lookaside/whatsapp_business/attachments/"


class Lookaside:
    """Files by number, and signed links to them."""

    def __init__(self, graph: Graph, now: Callable[[], float], link_seconds: float = LINK_SECONDS) -> None:
        self._graph = graph
        self._now = now
        self._link_seconds = link_seconds
        self._key = secrets.token_bytes(16)
        self.files: dict[str, File] = {}

    def add(self, file: File) -> str:
        """The number of a file."""
        number = str(10**14 + int.from_bytes(hashlib.sha256(f"{file.id}{len(self.files)}".encode()).digest()[:6]))
        self.files[number] = file
        return number

    def link(self, root: str, number: str) -> str:
        """An address below ``root`` that works for some minutes."""
        until = str(int(self._now() + self._link_seconds))
        return f"{root}{PATH}?mid={number}&ext={until}&hash={self._mark(number, until)}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The bytes, for who has link and token in time."""
        number, until, mark = (request.query.get(name, "") for name in ("mid", "ext", "hash"))
        try:
            self._graph.check_token(request)
        except GraphRefusal as refusal:
            return refusal.answer()
        if number not in self.files or not same(self._mark(number, until), mark) or float(until) <= self._now():
            return web.Response(status=404, text="URL signature expired")
        file = self.files[number]
        return web.Response(body=file.data, headers={"Content-Type": file.mime})

    def _mark(self, number: str, until: str) -> str:
        return hmac.new(self._key, f"{number}:{until}".encode(), hashlib.sha256).hexdigest()[:40]
