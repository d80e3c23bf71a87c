"""From what went over the wire to what may be kept of it: readable, without credentials, trimmed."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from connectors.contract import Call, Reply, Request
from gateway.redact import Redactor
from storage.interaction import Wire

#: Characters of a body that are kept.
TRIM: Final = 4096
#: Bytes beyond them that are looked at, so that no half of a credential is left at the end.
MARGIN: Final = 2048
_MOST_HEADERS: Final = 40
_HEADER_CHARS: Final = 500
_URL_CHARS: Final = 2000


def window(body: bytes) -> bytes:
    """As much of a body as has to be held until it is written."""
    return body[: TRIM + MARGIN]


def wire_of_request(request: Request, size: int, redactor: Redactor, *, bodies: bool) -> Wire:
    """Of what a provider sent; ``request`` may hold a :func:`window` of its body, ``size`` bytes long as a whole."""
    return Wire(
        method=request.method,
        url=redactor.text(request.url)[:_URL_CHARS],
        headers=_headers(request.headers, redactor),
        body=_text(request.body, size, redactor) if bodies else "",
        size=size,
    )


def wire_of_call(call: Call, redactor: Redactor, *, bodies: bool) -> Wire:
    """Of a call as it was rendered: credentials were never in it."""
    data = _call_body(call)
    return Wire(
        method=call.method,
        url=redactor.text(call.url)[:_URL_CHARS],
        headers=_headers(call.headers, redactor),
        body=_text(window(data), len(data), redactor) if bodies else "",
        size=len(data),
    )


def wire_of_reply(reply: Reply, size: int, redactor: Redactor, *, bodies: bool) -> Wire:
    """Of the provider's answer. What our own client says instead of one (status 0) is kept even without bodies."""
    return Wire(
        status=reply.status,
        headers=_headers(reply.headers, redactor),
        body=_text(reply.body, size, redactor) if bodies or not reply.status else "",
        size=size,
    )


def _headers(headers: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    shown = redactor.headers({name[:_HEADER_CHARS]: headers[name] for name in list(headers)[:_MOST_HEADERS]})
    return {name: value[:_HEADER_CHARS] for name, value in shown.items()}


def _text(data: bytes, size: int, redactor: Redactor) -> str:
    """The beginning of a body; ``data`` is all of it, or what :func:`window` left."""
    if b"\0" in data:
        return f"({size} bytes, no text)"
    text = redactor.text(data.decode("utf-8", "replace"))
    # What was masked has moved the rest forward: the end that may be cut within a credential must not move in.
    return text[:TRIM] if len(data) == size else text[: max(0, min(TRIM, len(text) - MARGIN))]


def _call_body(call: Call) -> bytes:
    parts: list[bytes] = []
    if call.json is not None:
        parts.append(msgspec.json.encode(call.json, enc_hook=_shown))
    if call.form is not None:
        parts.append(urlencode(call.form, errors="replace").encode())
    parts += [f"({upload.field}: file {upload.stored}, {upload.mime}, {upload.name})".encode("utf-8", "replace") for upload in call.uploads]
    return b"\n".join(parts)


def _shown(value: Any) -> str:
    return f"({type(value).__name__})"
