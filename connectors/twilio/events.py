"""Twilio's webhooks as events. Pure.

One form says one thing: somebody wrote, or a message of ours has come further. Unknown fields are skipped: "Twilio will
occasionally add new parameters without advance notice" (twilio.com/docs/messaging/guides/webhook-request, read 2026-11).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from connectors.content import AnyPart, Chosen, Location, Media, MediaKind, Referral, Text, Unsupported
from connectors.contract import Request
from connectors.errors import BadPayload, FailureKind
from connectors.event import AnyEvent, ConsentChanged, MessageReceived, PayloadIgnored, Sender, Status, StatusReported
from connectors.twilio.codes import STATUSES, kind_of
from connectors.twilio.webhook import Form, read_form

#: ``MediaUrl0`` … ``MediaUrl9``.
MOST_MEDIA: Final = 10

_NUMBER: Final = re.compile(r"[0-9]{1,3}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{58,}={0,2}")


class Line(Struct, frozen=True, kw_only=True):
    """One channel, as far as reading its webhooks needs it."""

    account_sid: str
    #: Our addresses as Twilio writes them in ``To``.
    own: frozenset[str]
    #: SID of the messaging service whose pool is ours; empty if the channel has a number.
    service: str = ""
    #: Who wrote, and where an answer goes, by the field ``From`` and its companions.
    who: Callable[[Form, str], tuple[Sender, str]]
    #: Words that, alone in a message, take back or give the consent: Twilio has then blocked or unblocked our sender.
    stop_words: frozenset[str]
    start_words: frozenset[str]
    #: What a sound file is here: a file, or a voice message.
    ogg: MediaKind = MediaKind.AUDIO


def account_name(account_sid: str, address: str) -> str:
    """An account as ``Connector.account`` says it: whose, and which sender."""
    return f"{account_sid}/{address}"


def read_webhook(request: Request, line: Line) -> tuple[AnyEvent, ...]:
    """The events of one form, at least one. Raises :class:`BadPayload` on what cannot be read, and nothing else."""
    form = read_form(request)
    if not form:
        digest = hashlib.sha256(request.body).hexdigest()
        return (PayloadIgnored(key=f"body:{digest}", raw=request.body, why="not a message: a body that is no form"),)
    reading = _Reading(form, request, line)
    if not reading.sid:
        if "PayloadType" in form or "Level" in form:
            return (reading.ignored(f"debugger:{form.get('Sid', '')}"[:200], "an event of Twilio's debugger"),)
        raise BadPayload("the form names no message: MessageSid is missing")
    return reading.status() if reading.is_status() else reading.message()


class _Reading:
    """One form being read."""

    def __init__(self, form: Form, request: Request, line: Line) -> None:
        self._form = form
        self._request = request
        self._line = line
        self.sid = (form.get("MessageSid") or form.get("SmsMessageSid") or form.get("SmsSid") or "")[:64]
        self._word = form.get("MessageStatus") or form.get("SmsStatus") or ""

    def is_status(self) -> bool:
        """Callbacks have ``MessageStatus``; what comes in has ``SmsStatus=received``, or nothing if Twilio leaves it out."""
        if "MessageStatus" in self._form:
            return self._word not in ("received", "receiving")
        return self._word not in ("", "received", "receiving")

    # --- what came in ---------------------------------------------------------------------------------------------------

    def message(self) -> tuple[AnyEvent, ...]:
        address = self._form.get("From", "")
        if not address:
            raise BadPayload("the form has no sender: From is missing")
        account = self._account(self._form.get("To", ""))
        sender, thread = self._line.who(self._form, address)
        common: dict[str, Any] = {"at": self._time(), "raw": self._request.body, "account": account, "sender": sender, "thread": thread}
        received = MessageReceived(
            key=f"message:{self.sid}",
            message_id=self.sid,
            parts=tuple(self._parts()),
            reply_to=self._form.get("OriginalRepliedMessageSid", "")[:64],
            forwarded_from=self._forwarded(),
            **common,
        )
        opted_in = self._consent()
        if opted_in is None:
            return (received,)
        # Twilio itself has answered, and blocked or unblocked our sender: nothing is to be said by a machine of ours.
        return (received, ConsentChanged(key=f"consent:{self.sid}", opted_in=opted_in, **common))

    def _parts(self) -> Iterator[AnyPart]:
        form = self._form
        found = False
        for part in (*self._referral(), *self._media(), *self._place()):
            found = found or not isinstance(part, Referral)
            yield part
        label, payload = form.get("ButtonText", ""), form.get("ButtonPayload", "") or form.get("ListId", "")
        if label or payload:
            # The button's words replace the body.
            yield Chosen(id=payload or label, label=label or form.get("ListTitle", "") or form.get("Body", ""))
        elif text := _unpacked(form.get("Body", ""), self.sid):
            yield Text(text=text)
        elif not found:
            kind = form.get("MessageType", "")
            yield Unsupported(kind=kind if kind not in ("", "text") else "empty message")

    def _referral(self) -> Iterator[AnyPart]:
        form = self._form
        names = ("Id", "Url", "Headline", "Body")
        source = {name: form.get(f"ReferralSource{name}") or form.get(f"Referral{name}") or "" for name in names}
        kind = form.get("ReferralSourceType", "")
        if kind or any(source.values()):
            yield Referral(source=kind or "ad", id=source["Id"], url=source["Url"], headline=source["Headline"], body=source["Body"])

    def _media(self) -> Iterator[AnyPart]:
        number = self._form.get("NumMedia", "")
        count = min(int(number), MOST_MEDIA) if _NUMBER.fullmatch(number) else 0
        for index in range(count):
            mime = self._form.get(f"MediaContentType{index}", "").partition(";")[0].strip().lower()
            kind = MediaKind.STICKER if self._form.get("MessageType") == "sticker" else _kind(mime, self._line.ogg)
            url = _without_user(self._form.get(f"MediaUrl{index}", ""))
            problem = "" if url else "Twilio sent no usable address of this file."
            yield Media(kind=kind, ref=url, mime=mime[:128], problem=problem)

    def _place(self) -> Iterator[AnyPart]:
        if "Latitude" not in self._form or "Longitude" not in self._form:
            return
        try:
            latitude, longitude = float(self._form["Latitude"]), float(self._form["Longitude"])
        except ValueError:
            latitude = longitude = float("nan")
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            name, address = self._form.get("Label", ""), self._form.get("Address", "")
            yield Location(latitude=latitude, longitude=longitude, name=name, address=address)
        else:
            yield Unsupported(kind="location")

    def _forwarded(self) -> str:
        if self._form.get("FrequentlyForwarded") == "true":
            return "many people"
        return "somebody" if self._form.get("Forwarded") == "true" else ""

    def _consent(self) -> bool | None:
        """In or out; None for ordinary words. Advanced Opt-Out says so itself, in any language."""
        word = self._form.get("OptOutType", "").upper()
        if word:
            return {"STOP": False, "START": True}.get(word)
        said = self._form.get("Body", "").strip().upper()
        if said in self._line.stop_words:
            return False
        return True if said in self._line.start_words else None

    def _time(self) -> datetime | None:
        """Webhooks have no time; what we asked for ourselves has."""
        try:
            found = parsedate_to_datetime(self._form.get("DateSent", ""))
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None

    # --- how far a message of ours has come -----------------------------------------------------------------------------

    def status(self) -> tuple[AnyEvent, ...]:
        code = self._form.get("ErrorCode", "")[:16].strip()
        key = f"status:{self.sid}:{self._word[:64]}:{code}"
        account = self._account(self._form.get("From", ""))
        status = STATUSES.get(self._word)
        if status is None:
            return (self.ignored(key, f"status {self._word[:64]} is not used"),)
        failed = status is Status.FAILED
        detail = self._form.get("ErrorMessage") or self._form.get("ChannelStatusMessage") or ""
        failure = kind_of(code) if failed else None
        report = StatusReported(
            key=key,
            raw=self._request.body,
            account=account,
            message_id=self.sid,
            status=status,
            code=(code or self._word) if failed else "",
            detail=detail[:300] if failed else "",
            ours=self._request.query.get("m", "")[:64],
            failure=failure,
        )
        to = self._form.get("To", "")
        if failure is not FailureKind.OPTED_OUT or not to:
            return (report,)
        sender, thread = self._line.who({**self._form, "From": to, "ProfileName": "", "WaId": ""}, to)
        return (
            report,
            ConsentChanged(key=f"consent:{self.sid}:{code}", raw=report.raw, account=account, sender=sender, thread=thread, opted_in=False),
        )

    # --- both -----------------------------------------------------------------------------------------------------------

    def ignored(self, key: str, why: str) -> PayloadIgnored:
        return PayloadIgnored(key=key, raw=self._request.body, why=why)

    def _account(self, address: str) -> str:
        """Empty if the webhook is this channel's own; else whose it is, for a channel that shares the webhook."""
        sid, service = self._form.get("AccountSid", ""), self._form.get("MessagingServiceSid", "")
        line = self._line
        if sid in ("", line.account_sid) and (address in line.own or (line.service and service == line.service)):
            return ""
        return account_name(sid or line.account_sid, address)[:200]


def _kind(mime: str, ogg: MediaKind) -> MediaKind:
    if mime == "audio/ogg":
        return ogg
    return {"image": MediaKind.IMAGE, "video": MediaKind.VIDEO, "audio": MediaKind.AUDIO}.get(mime.partition("/")[0], MediaKind.FILE)


def _without_user(url: str) -> str:
    """An address that may be kept: http(s), no credentials. Empty if it is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > 2000:
            return ""
    except ValueError:
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _unpacked(text: str, sid: str) -> str:
    """Some long texts that come by MMS are base64, and nothing says so. What Twilio posted stays in the event's ``raw``."""
    if not sid.startswith("MM") or len(text) < 60 or len(text) % 4 or not _BASE64.fullmatch(text):
        return text
    try:
        plain = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return text
    ascii_ = sum(char.isascii() and (char.isprintable() or char in "\r\n\t") for char in plain)
    readable = all(char.isprintable() or char in "\r\n\t" for char in plain)
    return plain if readable and ascii_ * 2 >= len(plain) else text
