"""How connections are taken: each has only so long to say what it wants, and a lack of descriptors is no reason to run in circles.

Half a request that never ends must not cost us a connection for ever.

aiohttp (3.14) bounds how long a connection may be idle, but takes a request's head for idleness, and its bound has to be longer than
a proxy's. Bodies have their own deadline, ``gateway.web.dispatch.BODY_SECONDS``.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

#: From the first byte of a request, or from the opening of the connection, to the end of its head.
HEAD_SECONDS: Final = 10.0
#: Between two requests; proxies keep their connections for about a minute.
IDLE_SECONDS: Final = 75.0


class PatientSite(web.SockSite):
    """A site whose clients have to finish what they begin."""

    async def start(self) -> None:
        """Listen."""
        await super(web.SockSite, self).start()
        loop = asyncio.get_running_loop()
        server = self._runner.server
        assert server is not None

        def connection() -> web.RequestHandler:
            return _Connection(server, loop=loop, access_log=None, keepalive_timeout=IDLE_SECONDS)

        # Accepts one at a time: when no descriptor is left, asyncio tries, logs and sets a timer once per place of the backlog, and its
        # timers breed. The kernel's queue is as long as it should be all the same.
        self._server = await loop.create_server(connection, sock=self._sock, backlog=1)
        self._sock.listen(self._backlog)


class _Connection(web.RequestHandler):
    __slots__ = ("_late",)

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP is a stranger's mistake and not ours: no traceback, and none of its bytes in the log or in the answer."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        response = web.Response(status=status, headers={"Server": "sportello"})
        response.force_close()
        return response

    def _watch(self) -> None:
        if self._is_heard():
            self._relax()
        elif self._late is None:
            self._late = self._loop.call_later(HEAD_SECONDS, self._hang_up)

    def _is_heard(self) -> bool:
        """A whole head has come, and what it asks for waits or is under way."""
        return bool(self._messages) or self._request_in_progress

    def _relax(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _hang_up(self) -> None:
        self._late = None
        if not self._is_heard():
            self.force_close()
