"""People's files at an origin of their own (``media.origin``), where no cookie is sent and nothing else is answered.

Whatever a browser may once be talked into by a file, it then does where there is nothing to be had. Links there are signed and
last ten minutes at most; the gateway's own origin serves no file of people's any more, it points there.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from config import Config
from gateway.web import media, public_files, remote_pictures, visitor_files
from gateway.web.errors import not_found
from gateway.web.file_tokens import FOR_PAGES, WINDOW_SECONDS, open_token
from gateway.web.state import STATE


async def show(request: web.Request) -> web.StreamResponse:
    """``GET /media/{token}``: what an agent's page shows or downloads. One 404 for all refusals but the scanner's."""
    services = request.app[STATE].services
    token = request.match_info["token"]
    apart = bool(services.config.file_origin)
    file_id = open_token(services.config.server.secret_key, token, services.clock(), FOR_PAGES) if apart else ""
    file = await services.store.view(lambda tx: tx.files.get(file_id)) if file_id else None
    if file is None:
        raise not_found()
    response = await media.serve(services, file, original=media.wants_original(request))
    # The pages that show it are at the gateway's own origin.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Cache-Control"] = f"private, max-age={WINDOW_SECONDS}"
    return response


#: All that is answered there, and that the gateway's own origin leaves to it.
HANDLERS: Final[frozenset[Any]] = frozenset({show, public_files.fetch, visitor_files.download, remote_pictures.show})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def keep_apart(config: Config) -> Middleware:
    """A middleware: at the files' origin only files, at the gateway's own none."""
    origin = config.file_origin
    hosts = _hosts(origin)

    @web.middleware
    async def apart(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not origin:
            return await handler(request)
        is_file = request.match_info.handler in HANDLERS
        if request.host.lower() in hosts:
            if not is_file:
                raise not_found()
            return await handler(request)
        if is_file:
            return web.Response(status=302, headers={"Location": origin + request.rel_url.raw_path_qs, "Cache-Control": "no-store"})
        return await handler(request)

    return apart


def _hosts(origin: str) -> frozenset[str]:
    """As a Host header may name it."""
    parts = urlsplit(origin)
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return frozenset({parts.netloc} if parts.port is not None else {parts.netloc, parts.netloc + default})
