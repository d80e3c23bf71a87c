"""Around every request: errors become answers, times are measured, headers tell browsers what not to do."""

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.fetch import LOOP_HEADER, loop_mark
from gateway.web.errors import Refusal, respond_to
from gateway.web.state import STATE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: For answers that are no pages.
_CSP_DATA: Final = "default-src 'none'; frame-ancestors 'none'"
#: For our pages: everything from our own server, no inline script or style, never in a frame; people's pictures from their own origin.
_CSP_PAGE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{files}; media-src 'self' blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS: Final = "max-age=31536000; includeSubDomains"


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is raised becomes an answer, and the time it took is noted."""
    if _is_foreign(request):
        return await handler(request)
    began = time.perf_counter()
    try:
        _refuse_loop(request)
        response = await handler(request)
    except web.HTTPRedirection:
        raise
    except Exception as error:  # noqa: BLE001 - the last place before the client
        response = respond_to(error)
    if not isinstance(response, web.WebSocketResponse) and response.content_type != "text/event-stream":
        resource = request.match_info.route.resource
        template = resource.canonical if resource is not None else "-"
        labels = (request.method if resource is not None else "-", template, str(response.status))
        request.app[STATE].services.metrics.http.labels(*labels).observe(time.perf_counter() - began)
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer of ours carries, unless its handler knew better."""
    if _is_foreign(request):
        return
    headers = response.headers
    headers["Server"] = "sportello"
    if isinstance(response, web.WebSocketResponse):
        return
    if request.app[STATE].leaving.is_set():
        # Whoever keeps this connection for the next request would find it closed.
        headers["Connection"] = "close"
        response.force_close()
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    is_page = response.content_type == "text/html"
    headers.setdefault("Content-Security-Policy", _page_policy(request.app[STATE].services.config.file_origin) if is_page else _CSP_DATA)
    headers.setdefault("Cache-Control", "no-store")
    if request.app[STATE].secure:
        headers.setdefault("Strict-Transport-Security", _HSTS)


def _page_policy(file_origin: str) -> str:
    return _CSP_PAGE.format(files=f" {file_origin}" if file_origin else "")


def _refuse_loop(request: web.Request) -> None:
    """A message may name an address of ours as its file's; under whatever name it reaches us, it is we who ask."""
    mark = request.headers.get(LOOP_HEADER)
    if mark is None:
        return
    own = loop_mark(request.app[STATE].services.config.server.secret_key)
    if hmac.compare_digest(mark.encode("utf-8", "surrogateescape"), own.encode()):
        raise Refusal(403, "loop", "This gateway does not fetch from itself.")


def _is_foreign(request: web.Request) -> bool:
    """Mounted beside us, for instance a provider's simulator: not ours to answer for."""
    return len(request.match_info.apps) > 1
