"""Twilio's error codes and statuses in our words. Pure.

Sources, read 2026-11: twilio.com/docs/api/errors, twilio.com/docs/messaging/api/message-resource (statuses),
twilio.com/docs/whatsapp/tutorial/error-codes (what WhatsApp's own codes become).
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from connectors.contract import Call, Failure, Outcome, Reply, Sent
from connectors.errors import FailureKind
from connectors.event import Status
from connectors.retry import MAX_DETAIL, default_failure, retry_after

_K = FailureKind


def _table(*rows: tuple[FailureKind, Iterable[int]]) -> MappingProxyType[int, FailureKind]:
    found: dict[int, FailureKind] = {}
    for kind, codes in rows:
        for code in codes:
            if code in found:
                raise ValueError(f"code {code} stands twice")
            found[code] = kind
    return MappingProxyType(found)


#: For answers and for callbacks alike; twilio.com/docs/api/errors/<code> has the words.
KINDS: Final = _table(
    # Bad credentials, test credentials, or a key without the right to do this.
    (_K.AUTH, (20003, 20006, 20008, 70051)),
    # Not active, a trial's limits, suspended, not registered with the carriers, an account that Meta has restricted or locked.
    (_K.ACCOUNT, (10001, 10002, 20005, 20010, 30002, 30032, 30034, 63020, 63026, 63051, 63112)),
    # Too fast, or too many today: the API, the sender's queue, the carrier, the channel.
    (_K.THROTTLED, (14107, 20429, 21611, 30022, 30023, 30027, 63017, 63018, 63038)),
    # It says that it did not go, and why that may pass: an overflow, a congestion, the channel away.
    (_K.TRANSIENT, (20503, 30001, 30017, 30020, 30021, 63009, 63010, 63012, 63037)),
    # Nobody says whether it went.
    (_K.UNKNOWN, (20500, 30008, 30410, 63011, 63023)),
    # The address: invalid, not mobile, in a region that is not enabled, unreachable, unknown, a landline, not on WhatsApp.
    (_K.RECIPIENT, (21211, 21214, 21217, 21401, 21407, 21408, 21421, 21604, 21612, 21614)),
    (_K.RECIPIENT, (30003, 30004, 30005, 30006, 30011, 30014, 63003, 63015, 63024, 63036)),
    # They wrote STOP, blocked the sender, or are spared by WhatsApp.
    (_K.OPTED_OUT, (21610, 63014, 63032, 63033)),
    # Outside of the 24 hours.
    (_K.WINDOW, (63016,)),
    # The sender: not ours, cannot send this, not in the service, on the wrong channel; no such account; a wrong callback address.
    (_K.CONFIG, (20404, 21212, 21601, 21603, 21606, 21607, 21609, 21616, 21701, 21702, 21703, 21704, 21705, 21709, 21712, 21910)),
    (_K.CONFIG, (30015, 30016, 30018, 30024, 63001, 63002, 63007, 63008, 63035)),
    # The message: no words, too long, files too many, too large or not to be had, no MMS, a number that a trial has not verified.
    (_K.INVALID, (11751, 12300, 20001, 21219, 21602, 21605, 21608, 21617, 21618, 21619, 21620, 21621, 21622, 21623, 21624)),
    (_K.INVALID, (21654, 21655, 21656, 30007, 30009, 30010, 30012, 30013, 30019, 30400)),
    # Content, policy, files, templates; 63049: Meta spares the person another advertisement today.
    (_K.INVALID, (63005, 63006, 63013, 63019, 63021, 63022, 63025, 63027, 63028, 63029, 63030, 63031, 63034, 63040, 63041, 63049)),
)

#: Every status there is (the SDK's ``MessageInstance.Status``) in our words; ``receiving`` and ``received`` are not about our messages.
STATUSES: Final = MappingProxyType(
    {
        # Twilio has it and has given it an id: that is what our "sent" says.
        "accepted": Status.SENT,
        "scheduled": Status.SENT,
        "queued": Status.SENT,
        "sending": Status.SENT,
        "sent": Status.SENT,
        # Some segments arrived: no reason to say that it was delivered.
        "partially_delivered": Status.SENT,
        "delivered": Status.DELIVERED,
        "read": Status.READ,
        "undelivered": Status.FAILED,
        "failed": Status.FAILED,
        "canceled": Status.FAILED,
    }
)


def kind_of(code: str) -> FailureKind | None:
    """What a code means for the address; None if the code says nothing that we know."""
    return KINDS.get(int(code)) if code.isascii() and code.isdigit() and len(code) < 9 else None


class _Answer(Struct, frozen=True):
    """A message resource, or an error: ``{code, message, more_info, status}``."""

    sid: str | None = None
    status: str | int | None = None
    error_code: int | None = None
    error_message: str | None = None
    code: int | None = None
    message: str | None = None


_answers: Final = msgspec.json.Decoder(_Answer)


def read_answer(call: Call, reply: Reply) -> Outcome:  # noqa: ARG001  the contract's shape
    """What an answer to a sending means. Only a message's SID is a proof of success."""
    try:
        answer = _answers.decode(reply.body) if reply.status else _Answer()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _without_body(reply)
    if 200 <= reply.status < 300:
        if not answer.sid:
            return _unknown(reply, "the answer holds no message SID")
        if answer.status in ("failed", "undelivered", "canceled"):
            return _failure(answer.error_code or 0, answer.error_message or str(answer.status), reply, FailureKind.INVALID)
        return Sent(provider_id=answer.sid)
    if answer.code is None:
        return _without_body(reply)
    # Twilio's 5xx do not say that nothing happened; those that do are in the table.
    return _failure(answer.code, answer.message or "", reply, default_failure(reply).kind)


def _failure(code: int, words: str, reply: Reply, otherwise: FailureKind) -> Failure:
    kind = KINDS.get(code, otherwise)
    wait = retry_after(reply.headers) if kind in (FailureKind.THROTTLED, FailureKind.TRANSIENT) else 0.0
    detail = words.replace("\0", "\ufffd")[:MAX_DETAIL]
    return Failure(kind=kind, code=str(code or reply.status), detail=detail, retry_after=wait)


def _without_body(reply: Reply) -> Failure:
    if 200 <= reply.status < 300:
        return _unknown(reply, "the answer is not Twilio's")
    return default_failure(reply)


def _unknown(reply: Reply, detail: str) -> Failure:
    return Failure(kind=FailureKind.UNKNOWN, code=str(reply.status), detail=detail)
