"""What mail servers and programs report about our mail: bounces (RFC 3464), complaints (RFC 5965), read receipts (RFC 8098). Pure.

Only a report that quotes a Message-ID with our own sign is about a mail of ours; any other is a mail like others, so that
nobody can fail our messages or silence our customers by writing to us.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from connectors.email.address import parse_list
from connectors.email.automatic import is_daemon, null_sender
from connectors.email.mime import Part, split_headers
from connectors.email.settings import Settings
from connectors.email.thread import mail_ids
from connectors.email.tokens import original_id, own_message, sent_to
from connectors.email.words import raw_text
from connectors.errors import FailureKind

#: Characters of a bounce's own words.
_MAX_DETAIL: Final = 300
_SEARCHED: Final = 262_144
_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_SMTP: Final = re.compile(r"(?<![\d.])([45]\d\d)[ -]")
_OWN_ID: Final = re.compile(r"<([0-9a-z._-]{1,60}\.[a-z2-7]{24}@[^<>@\s]{1,200})>", re.IGNORECASE)
#: Words of bounces without any code, in the languages that they come in.
_GONE: Final = re.compile(
    r"user unknown|unknown user|no such (?:user|recipient|mailbox|address)|does(?:n.t| not) exist|"
    r"mailbox (?:unavailable|not found|unknown)|"
    r"invalid recipient|address rejected|recipient rejected|account (?:has been )?(?:disabled|deactivated|closed)|not a valid|unbekannt|"
    r"existiert nicht|inconnu|n'existe pas|desconocido|no existe|sconosciuto|non esiste|nieznany|nie istnieje|não existe|"
    r"存在しません|不存在",
    re.IGNORECASE,
)
_DELAYED: Final = re.compile(
    r"\bdelayed\b|still (?:being )?(?:trying|retried)|will (?:keep|continue) (?:on )?trying|warning:? (?:message|could)|verzögert",
    re.IGNORECASE,
)


class Bounce(Struct, frozen=True, kw_only=True):
    """A mail of ours did not arrive, or not yet."""

    #: Message-ID of our mail, without brackets.
    message_id: str
    #: ``failed``, ``delayed``, ``delivered``, …
    action: str
    #: Enhanced status code (RFC 3463), for example ``5.1.1``; empty if none was said.
    code: str
    detail: str = ""
    kind: FailureKind = FailureKind.RECIPIENT


class Complaint(Struct, frozen=True, kw_only=True):
    """A person marked our mail as spam."""

    message_id: str
    address: str


class Receipt(Struct, frozen=True, kw_only=True):
    """A person's program says that our mail was shown."""

    message_id: str


def read_report(mail: Part, sender: str, envelope_from: str | None, settings: Settings) -> Bounce | Complaint | Receipt | None:
    """What ``mail`` reports about a mail of ours; None if it is no report, or about nothing that we sent."""
    kind = mail.type_parameters.get("report-type", "").lower()
    parts = list(mail.walk())
    types = {part.mime for part in parts}
    if kind == "feedback-report" or "message/feedback-report" in types:
        return _complaint(parts, settings)
    if kind == "disposition-notification" or "message/disposition-notification" in types:
        return _receipt(parts, settings)
    if kind == "delivery-status" or "message/delivery-status" in types or "message/global-delivery-status" in types:
        return _bounce(parts, settings)
    if null_sender(mail, envelope_from) or is_daemon(sender) or mail.all("x-failed-recipients"):
        return _wordy_bounce(mail, parts, settings)
    return None


def _complaint(parts: list[Part], settings: Settings) -> Complaint | None:
    ours = _original(parts, settings)
    if not ours:
        return None
    told = [value for part in parts if part.mime == "message/feedback-report" for value in _fields(part, "original-rcpt-to")]
    told += [value for name, value in _quoted_headers(parts) if name in {"to", "cc"}]
    # Whoever got one mail of ours must not silence the others.
    for address in (one.address for value in told for one in parse_list(raw_text(value))):
        if sent_to(ours, address, settings):
            return Complaint(message_id=ours, address=address)
    return None


def _fields(part: Part, wanted: str) -> list[bytes]:
    return [value for name, value in split_headers(part.content)[0] if name == wanted]


