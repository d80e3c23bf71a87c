"""Our answers as mails, and servers' answers as outcomes. Pure: the same message gives the same mail, so a retry is no second one.

Sources: RFC 5321 and 5322, RFC 3463 with IANA's registry of enhanced codes, RFC 3834, RFC 1047 (why a lost answer after
the final dot is unknown), RFC 8058; read 2026-11.
"""

import re
from collections.abc import Iterable, Sequence
from email.header import Header
from email.utils import format_datetime, formataddr
from typing import Final

import msgspec

from connectors.capabilities import Capabilities, Limits
from connectors.compose import compose
from connectors.content import AnyPart, Envelope, Media, Text
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent, Upload
from connectors.email.address import domain_of, normalised
from connectors.email.report import failure_kind
from connectors.email.settings import Settings, own_addresses
from connectors.email.thread import read_thread, thinned
from connectors.email.tokens import message_id, reply_address
from connectors.errors import FailureKind, Inexpressible
from connectors.retry import MAX_DETAIL, detail_of

#: What most servers take, with room for base64: 25 MB of mail are 18 MB of files.
UPLOAD_BYTES: Final = 18 * 1024 * 1024
DOWNLOAD_BYTES: Final = 30 * 1024 * 1024
#: Copies of one mail: a customer's answer is no newsletter.
MAX_RECIPIENTS: Final = 20

CAPABILITIES: Final = Capabilities(
    # A mail has no longest text: lengths are the file's business, not the words'.
    limits=Limits(text=0, upload_bytes=UPLOAD_BYTES, download_bytes=DOWNLOAD_BYTES),
    sends=frozenset({"text", "media", "envelope"}),
    receives=frozenset({"text", "html", "envelope", "media", "unsupported"}),
    bundles=True,
    delivered=True,
    read=True,
    redelivers=True,
    idempotent=False,
)

#: Headers of a reply that the client adds for :func:`read_reply`.
PHASE: Final = "phase"

_BREAKS: Final = re.compile(r"[\r\n\x00]")
_REPLY_PREFIX: Final = re.compile(r"^(?:(?:re|aw|antw|sv|vs|odp|ris|r|回复|答复)(?:\[\d+\])?\s*[::]\s*)+", re.IGNORECASE)


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """What a :class:`Call` carries as JSON."""

    #: Empty for automatic answers, so that no machine answers them (RFC 3834, 3.3); of what we begin, bounces must come back.
    envelope_from: str
    #: The addressee first; then copies.
    recipients: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    text: str


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    """One call: a mail carries everything. Raises :class:`Inexpressible` before anything is sent."""
    (parts,) = compose(message.parts, CAPABILITIES).messages
    thread = read_thread(message.to)
    envelope = next((part for part in parts if isinstance(part, Envelope)), Envelope())
    copies = _copies(envelope, settings, thread.address)
    answered = thread.in_reply_to or message.reply_to
    mail_id = message_id(message.id, thread.address, settings)
    references = thinned(tuple(dict.fromkeys(one for one in (*thread.references, thread.in_reply_to, message.reply_to) if one)))
    headers = [
        ("From", _from(message, settings)),
        ("To", ", ".join((thread.address, *copies["to"]))),
        *([("Cc", ", ".join(copies["cc"]))] if copies["cc"] else []),
        ("Subject", _encoded(_subject(envelope, thread.subject, settings, answer=bool(answered)), "Subject")),
        ("Message-ID", f"<{mail_id}>"),
        *([("Date", format_datetime(message.at))] if message.at is not None else []),
        *([("In-Reply-To", _ids((answered,)))] if _ids((answered,)) else []),
        *([("References", _ids(references))] if _ids(references) else []),
        *([("Reply-To", back)] if (back := reply_address(message.id, thread.address, settings)) else []),
        *([("Auto-Submitted", "auto-replied" if answered else "auto-generated")] if message.automatic else []),
        *_list_headers(message, copied=any(copies.values())),
    ]
    for name, value in headers:
        if _BREAKS.search(value):
            raise Inexpressible(f"{name} must not hold a line break")
    mail = Mail(
        envelope_from="" if message.automatic and answered else normalised(settings.address),
        recipients=tuple(dict.fromkeys((thread.address, *copies["to"], *copies["cc"], *copies["bcc"]))),
        headers=tuple(headers),
        text=_text(parts, message, settings),
    )
    uploads = tuple(_upload(part, index) for index, part in enumerate(parts) if isinstance(part, Media))
    return [Call(method="MAIL", url=thread.address, json=msgspec.to_builtins(mail), uploads=uploads, bucket=domain_of(thread.address))]


