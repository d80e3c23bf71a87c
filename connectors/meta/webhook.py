"""Meta's webhooks: who sent them, and one thing at a time out of a batch. Pure.

Sources: developers.facebook.com/docs/graph-api/webhooks/getting-started and …/webhooks/reference, read 2026-11.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import PayloadQuarantined
from connectors.meta.access import Access
from connectors.signature import any_matches, hmac_matches

SIGNATURE_HEADER: Final = "x-hub-signature-256"
#: What we repeat of a challenge: Meta's own is a number, and nothing that a browser could take for a page leaves here.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: Larger numbers of seconds are really milliseconds: this one is the year 5138.
_MILLISECONDS_FROM: Final = 100_000_000_000
#: Times outside are nonsense, and year 9999 leaves no room for time zones.
_EARLIEST, _LATEST = 0, 253_370_764_800

T = TypeVar("T")


class Notice(Struct, frozen=True, gc=False):
    """One webhook: up to a thousand entries, each still as Meta wrote it."""

    object: str
    entry: tuple[Raw, ...] = ()


class Entry(Struct, frozen=True, gc=False):
    """What happened to one object of ours: a WhatsApp business account, a page, an Instagram account."""

    id: str = ""
    time: int | float | str = 0
    changes: tuple[Raw, ...] = ()
    messaging: tuple[Raw, ...] = ()
    standby: tuple[Raw, ...] = ()


_notices: Final = msgspec.json.Decoder(Notice)


def verify(request: Request, settings: Access) -> bool:
    """Is the body signed with the app's secret, or with the one before it? Over the raw bytes: Meta escapes non-ASCII in its own way."""
    secrets = (settings.app_secret, settings.previous_app_secret)
    return hmac_matches("sha256", secrets, request.body, request.headers.get(SIGNATURE_HEADER, ""), prefix="sha256=")


def handshake(request: Request, settings: Access) -> bytes | None:
    """The challenge, if this is Meta's question whether the address is ours and it knows the token; else None."""
    query = request.query
    if request.method != "GET" or query.get("hub.mode") != "subscribe":
        return None
    challenge = query.get("hub.challenge", "")
    known = any_matches((settings.verify_token,), query.get("hub.verify_token", ""))
    return challenge.encode() if known and _CHALLENGE.fullmatch(challenge) else None


def entries(body: bytes, objects: Sequence[str]) -> tuple[Raw, ...]:
    """The entries of a webhook about one of ``objects``, each to be decoded apart. Raises :class:`BadPayload` if there is no envelope."""
    notice = decode_json(body, _notices)
    if notice.object not in objects:
        raise BadPayload(f"a webhook about {notice.object[:64]!r}, not about {' or '.join(objects)}")
    if not notice.entry:
        raise BadPayload("a webhook without entries")
    return notice.entry


def decode_json(raw: bytes | Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    """``raw`` by ``decoder``, with NUL as U+FFFD. Raises :class:`BadPayload`, and nothing else."""
    data = bytes(raw)
    try:
        if b"\\u0000" in data:
            # NUL cannot be stored by PostgreSQL. The detour is for the one in a million that has it.
            data = msgspec.json.encode(_without_nul(msgspec.json.decode(data)))
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadPayload(f"not as Meta documents it: {error}") from None
    except RecursionError:
        raise BadPayload("not as Meta documents it: nested too deeply") from None


def each(raws: Sequence[Raw], decoder: "msgspec.json.Decoder[T]") -> Iterator[tuple[Raw, T | BadPayload]]:
    """Every fragment with what it says, or with why it cannot be read: one broken element spoils no other."""
    for raw in raws:
        try:
            yield raw, decode_json(raw, decoder)
        except BadPayload as error:
            yield raw, error


def fragment_key(kind: str, raw: bytes | Raw) -> str:
    """A key for something without an id of its own: the same bytes, the same key."""
    return f"{kind}:{hashlib.blake2b(bytes(raw), digest_size=16).hexdigest()}"


def quarantined(envelope: bytes, raw: bytes | Raw, why: str, account: str = "") -> PayloadQuarantined:
    """The event for a fragment that cannot be read. ``envelope`` is a whole webhook with just this fragment, to be parsed again."""
    return PayloadQuarantined(key=fragment_key("unreadable", raw), raw=envelope, why=why[:300], account=account)


def unix_time(value: str | float | None) -> datetime | None:
    """Meta's times: seconds or milliseconds, as a number or as a string; None for what is no time."""
    try:
        seconds = float(value or 0)
    except ValueError:
        return None
    if seconds >= _MILLISECONDS_FROM:
        seconds /= 1000
    # Also false for NaN.
    return datetime.fromtimestamp(seconds, UTC) if _EARLIEST < seconds < _LATEST else None


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