def _receipt(parts: list[Part], settings: Settings) -> Receipt | None:
    for part in parts:
        if part.mime != "message/disposition-notification":
            continue
        fields = {name: raw_text(value) for name, value in split_headers(part.content)[0]}
        ids = mail_ids(fields.get("original-message-id", ""))
        mode = fields.get("disposition", "").partition(";")[2].strip().lower()
        if ids and own_message(ids[0], settings) and mode.startswith("displayed"):
            return Receipt(message_id=original_id(ids[0], settings))
    return None


def _bounce(parts: list[Part], settings: Settings) -> Bounce | None:
    ours = _original(parts, settings)
    if not ours:
        return None
    found = [bounce for part in parts if part.mime.endswith("delivery-status") for bounce in _recipients(part.content, ours)]
    # One recipient's failure is told even where others got it.
    for action in ("failed", "delayed"):
        for bounce in found:
            if bounce.action == action:
                return bounce
    return found[0] if found else None


def _recipients(body: bytes, ours: str) -> Iterator[Bounce]:
    """One per block of fields; the first block is about the whole mail and names nobody."""
    for block in re.split(rb"\r?\n[ \t]*\r?\n", body.strip())[:100]:
        fields = {name: raw_text(value) for name, value in split_headers(block + b"\r\n\r\n")[0]}
        if "final-recipient" not in fields and "original-recipient" not in fields and "action" not in fields:
            continue
        words = fields.get("diagnostic-code", "").partition(";")[2].strip() or fields.get("status", "")
        code = _code(fields.get("status", "")) or _code(words)
        specific = _code(words)
        if code.endswith(".0.0") and specific:
            code = specific
        action = fields.get("action", "").strip().lower() or ("failed" if code.startswith("5") else "delayed")
        yield Bounce(message_id=ours, action=action, code=code, detail=words[:_MAX_DETAIL], kind=failure_kind(code, words))


def _wordy_bounce(mail: Part, parts: list[Part], settings: Settings) -> Bounce | None:
    """Bounces in free words: nearly half of all."""
    ours = _original(parts, settings)
    if not ours:
        return None
    text = "\n".join(part.decoded()[:_SEARCHED] for part in parts if part.mime in {"text/plain", "text/html"})
    cause = text.partition(ours)[0]
    about = f"{raw_text(mail.all('subject')[0]) if mail.all('subject') else ''}\n{cause}"
    code = _code(about) or next((f"{digits[0]}.0.0" for digits in _SMTP.findall(about)), "")
    if code.startswith("4") or (not code and _DELAYED.search(about)):
        return Bounce(message_id=ours, action="delayed", code=code, detail=_line(cause, code), kind=FailureKind.TRANSIENT)
    return Bounce(message_id=ours, action="failed", code=code, detail=_line(cause, code), kind=failure_kind(code, about))


def failure_kind(code: str, words: str) -> FailureKind:
    """What an enhanced status code says about the address. Source: RFC 3463 and IANA's registry of its codes, read 2026-11."""
    if code.startswith("4"):
        return FailureKind.TRANSIENT
    match code.partition(".")[2].split("."):
        case ["1", _]:
            return FailureKind.RECIPIENT
        # Mailbox disabled, full, not accepting.
        case ["2", "3"]:
            return FailureKind.INVALID
        case ["2", _]:
            return FailureKind.RECIPIENT
        case ["3" | "6", _]:
            return FailureKind.INVALID
        case _:
            return FailureKind.RECIPIENT if _GONE.search(words) else FailureKind.INVALID


def _original(parts: list[Part], settings: Settings) -> str:
    """The Message-ID of ours that is quoted: in the returned mail or its headers, else anywhere in the words."""
    for name, value in _quoted_headers(parts):
        if name == "message-id":
            for one in mail_ids(raw_text(value)):
                if own_message(one, settings):
                    return original_id(one, settings)
    for part in parts:
        if part.children or part.mime.startswith(("image/", "audio/", "video/", "application/")):
            continue
        for match in _OWN_ID.finditer(part.content[:_SEARCHED].decode("latin-1")):
            if own_message(match[1], settings):
                return original_id(match[1], settings)
    return ""


def _quoted_headers(parts: list[Part]) -> Iterator[tuple[str, bytes]]:
    for part in parts:
        if part.mime in {"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers", "text/rfc822"}:
            yield from split_headers(part.content)[0]


def _code(text: str) -> str:
    match = _STATUS.search(text)
    return match[1] if match else ""


def _line(text: str, code: str) -> str:
    """The line that gives the reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if (code and code in line) or _GONE.search(line)), lines[0] if lines else "")
    return said[:_MAX_DETAIL]
