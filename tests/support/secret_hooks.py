"""What a process of a test run does about its secrets: it marks those that the product draws, and watches its own answers.

In the test's process the plugin calls ``install``, in its children ``startup/sitecustomize.py``. Modules that are not loaded yet are
changed when they are; nothing is imported for it. The product knows nothing of this.
"""

import importlib.abc
import importlib.machinery
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from tests.support.secret_marks import API_TOKEN, MINTED, VISITOR_TOKEN, digest, is_marked, note, note_finds

#: Makers of secrets from other secrets: computed, so they cannot be marked.
_DERIVED: Final = frozenset({"gateway.web.chat", "connectors.telegram.settings", "connectors.email.settings"})
#: What is handed to its owner in the answer to these, and nowhere else.
_HANDED_OVER: Final = (
    (re.compile(r"POST /api/v1/(sessions|sessions/link|feed-tickets)"), frozenset({MINTED})),
    (re.compile(r"POST /api/v1/tokens"), frozenset({API_TOKEN})),
    (re.compile(r"POST /chat/v1/[^/]+/(sessions|identify)"), frozenset({VISITOR_TOKEN})),
)


def install() -> None:
    """From now on. A second time changes nothing."""
    changes: Mapping[str, Callable[[ModuleType], None]] = {
        "config.secret": _watch_secrets,
        "gateway.passwords": _watch_passwords,
        "gateway.credentials": _mark_drawn,
        "gateway.keys": _mark_keys,
        "aiohttp.web_response": _watch_answers,
        "aiohttp.web_ws": _watch_sockets,
    }
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name, change in changes.items():
        if name in sys.modules:
            change(sys.modules[name])
    sys.meta_path.insert(0, _Finder(changes))


class _Finder(importlib.abc.MetaPathFinder):
    """Changes modules as soon as they are loaded."""

    def __init__(self, changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        change = self._changes.get(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target) if change is not None else None
        if spec is None or spec.loader is None or change is None:
            return None
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


# --- which secrets there are -----------------------------------------------------------------------------------------------


def _watch_secrets(module: ModuleType) -> None:
    """Every value that becomes a Secret must be marked, or it would not be found."""
    make = module.Secret.__init__
    seen: set[str] = set()

    def watch(self: Any, value: str) -> None:
        make(self, value)
        if value and value not in seen:
            seen.add(value)
            _judge(value, sys._getframe(1))

    module.Secret.__init__ = watch


def _judge(value: str, caller: Any) -> None:
    maker = caller.f_globals.get("__name__", "")
    parts = urlsplit(value) if "://" in value else None
    secret = value if parts is None else (parts.password or "")
    if secret and maker not in _DERIVED and not is_marked(secret):
        note("unmarked", f"{maker}:{caller.f_code.co_name}", digest=digest(value), length=len(value))


def _watch_passwords(module: ModuleType) -> None:
    keep = module.Passwords.hash

    async def watch(self: Any, password: str) -> str:
        if not is_marked(password):
            note("unmarked", "gateway.passwords:hash", digest=digest(password), length=len(password))
        kept: str = await keep(self, password)
        return kept

    module.Passwords.hash = watch


def _mark_drawn(module: ModuleType) -> None:
    """Sessions, tokens, links and tickets say of themselves what they are; they are as long as ever, and as good as random."""

    class Drawing:
        @staticmethod
        def token_urlsafe(size: int) -> str:
            drawn = secrets.token_urlsafe(size)
            # Whoever asked ``new_secret``; of a visitor it is the name, which is no secret.
            by = sys._getframe(2)
            if by.f_globals.get("__name__") == "gateway.web.chat":
                return drawn
            # The digit ends the name.
            return f"{MINTED}{by.f_code.co_name.strip('_').replace('_', '-')[:12].strip('-')}-0{drawn}"[: len(drawn)]

    module.secrets = Drawing  # type: ignore[attr-defined]


def _mark_keys(module: ModuleType) -> None:
    """The key of a node, which is hex."""

    class Drawing:
        @staticmethod
        def token_hex(size: int) -> str:
            return (f"{MINTED}key-0".encode() + secrets.token_bytes(size))[:size].hex()

    module.secrets = Drawing  # type: ignore[attr-defined]


# --- what a gateway answers ------------------------------------------------------------------------------------------------


def _watch_answers(module: ModuleType) -> None:
    """Lines, headers and bodies of all that a gateway answers, but not of its simulators."""
    write_headers, start, write = module.StreamResponse._write_headers, module.Response._start, module.StreamResponse.write

    async def watch_headers(self: Any) -> None:
        request = _ours(self)
        if request is not None:
            _search(request, "\n".join(f"{name}: {value}" for name, value in self._headers.items()).encode(), "headers")
        await write_headers(self)

    async def watch_start(self: Any, request: Any) -> Any:
        if isinstance(self._body, bytes | bytearray):
            self._req = request
            if _ours(self) is not None:
                _search(request, bytes(self._body), "body")
        return await start(self, request)

    async def watch_write(self: Any, data: Any) -> None:
        request = _ours(self)
        if request is not None:
            _search(request, bytes(data), "stream")
        await write(self, data)

    module.StreamResponse._write_headers, module.Response._start, module.StreamResponse.write = watch_headers, watch_start, watch_write


def _watch_sockets(module: ModuleType) -> None:
    """Frames to agents and visitors."""
    send_str, send_bytes = module.WebSocketResponse.send_str, module.WebSocketResponse.send_bytes

    async def watch_str(self: Any, data: str, compress: int | None = None) -> None:
        request = _ours(self)
        if request is not None:
            _search(request, data.encode("utf-8", "surrogatepass"), "socket")
        await send_str(self, data, compress)

    async def watch_bytes(self: Any, data: bytes, compress: int | None = None) -> None:
        request = _ours(self)
        if request is not None:
            _search(request, data, "socket")
        await send_bytes(self, data, compress)

    module.WebSocketResponse.send_str, module.WebSocketResponse.send_bytes = watch_str, watch_bytes


def _ours(response: Any) -> Any:
    """The request, if it is a gateway that answers."""
    request = getattr(response, "_req", None)
    state = getattr(sys.modules.get("gateway.web.state"), "STATE", None)
    info = getattr(request, "_match_info", None)
    return request if state is not None and info is not None and state in info.current_app else None


def _search(request: Any, data: bytes, part: str) -> None:
    what = f"{request.method} {request.path}"
    handed = next((marks for pattern, marks in _HANDED_OVER if pattern.fullmatch(what)), frozenset())
    note_finds(f"{part} of the answer to {what}", data, handed)