def _list_headers(message: Outbound, *, copied: bool) -> list[tuple[str, str]]:
    """RFC 8058: only by https; and of a mail to several the link of one would be in the hands of all."""
    if copied or not message.unsubscribe.startswith("https://"):
        return []
    return [("List-Unsubscribe", f"<{message.unsubscribe}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]


def _copies(envelope: Envelope, settings: Settings, addressee: str) -> dict[str, list[str]]:
    """Further recipients by field, without ours and without those named twice."""
    seen = {addressee, *own_addresses(settings)}
    found: dict[str, list[str]] = {"to": [], "cc": [], "bcc": []}
    for field, given in (("to", envelope.to), ("cc", envelope.cc), ("bcc", envelope.bcc)):
        for one in given:
            address = normalised(one)
            if not address or re.search(r"[\x00-\x20\x7f<>]", one.strip()):
                raise Inexpressible(f"{one[:80]!r} in {field} is no address like ada@example.org")
            if address not in seen:
                seen.add(address)
                found[field].append(address)
    if sum(map(len, found.values())) + 1 > MAX_RECIPIENTS:
        raise Inexpressible(f"a mail goes to at most {MAX_RECIPIENTS} people")
    return found


def _from(message: Outbound, settings: Settings) -> str:
    if _BREAKS.search(message.author):
        raise Inexpressible("the author's name must not hold a line break")
    author, shop = message.author.strip(), settings.shop.strip()
    name = settings.from_name.replace("{author}", author).replace("{shop}", shop) if author and shop else author or shop
    return formataddr((_encoded(name, "From") if not name.isascii() else name, settings.address))


def _subject(envelope: Envelope, threads: str, settings: Settings, *, answer: bool) -> str:
    if envelope.subject.strip():
        return envelope.subject
    if not threads.strip():
        return settings.subject
    bare = _REPLY_PREFIX.sub("", threads).strip()
    return f"Re: {bare}" if answer else threads


def _encoded(text: str, name: str) -> str:
    """As the header's value, in encoded words where it is not ASCII; one line: the message's writer folds it."""
    if _BREAKS.search(text):
        raise Inexpressible(f"{name} must not hold a line break")
    if text.isascii():
        return text
    return Header(text.encode("utf-8", "replace").decode(), "utf-8", maxlinelen=75, header_name=name).encode(linesep="").replace("\n", "")


def _ids(ids: Iterable[str]) -> str:
    """In brackets. What is no Message-ID (``hash:…`` of a mail that had none) is left out."""
    found = []
    for one in ids:
        if _BREAKS.search(one):
            raise Inexpressible("In-Reply-To must not hold a line break")
        if one and not one.startswith("hash:") and re.fullmatch(r"[^\s<>]{3,250}", one):
            found.append(f"<{one}>")
    return " ".join(found)


def _text(parts: Sequence[AnyPart], message: Outbound, settings: Settings) -> str:
    text = "\n\n".join(part.text for part in parts if isinstance(part, Text))
    signed = settings.signature.strip() if not message.automatic else ""
    return f"{text}\n\n-- \n{signed}" if signed else text


def _upload(media: Media, index: int) -> Upload:
    if not media.stored and not media.ref:
        raise Inexpressible(f"part {index + 1}: the file is not stored")
    if _BREAKS.search(media.name) or _BREAKS.search(media.mime):
        raise Inexpressible(f"part {index + 1}: a file's name must not hold a line break")
    mime = media.mime if re.fullmatch(r"[\w.+-]+/[\w.+-]+", media.mime) else "application/octet-stream"
    return Upload(field=str(index), name=media.name or f"file-{index + 1}", mime=mime, stored=media.stored or media.ref)


# --- answers --------------------------------------------------------------------------------------------------------------


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:  # noqa: ARG001  the contract's shape
    """What the server's answer means. Its id is ours: fixed before anything was sent."""
    detail = detail_of(reply)
    if reply.status == 0:
        kind = (
            FailureKind.UNKNOWN if reply.written else FailureKind.CONFIG if reply.headers.get(PHASE) == "config" else FailureKind.TRANSIENT
        )
        return Failure(kind=kind, detail=detail)
    if 200 <= reply.status < 300:
        own = str(dict((call.json or {}).get("headers", ())).get("Message-ID", "")).strip("<>")
        if not own:
            return Failure(kind=FailureKind.UNKNOWN, code=str(reply.status), detail="the call had no Message-ID")
        return Sent(provider_id=own)
    enhanced = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", detail)
    code = f"{reply.status} {enhanced[1]}" if enhanced else str(reply.status)
    return Failure(
        kind=_kind(reply.status, enhanced[1] if enhanced else "", detail, reply.headers.get(PHASE, "")),
        code=code,
        detail=detail[:MAX_DETAIL],
    )


def _kind(status: int, enhanced: str, words: str, phase: str) -> FailureKind:
    """By the phase first: the same 550 means the sender at MAIL, the person at RCPT, the content at DATA."""
    match status:
        # Credentials: refused, needed, too weak; by phase, for servers that use 5xx codes of their own.
        case 530 | 534 | 535 | 538:
            return FailureKind.AUTH
        case _ if phase == "auth":
            return FailureKind.TRANSIENT if 400 <= status < 500 else FailureKind.AUTH
        case _ if 400 <= status < 500:
            # "Too many mails": the server says so by 4.7.x or words, and means minutes.
            limited = enhanced in {"4.7.28", "4.7.650", "4.7.651"} or re.search(r"rate|too many|throttl|quota", words, re.IGNORECASE)
            return FailureKind.THROTTLED if limited and status in {421, 450, 451, 452, 454} else FailureKind.TRANSIENT
        case 552 if enhanced in {"", "5.3.4", "5.2.3"}:
            return FailureKind.INVALID
        case _ if phase in {"mail", "hello"}:
            # The server refuses us, not this person: sender not allowed, account suspended, sending limit for the day.
            return FailureKind.ACCOUNT if enhanced.startswith(("5.7", "5.4")) or status == 550 else FailureKind.INVALID
        case _ if phase == "rcpt":
            if re.search(r"relay", words, re.IGNORECASE):
                return FailureKind.CONFIG
            return (
                failure_kind(enhanced, words) if enhanced else FailureKind.RECIPIENT if status in {550, 551, 553} else FailureKind.INVALID
            )
        case _:
            return failure_kind(enhanced, words) if enhanced.startswith("5.1") else FailureKind.INVALID
