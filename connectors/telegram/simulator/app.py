"""The simulator as an aiohttp application: alone on a port, or mounted below a prefix of another one."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from connectors.signature import same
from connectors.telegram.simulator.call import ApiCall, read_call
from connectors.telegram.simulator.control import Control
from connectors.telegram.simulator.door import Door
from connectors.telegram.simulator.faults import Fault, Faults
from connectors.telegram.simulator.ledger import Ledger
from connectors.telegram.simulator.limits import ApiError, RateLimits, too_many
from connectors.telegram.simulator.methods import BotApi
from connectors.telegram.simulator.state import FIRST_USER, World
from connectors.telegram.simulator.updates import Updates

#: For tests which look inside.
WORLD: Final = web.AppKey("world", World)
UPDATES: Final = web.AppKey("updates", Updates)


def create_simulator_app(
    *,
    token: str,
    username: str = "demo_shop_bot",
    rate_limits: bool = True,
    ledger_path: Path | None = None,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    first_user: int = FIRST_USER,
) -> web.Application:
    """One bot's Telegram. ``token`` is ``<digits>:<secret>``; nothing is shared between two applications.

    ``rate_limits``: refuse more than about one message a second per chat. ``ledger_path``: also write each accepted
    sending there, durably. ``now`` gives the time of messages, ``clock`` the time that rates are measured by.
    ``first_user``: id of the first person, above all earlier ones if the gateway's database outlives the simulator.
    """
    if not token.partition(":")[0].isdigit():
        raise ValueError("token must look like 123456:secret")
    ledger = Ledger(ledger_path)
    world = World(token, username, ledger, RateLimits(enabled=rate_limits, clock=clock), now, first_user)
    updates, faults = Updates(), Faults()
    api = _Api(world, BotApi(world, updates), faults)
    app = web.Application()
    app[WORLD], app[UPDATES] = world, updates
    app.add_routes(
        [
            web.route("*", "/bot{token}/{method}", api.call),
            web.get("/t.me/{bot}", Door(world).open),
            web.get("/file/bot{token}/{path:.+}", api.file),
            *Control(world, updates, faults).routes(),
        ]
    )
    app.cleanup_ctx.append(_running)
    return app


async def _running(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        task = asyncio.ensure_future(app[UPDATES].run(session))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await app[UPDATES].stop()
    app[WORLD].ledger.close()


class _Api:
    """Bot API over HTTP: credentials, faults, and the envelope of answers."""

    def __init__(self, world: World, api: BotApi, faults: Faults) -> None:
        self._world = world
        self._api = api
        self._faults = faults

    async def call(self, request: web.Request) -> web.StreamResponse:
        """``/bot<token>/<method>``."""
        try:
            self._authorise(request)
            call = await read_call(request, request.match_info["method"])
            return await self._perform(request, call)
        except ApiError as error:
            return _refusal(error)

    def _authorise(self, request: web.Request) -> None:
        given = request.match_info["token"]
        if ":" not in given:
            raise ApiError(404, "Not Found")
        if not same(self._world.token, given):
            raise ApiError(401, "Unauthorized")

    async def _perform(self, request: web.Request, call: ApiCall) -> web.StreamResponse:
        fault = self._faults.take(call.method)
        if fault is not None:
            await _before(fault, request)
            call.refused_file = 2 if fault.kind == "file_refused" else 0
        result = await self._api.perform(call)
        if fault is not None and fault.kind == "reset_after":
            _cut(request)
        if fault is not None and fault.kind == "garbage":
            return web.Response(text="<html><body>Welcome to the hotel's network</body></html>", content_type="text/html")
        return web.json_response({"ok": True, "result": result})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """``/file/bot<token>/<path>``."""
        try:
            self._authorise(request)
        except ApiError as error:
            return _refusal(error)
        file = self._world.file_at(request.match_info["path"])
        if file is None:
            return _refusal(ApiError(404, "Not Found"))
        return web.Response(body=file.data, content_type="application/octet-stream")


async def _before(fault: Fault, request: web.Request) -> None:
    match fault.kind:
        case "retry_after":
            raise too_many(max(1, round(fault.seconds)))
        case "500":
            raise ApiError(500, "Internal Server Error")
        case "hang":
            await asyncio.sleep(fault.seconds)
            _cut(request)
        case _:
            return


def _cut(request: web.Request) -> None:
    """Resets the connection, and ends the handler."""
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError


def _refusal(error: ApiError) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    headers = {"Retry-After": str(error.parameters["retry_after"])} if "retry_after" in error.parameters else {}
    return web.json_response(body, status=error.code, headers=headers)
