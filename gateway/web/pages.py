"""The browser's files: the inbox, the widget, and in the demo the shop and the phone. All come from ``gateway/ui/dist``."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway.web.errors import not_found
from gateway.web.state import STATE

DIST: Final = Path(__file__).parent.parent / "ui" / "dist"
STATIC: Final = Path(__file__).parent / "static"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
#: Vite writes a hash of the content into these names, so they never change.
_HASHED: Final = re.compile(r".+-[A-Za-z0-9_-]{8,}\.[a-z0-9]+")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".mp3": "audio/mpeg",
    ".webmanifest": "application/manifest+json",
}
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sportello</title>
<h1>The pages are not built yet</h1>
<p>The gateway itself is running. Build its pages with <code>make ui</code>, then load this page again.</p>
</html>
"""


async def root(request: web.Request) -> web.StreamResponse:
    """The shop in the demo, else the inbox."""
    _own_address(request)
    if request.app[STATE].demo:
        return page(DIST, "shop/index.html")
    return web.Response(status=302, headers={"Location": "/inbox/"})


async def inbox(request: web.Request) -> web.StreamResponse:
    """The agents' page and its files."""
    _own_address(request)
    return page(DIST, f"inbox/{request.match_info['file'] or 'index.html'}")


async def demo_page(request: web.Request) -> web.StreamResponse:
    """Shop and phone, in the demo only."""
    if not request.app[STATE].demo:
        raise not_found()
    _own_address(request)
    return page(DIST, f"{request.match_info['page']}/{request.match_info['file'] or 'index.html'}")


async def with_slash(request: web.Request) -> web.StreamResponse:
    """``/inbox`` -> ``/inbox/``."""
    return web.Response(status=308, headers={"Location": f"{request.path.split('?')[0].rstrip('/')}/"})


async def widget(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - a handler's shape
    """The chat's script, for any shop's page; which pages may chat is checked when they do."""
    response = page(DIST, "widget.js")
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if response.status == 200:
        response.headers["Cache-Control"] = "public, max-age=300"
    return response


async def favicon(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 - a handler's shape
    """Browsers ask for it by themselves; the pages name their own."""
    return web.Response(status=204, headers={"Cache-Control": "public, max-age=86400"})


async def docs(request: web.Request) -> web.StreamResponse:
    """The page that shows the API's description, and its files."""
    return page(STATIC, request.match_info.get("file", "docs.html"))


def _own_address(request: web.Request) -> None:
    """In the demo ``localhost`` is sent to the one address whose pages may log in and chat. Raises HTTPTemporaryRedirect."""
    state = request.app[STATE]
    own = urlsplit(state.origin).netloc
    if state.demo and request.host != own and request.host.rpartition(":")[0] in _LOCAL:
        raise web.HTTPTemporaryRedirect(state.origin + request.path)


def page(folder: Path, name: str) -> web.StreamResponse:
    """A file below ``folder``. Raises Refusal 404."""
    parts = name.split("/")
    if not all(_NAME.fullmatch(part) for part in parts):
        raise not_found()
    path = folder.joinpath(*parts)
    if not path.is_file():
        if not folder.is_dir() or (parts[-1] == "index.html" and not path.parent.is_dir()):
            return web.Response(status=503, text=_NOT_BUILT, content_type="text/html", headers={"Retry-After": "30"})
        raise not_found()
    kept = "public, max-age=31536000, immutable" if _HASHED.fullmatch(parts[-1]) else "no-cache"
    mime = _TYPES.get(path.suffix, "application/octet-stream")
    return web.FileResponse(path, headers={"Content-Type": mime, "Cache-Control": kept})
