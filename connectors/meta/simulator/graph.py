"""The Graph API's manners: the token in a header, errors as ``{"error": {…}}``, and what goes wrong on demand."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from connectors.signature import same
from connectors.simulator.faults import Fault, Faults, cut

_BODY_BYTES: Final = 110 * 1024 * 1024

#: Code with which a call that is taken fails afterwards.
LATER: Final = web.RequestKey("later", int)

Json = dict[str, Any]


class GraphRefusal(Exception):
    """What Meta answers instead of doing it."""

    def __init__(self, code: int, message: str, *, status: int = 400, subcode: int = 0, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.subcode = subcode
        self.details = details

    def answer(self, product: str = "whatsapp") -> web.Response:
        """The HTTP answer."""
        trace = hashlib.sha256(f"{self.code}{self.message}".encode()).hexdigest()[:22]
        error: Json = {"message": f"(#{self.code}) {self.message}", "type": "OAuthException", "code": self.code, "fbtrace_id": f"A{trace}"}
        if self.subcode:
            error["error_subcode"] = self.subcode
        if self.details:
            error["error_data"] = {"messaging_product": product, "details": self.details}
        return web.json_response({"error": error}, status=self.status)


def invalid_parameter(details: str) -> GraphRefusal:
    """Code 100."""
    return GraphRefusal(100, "Invalid parameter", details=details)


class Graph:
    """Guards the handlers of one simulated product."""

    def __init__(self, *, token: str, faults: Faults, throttled: GraphRefusal, failing: GraphRefusal, product: str = "whatsapp") -> None:
        """``throttled`` and ``failing``: what the product answers to too many calls, and when it is broken."""
        self._token = token
        self._faults = faults
        self._throttled = throttled
        self._failing = failing
        self._product = product

    def guarded(
        self, what: str, handle: Callable[[web.Request], Awaitable[web.StreamResponse]], *, sending: bool = False
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """``handle`` behind the token and the faults for ``what``; ``sending``: also behind those for any sending."""

        async def handler(request: web.Request) -> web.StreamResponse:
            fault = self._faults.take(what, sending=sending)
            try:
                self.check_token(request)
                if fault is not None and (spoilt := await self._spoil(request, fault)) is not None:
                    return spoilt
                answer = await handle(request)
            except GraphRefusal as refusal:
                return refusal.answer(self._product)
            if fault is not None and fault.kind == "reset_after":
                return cut(request)
            if fault is not None and fault.kind == "garbage":
                return web.Response(text="<html>an answer of somebody on the way</html>", content_type="text/html")
            return answer

        return handler

    def check_token(self, request: web.Request) -> None:
        """Raises what Meta answers to a stranger. A token in the address works at Meta too, but not here: it would end up in logs."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not same(self._token, token):
            raise GraphRefusal(190, f"Invalid OAuth access token - Cannot parse access token {token[:200]}", status=401)

    async def _spoil(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        """What happens before anything is done; None: it goes on, and may still go wrong afterwards."""
        match fault.kind:
            case "throttled":
                answer = self._throttled.answer(self._product)
                if fault.seconds != 1.0:
                    answer.headers["Retry-After"] = str(int(fault.seconds))
                return answer
            case "error":
                raise GraphRefusal(fault.code, "An error on demand", details="It was asked for by the control interface.")
            case "500":
                return self._failing.answer(self._product)
            case "hang":
                await asyncio.sleep(fault.seconds)
                return cut(request)
            case "later":
                request[LATER] = fault.code
                return None
            case _:
                return None


async def read_object(request: web.Request) -> Json:
    """The JSON object of a call. Raises what Meta answers to anything else."""
    data = await request.content.read(_BODY_BYTES) if request.can_read_body else b""
    try:
        found = msgspec.json.decode(data or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise invalid_parameter("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise invalid_parameter("The body is not an object.")
    return found
