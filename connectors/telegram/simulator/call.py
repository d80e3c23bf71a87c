"""One call of the Bot API: parameters from wherever Telegram allows them."""

import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web

from connectors.telegram.simulator.limits import FILE_BYTES, ApiError, bad

#: A file and its parameters.
BODY_BYTES: Final = FILE_BYTES + (1 << 20)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that came with the call."""

    name: str
    mime: str
    data: bytes


@dataclass(slots=True)
class ApiCall:
    """Method in lower case, as Telegram ignores case; parameters as they came."""

    method: str
    parameters: dict[str, Any]
    files: dict[str, Uploaded] = field(default_factory=dict)
    #: Which of the files, from 1, Telegram refuses when it looks at them; 0: none.
    refused_file: int = 0

    def integer(self, name: str, default: int = 0) -> int:
        """A number, which may have come as a string."""
        value = self.parameters.get(name, default)
        try:
            return int(value)
        except (ValueError, TypeError):
            raise bad(f"can't parse {name}") from None

    def number(self, name: str) -> float:
        """A number with a fraction; required."""
        try:
            return float(self.parameters[name])
        except (KeyError, ValueError, TypeError):
            raise bad(f"{name} is empty or no number") from None

    def structure(self, name: str) -> Any:
        """An object or array, which comes as JSON text in forms; None if absent."""
        value = self.parameters.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise bad(f"can't parse {name}") from None


async def read_call(request: web.Request, method: str) -> ApiCall:
    """The call in ``request``: query, form, JSON or multipart."""
    call = ApiCall(method.lower(), dict(request.query))
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise bad("can't parse multipart body")
            await _add_part(call, part)
        return call
    body = await _read(request)
    if request.content_type == "application/json" and body:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise bad("can't parse request body as JSON") from None
        if not isinstance(found, dict):
            raise bad("can't parse request body as JSON")
        call.parameters.update(found)
    else:
        call.parameters.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return call


async def _add_part(call: ApiCall, part: BodyPartReader) -> None:
    data = bytearray()
    # The bound is that of the request, however many files are in it.
    room = FILE_BYTES - sum(len(file.data) for file in call.files.values())
    while chunk := await part.read_chunk(1 << 16):
        data += chunk
        if len(data) > room:
            raise ApiError(413, "Request Entity Too Large")
    name = part.name or ""
    if part.filename is None:
        call.parameters[name] = data.decode("utf-8", "replace")
    else:
        call.files[name] = Uploaded(part.filename, part.headers.get("Content-Type", ""), bytes(data))


async def _read(request: web.Request) -> bytes:
    """Not ``request.read()``: the application we are mounted in may have a smaller bound."""
    data = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > BODY_BYTES:
            raise ApiError(413, "Request Entity Too Large")
    return bytes(data)
