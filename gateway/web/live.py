"""What both kinds of open sockets share: sending with a limit of patience, pings, and ending when the first of several things ends."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import msgspec
import structlog
from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from gateway.web.errors import Refusal
from gateway.web.state import WebState
from storage.errors import StorageError

PING_SECONDS: Final = 20.0
#: A client that takes nothing for this long is cut.
SEND_SECONDS: Final = 10.0
HELLO_SECONDS: Final = 5.0
#: After a restart all clients are back within this time.
COME_BACK: Final = (0.5, 5.0)

BAD_CREDENTIAL: Final = 4401
RESTART: Final = int(WSCloseCode.SERVICE_RESTART)
ABUSE: Final = int(WSCloseCode.POLICY_VIOLATION)
NO_BINARY: Final = int(WSCloseCode.UNSUPPORTED_DATA)
TRY_AGAIN: Final = int(WSCloseCode.TRY_AGAIN_LATER)

PING: Final = b'{"type":"ping"}'
encode: Final = msgspec.json.Encoder().encode


class Closing(Exception):
    """The connection is to end with this close code."""

    def __init__(self, code: int, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        #: Seconds after which to come back; 0: as the client likes.
        self.retry_after = retry_after


class Wire(Protocol):
    """Where frames go."""

    async def send(self, frame: bytes, pos: int = 0) -> None:
        """Send one JSON document; ``pos`` is its place in the stream, 0 if it has none. Raises Closing."""
        ...


class SocketWire:
    """A WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, slow_code: int) -> None:
        self._socket = socket
        self._slow_code = slow_code

    async def send(self, frame: bytes, pos: int = 0) -> None:  # noqa: ARG002 - the protocol's shape
        """Send one text frame."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_frame(frame, WSMsgType.TEXT)
        except TimeoutError:
            raise Closing(self._slow_code, "too slow") from None
        except ClientConnectionResetError:
            raise Closing(int(WSCloseCode.GOING_AWAY), "gone") from None


async def keep_alive(wire: Wire) -> None:
    """Send a ping now and then, so that proxies and browsers see life. Ends only by an exception."""
    while True:
        await asyncio.sleep(PING_SECONDS)
        await wire.send(PING)


async def first_of(state: WebState, *parts: Coroutine[Any, Any, None]) -> Closing:
    """Run ``parts`` side by side until one ends, or the gateway stops; says how the connection is to be closed."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in parts]
    stopping: asyncio.Task[Any] = asyncio.create_task(state.stopping.wait())
    try:
        done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
    if stopping in done:
        return Closing(RESTART, "the gateway restarts", come_back())
    for task in done:
        error = task.exception()
        if isinstance(error, Closing):
            return error
        if isinstance(error, StorageError):
            return Closing(TRY_AGAIN, "the database is away")
        if isinstance(error, ConnectionError):
            return Closing(int(WSCloseCode.GOING_AWAY), "gone")
        if error is not None:
            structlog.get_logger("web").error("a connection failed", exc_info=error)
            return Closing(int(WSCloseCode.INTERNAL_ERROR), "something went wrong on our side")
    return Closing(int(WSCloseCode.OK), "")


async def close(socket: web.WebSocketResponse, closing: Closing, slow_code: int) -> None:
    """Say why and hang up; a client that does not listen is not waited for."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(SEND_SECONDS):
            if closing.retry_after:
                await socket.send_str(encode({"type": "restart", "retry_after": closing.retry_after}).decode())
            await socket.close(code=closing.code, message=closing.reason.encode(), drain=closing.code != slow_code)


def come_back() -> float:
    """Seconds, different for each client, so that not all come back at once."""
    return round(random.uniform(*COME_BACK), 1)  # noqa: S311 - nothing secret


async def first_frame(socket: web.WebSocketResponse) -> bytes:
    """The first text frame, within 5 seconds. Raises Closing 4401."""
    try:
        message = await socket.receive(HELLO_SECONDS)
    except TimeoutError:
        raise Closing(BAD_CREDENTIAL, "no credential within 5 seconds") from None
    if message.type is not WSMsgType.TEXT:
        raise Closing(BAD_CREDENTIAL, "the first frame must be a text frame with the credential")
    return str(message.data).encode("utf-8", "surrogatepass")


async def upgrade(request: web.Request, max_frame: int) -> web.WebSocketResponse:
    """Become a WebSocket. No compression: it would cost memory per client, and small frames gain nothing. Raises Refusal 400."""
    socket = web.WebSocketResponse(heartbeat=1.5 * PING_SECONDS, max_msg_size=max_frame, compress=False, autoping=False, timeout=2.0)
    if not socket.can_prepare(request).ok:
        raise Refusal(400, "websocket_expected", "This address speaks WebSocket.", headers={"Upgrade": "websocket"})
    await socket.prepare(request)
    return socket


def is_upgrade(request: web.Request) -> bool:
    """Does the request want to become a WebSocket?"""
    return request.headers.get("Upgrade", "").lower() == "websocket"
