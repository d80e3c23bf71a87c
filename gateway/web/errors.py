"""One table: what went wrong -> what the client is told. Every error answer is ``application/problem+json`` with a stable ``code``."""

import errno
import secrets
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from aiohttp import web

from connectors.event import Instant
from gateway.screen import Unchecked, Withheld
from gateway.web.strict_json import BadJson
from routing.errors import Forbidden, Invalid, NotNow, Refused, Stale, Unknown, WindowClosed
from storage.errors import Conflict, NotFound, StorageError, Unavailable

PROBLEM_TYPE: Final = "application/problem+json"
_RETRY_SECONDS: Final = "2"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error answer (RFC 9457)."""

    type: str
    title: str
    #: The HTTP status again.
    status: int
    #: Stable, for programs.
    code: str
    #: For people.
    detail: str
    #: Which field of the body or query was wrong, as a JSON path or name.
    field: str = ""
    #: Of a reply window: when it closed, and the part types that may still be sent.
    closes_at: Instant | None = None
    sends: list[str] | None = None
    #: Of an unexpected error: what to look for in the log.
    reference: str = ""


class Refusal(Exception):
    """Raised by handlers to answer with an error of HTTP's own kind."""

    def __init__(self, status: int, code: str, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})
        #: Of a closed reply window.
        self.closes_at: datetime | None = None
        self.sends: list[str] | None = None


#: Kinds of domain errors and their statuses; the first match counts.
STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (Unknown, 404),
    (Forbidden, 403),
    (NotNow, 409),
    (Stale, 409),
    (Invalid, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
)

#: The one answer for "there is none" and "not yours".
NOT_FOUND_CODE: Final = "not_found"
NOT_FOUND_DETAIL: Final = "There is no such thing, or it is not yours to see."


def not_found() -> Refusal:
    """The same for what does not exist and for what must not be seen."""
    return Refusal(404, NOT_FOUND_CODE, NOT_FOUND_DETAIL)


def refusal_of(error: Exception) -> Refusal | None:
    """The answer to a known kind of error; None for a bug."""
    match error:
        case Refusal():
            return error
        case BadJson():
            return Refusal(400, "invalid_body", str(error), field=error.path)
        case Refused():
            return _of_router(error)
        case StorageError():
            return _of_store(error)
        case Withheld():
            return Refusal(410, "file_withheld", str(error))
        case Unchecked():
            return Refusal(409, "file_unchecked", f"{error} Try again in a moment.", headers={"Retry-After": "5"})
        case web.HTTPException():
            return _of_aiohttp(error)
        case TimeoutError():
            return Refusal(408, "too_slow", "The request did not arrive in time.")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Refusal(507, "disk_full", "The disk is full; nothing was kept. Please tell the operator, and try again later.")
        case _:
            return None


def respond(refusal: Refusal, reference: str = "") -> web.Response:
    """The answer itself."""
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        code=refusal.code,
        detail=refusal.detail,
        field=refusal.field,
        closes_at=refusal.closes_at,
        sends=refusal.sends,
        reference=reference,
    )
    return web.Response(status=refusal.status, body=msgspec.json.encode(problem), content_type=PROBLEM_TYPE, headers=refusal.headers)


def respond_to(error: Exception) -> web.Response:
    """The answer to any exception. An unexpected one is logged; the client gets a reference to that line and nothing else."""
    refusal = refusal_of(error)
    if refusal is not None:
        return respond(refusal)
    reference = secrets.token_hex(6)
    structlog.get_logger("web").error("unexpected error", reference=reference, exc_info=error)
    return respond(Refusal(500, "internal", "Something went wrong on our side. Please tell the operator this reference."), reference)


def _of_router(error: Refused) -> Refusal:
    if isinstance(error, Unknown):
        return not_found()
    field = error.field if isinstance(error, Invalid) else ""
    refusal = Refusal(_status(error), error.code, str(error), field=field)
    if isinstance(error, WindowClosed):
        refusal.closes_at, refusal.sends = error.closed_at, sorted(error.sends)
    return refusal


def _of_store(error: StorageError) -> Refusal | None:
    match error:
        case Unavailable():
            return Refusal(
                503, "unavailable", "The database is away; nothing was changed. Please try again.", headers={"Retry-After": _RETRY_SECONDS}
            )
        case NotFound():
            return not_found()
        case Conflict():
            return Refusal(409, "conflict", "Somebody changed the same thing at the same time. Please look again.")
        case _:
            return None


def _of_aiohttp(error: web.HTTPException) -> Refusal:
    match error.status:
        case 404:
            return not_found()
        case 405:
            return Refusal(
                405, "method_not_allowed", "This address does not know that method.", headers={"Allow": error.headers.get("Allow", "")}
            )
        case 413:
            return Refusal(413, "too_large", "The body is larger than allowed.")
        case status:
            return Refusal(status, "http_error", HTTPStatus(status).phrase)


def _status(error: Exception) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)
