"""python-telegram-bot over the gateway's own HTTP session.

The token is added here, at the wire: the library never has it, so that none of its logs and errors can show it.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import aiohttp
import msgspec
from telegram.error import TelegramError
from telegram.request import BaseRequest, RequestData

from connectors.contract import Reply
from connectors.http import MAX_REPLY, exchange, header_safe, timeout_of

#: Stands where the library expects ``https://…/bot<token>``.
BASE: Final = "bot:"
#: Seconds; uploads of 50 MB over a slow line need the longer one.
CALL_TIMEOUT: Final = 30.0
UPLOAD_TIMEOUT: Final = 180.0
#: Bytes of an answer to ``getUpdates``: a hundred updates, of which each may quote another.
MAX_UPDATES: Final = 16 << 20


class Answered(TelegramError):
    """Telegram, or somebody on the way, gave something other than a result. ``reply`` is it, verbatim.

    Raised before the library interprets the answer: the connector's own pure ``read_reply`` does that.
    """

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}")
        self.reply = reply


class AiohttpRequest(BaseRequest):
    """Performs the library's requests. ``hidden`` holds, per method in lower case, parameters that nobody may log."""

    def __init__(self, session: aiohttp.ClientSession, root: str, hidden: Mapping[str, Mapping[str, str]]) -> None:
        self._session = session
        self._root = root
        self._hidden = hidden

    @property
    def read_timeout(self) -> float:
        return CALL_TIMEOUT

    async def initialize(self) -> None:
        """Nothing to do: the session is lent."""

    async def shutdown(self) -> None:
        """Nothing to do: the session is lent."""

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The library's own would log what it cannot read. Only asked for what ``do_request`` has let through."""
        found: dict[str, Any] = msgspec.json.decode(payload)
        return found

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,  # noqa: ARG002
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,  # noqa: ARG002
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,  # noqa: ARG002
    ) -> tuple[int, bytes]:
        """The answer if it is a result; else raises :class:`Answered`."""
        endpoint = url.removeprefix(BASE).removeprefix("/")
        uploading = request_data is not None and request_data.contains_files
        total = float(read_timeout) if isinstance(read_timeout, int | float) else UPLOAD_TIMEOUT if uploading else CALL_TIMEOUT
        reply = await exchange(
            self._session,
            method,
            f"{self._root}/{endpoint}",
            limit=MAX_UPDATES if endpoint == "getupdates" else MAX_REPLY,
            timeout=timeout_of(total),
            data=_form(request_data, self._hidden.get(endpoint, {})),
        )
        if not _is_result(reply):
            raise Answered(reply)
        return reply.status, reply.body


def _form(data: RequestData | None, hidden: Mapping[str, str]) -> aiohttp.FormData | dict[str, str]:
    fields = {**(data.json_parameters if data is not None else {}), **hidden}
    if data is None or not data.contains_files:
        return fields
    form = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        form.add_field(name, value)
    for name, (filename, content, mime) in data.multipart_data.items():
        # As a stream: aiohttp warns of bytes above 1 MiB, which would go out in one piece.
        stream = BytesIO(content) if isinstance(content, bytes) else content
        form.add_field(name, stream, filename=header_safe(filename), content_type=mime)
    return form


def _is_result(reply: Reply) -> bool:
    if not 200 <= reply.status < 300:
        return False
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("ok") is True and "result" in found
