"""When to come back, and what a plain HTTP answer means if the connector knows nothing better."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from connectors.contract import Failure, Reply
from connectors.errors import FailureKind

#: Nobody is made to wait longer than this by a header: one hour, in seconds.
MAX_WAIT: Final = 3600.0
#: Most characters of a provider's words that we keep.
MAX_DETAIL: Final = 300


def retry_after(headers: Mapping[str, str], cap: float = MAX_WAIT) -> float:
    """Seconds asked for by ``Retry-After`` (RFC 9110, 10.2.3), between 0 and ``cap``; 0 if there is none or it is nonsense.

    A date is measured against the answer's own ``Date``: no clock of ours is asked, and the two may disagree.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        # More digits than any sane wait: do not even convert them.
        return cap if len(value) > 9 else min(float(value), cap)
    until, now = _date(value), _date(headers.get("date", ""))
    if until is None or now is None:
        return 0.0
    return min(max((until - now).total_seconds(), 0.0), cap)


def default_failure(reply: Reply, *, not_processed: bool = False) -> Failure:
    """What ``reply`` means by HTTP's own rules. For an answer that is not known to be a success; never says ``Sent``.

    ``not_processed``: the body is the provider's own error, so a 5xx is known to have had no effect.
    """
    kind = _kind(reply, not_processed=not_processed)
    wait = retry_after(reply.headers) if kind in (FailureKind.THROTTLED, FailureKind.TRANSIENT) else 0.0
    return Failure(kind=kind, code=str(reply.status) if reply.status else "", detail=detail_of(reply), retry_after=wait)


def detail_of(reply: Reply) -> str:
    """The start of the answer's body as one line of text."""
    return " ".join(reply.body[: 4 * MAX_DETAIL].decode("utf-8", "replace").replace("\0", "\ufffd").split())[:MAX_DETAIL]


def _kind(reply: Reply, *, not_processed: bool) -> FailureKind:
    match reply.status:
        case 0:
            return FailureKind.UNKNOWN if reply.written else FailureKind.TRANSIENT
        case 401 | 403:
            return FailureKind.AUTH
        case 429:
            return FailureKind.THROTTLED
        # The server says that it gave up before it had the whole request, or was not ready to begin.
        case 408 | 425 | 503:
            return FailureKind.TRANSIENT
        case status if 300 <= status < 400:
            return FailureKind.CONFIG
        case status if 400 <= status < 500:
            return FailureKind.INVALID
        case status if status >= 500 and not_processed:
            return FailureKind.TRANSIENT
        case _:
            return FailureKind.UNKNOWN


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
