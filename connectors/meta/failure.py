"""Graph's error object, and what the codes that all products share mean. Pure.

The code decides, never the words and not the HTTP status: Meta sends 400, 403 and 500 for the same things. A product's own table
comes first (by code and subcode, then by code), then the common one, then HTTP's own rules. Codes that nobody knows are kept verbatim.

Sources: developers.facebook.com/docs/graph-api/guides/error-handling, …/graph-api/overview/rate-limiting, read 2026-11.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from config import Secret
from connectors.contract import Failure, Reply
from connectors.errors import BadPayload, FailureKind
from connectors.meta.webhook import decode_json
from connectors.retry import MAX_DETAIL, default_failure, detail_of, retry_after

#: A product's table: by code, or by (code, subcode).
Codes = Mapping[int | tuple[int, int], FailureKind]

#: Codes of every product.
COMMON_CODES: Final[Mapping[int, FailureKind]] = MappingProxyType(
    {
        # We are not who we should be, or may not do it.
        0: FailureKind.AUTH,
        3: FailureKind.AUTH,
        10: FailureKind.AUTH,
        102: FailureKind.AUTH,
        190: FailureKind.AUTH,
        463: FailureKind.AUTH,
        467: FailureKind.AUTH,
        **dict.fromkeys(range(200, 300), FailureKind.AUTH),
        # Too much of it: of the app, the user, the page, the account.
        4: FailureKind.THROTTLED,
        17: FailureKind.THROTTLED,
        32: FailureKind.THROTTLED,
        341: FailureKind.THROTTLED,
        613: FailureKind.THROTTLED,
        **dict.fromkeys(range(80000, 80015), FailureKind.THROTTLED),
        # Meta has a problem, and says that nothing was done.
        1: FailureKind.TRANSIENT,
        2: FailureKind.TRANSIENT,
        # An id in our settings is gone or was never ours.
        33: FailureKind.CONFIG,
        100: FailureKind.INVALID,
        368: FailureKind.ACCOUNT,
    }
)


class GraphData(Struct, frozen=True):
    """``error_data``: the words that help."""

    details: str = ""


class GraphError(Struct, frozen=True):
    """``error`` of an answer, and one of ``errors`` in a webhook."""

    code: int
    message: str = ""
    title: str = ""
    error_subcode: int = 0
    error_data: GraphData | str | None = None
    error_user_msg: str = ""
    is_transient: bool = False
    fbtrace_id: str = ""

    def code_text(self) -> str:
        """``131047``, or ``10/2018278`` where there is a subcode."""
        return f"{self.code}/{self.error_subcode}" if self.error_subcode else str(self.code)

    def words(self) -> str:
        """What Meta says about it, the general before the particular, in one line; with its trace id, which its support asks for."""
        details = self.error_data.details if isinstance(self.error_data, GraphData) else ""
        said = dict.fromkeys(text for text in (self.message or self.title, details, self.error_user_msg) if text)
        trace = (f"(trace {self.fbtrace_id})",) if self.fbtrace_id else ()
        return " ".join(" ".join((*said, *trace)).split())


class _Answer(Struct, frozen=True):
    error: Raw


_answers: Final = msgspec.json.Decoder(_Answer)
_errors: Final = msgspec.json.Decoder(GraphError, strict=False)


def graph_error(body: bytes) -> GraphError | None:
    """The error in an answer; None if there is none that can be read."""
    try:
        return decode_json(decode_json(body, _answers).error, _errors)
    except BadPayload:
        return None


def kind_of(error: GraphError, codes: Codes) -> FailureKind | None:
    """What a code means; None if nobody knows it."""
    return codes.get((error.code, error.error_subcode)) or codes.get(error.code) or COMMON_CODES.get(error.code)


def failure_of(reply: Reply, codes: Codes, secrets: tuple[Secret, ...] = ()) -> Failure:
    """What an answer that is no success means. ``secrets`` are hidden in the words: Meta quotes a token that it cannot read."""
    error = graph_error(reply.body)
    # Graph speaks here itself: what it refuses with a 5xx it has not done.
    fallback = default_failure(reply, not_processed=error is not None)
    if error is None:
        taken = 200 <= reply.status < 300
        kind = FailureKind.UNKNOWN if taken else fallback.kind
        return replace(fallback, kind=kind, detail=hidden(detail_of(reply), secrets))
    kind = kind_of(error, codes) or (FailureKind.TRANSIENT if error.is_transient else fallback.kind)
    wait = retry_after(reply.headers) if kind in (FailureKind.THROTTLED, FailureKind.TRANSIENT) else 0.0
    return Failure(kind=kind, code=error.code_text(), detail=hidden(error.words(), secrets)[:MAX_DETAIL], retry_after=wait)


def hidden(text: str, secrets: tuple[Secret, ...]) -> str:
    """``text`` without the secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), "********")
    return text
