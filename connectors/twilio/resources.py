"""The fields of Twilio's resources that we use, and what can be told from them. Pure.

Sources, read 2026-11: twilio.com/docs/messaging/api/message-resource and media-resource, twilio.com/docs/content/content-api-resources.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from connectors.abilities import TemplateDefinition
from connectors.contract import Call, Reply
from connectors.twilio.message import LINK, MEDIA, form_of
from connectors.twilio.segments import smart

#: What Twilio puts before every text of a trial account.
TRIAL: Final = "Sent from your Twilio trial account - "
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,64})\s*\}\}")


class Message(Struct, frozen=True):
    sid: str
    body: str | None = None
    num_media: str | None = "0"
    direction: str = ""
    status: str = ""
    from_: str | None = field(name="from", default=None)
    to: str | None = None
    account_sid: str = ""
    messaging_service_sid: str | None = None
    date_created: str | None = None
    date_sent: str | None = None


class MessagePage(Struct, frozen=True):
    messages: tuple[Message, ...]
    next_page_uri: str | None = None


class MediaItem(Struct, frozen=True):
    sid: str
    content_type: str = ""


class MediaPage(Struct, frozen=True):
    media_list: tuple[MediaItem, ...]


class Content(Struct, frozen=True):
    sid: str
    friendly_name: str | None = None
    language: str | None = None
    variables: dict[str, Any] | None = None
    types: dict[str, Any] | None = None
    approval_requests: Any = None


class Meta(Struct, frozen=True):
    next_page_url: str | None = None


class ContentPage(Struct, frozen=True):
    contents: tuple[Content, ...]
    meta: Meta | None = None


class Number(Struct, frozen=True):
    sid: str
    phone_number: str = ""
    sms_url: str | None = None
    capabilities: dict[str, bool] | None = None


class NumberPage(Struct, frozen=True):
    incoming_phone_numbers: tuple[Number, ...]


class Service(Struct, frozen=True):
    sid: str
    inbound_request_url: str | None = None
    use_inbound_webhook_on_number: bool | None = None


class SenderHook(Struct, frozen=True):
    callback_url: str | None = None


class ChannelSender(Struct, frozen=True):
    sid: str
    sender_id: str = ""
    status: str = ""
    webhook: SenderHook | None = None


class SenderPage(Struct, frozen=True):
    senders: tuple[ChannelSender, ...]


class Account(Struct, frozen=True):
    sid: str
    status: str = ""
    friendly_name: str = ""


def instant(text: str | None) -> datetime | None:
    """A time as Twilio writes it (RFC 2822)."""
    try:
        found = parsedate_to_datetime(text or "")
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def is_like(message: Message, call: Call) -> bool:
    """Could ``message`` be what became of ``call``? By receiver, sender, words and number of files; there is nothing else to go by."""
    form = form_of(call)
    if not message.direction.startswith("outbound") or message.to != form.get("To"):
        return False
    sender, service = form.get("From"), form.get("MessagingServiceSid")
    if (sender and message.from_ != sender) or (service and message.messaging_service_sid not in (None, service)):
        return False
    files = sum(upload.field == MEDIA for upload in call.uploads)
    if (message.num_media or "0") != str(files):
        return False
    return _same_words(message.body or "", call)


def _same_words(body: str, call: Call) -> bool:
    form = form_of(call)
    if "ContentSid" in form:
        # The provider writes the words of a template; all we know is what fills its gaps.
        return all(value in body for value in msgspec.json.decode(form.get("ContentVariables", "{}")).values())
    wanted = form.get("Body", "")
    if form.get("SmartEncoded") == "true":
        wanted, body = smart(wanted), smart(body)
    body = body.removeprefix(TRIAL)
    # A link is made anew for each try.
    linked = any(upload.field == LINK for upload in call.uploads)
    return body.startswith(wanted) if linked else body.strip() == wanted.strip()


def webhook_body(message: Message, media: Sequence[MediaItem], media_base: str) -> bytes:
    """``message`` as the form that its webhook was, or should have been."""
    form = {
        "MessageSid": message.sid,
        "SmsSid": message.sid,
        "AccountSid": message.account_sid,
        "MessagingServiceSid": message.messaging_service_sid or "",
        "From": message.from_ or "",
        "To": message.to or "",
        "Body": message.body or "",
        "NumMedia": str(len(media)),
        "SmsStatus": "received",
        "DateSent": message.date_sent or message.date_created or "",
    }
    for index, item in enumerate(media):
        form[f"MediaUrl{index}"] = f"{media_base}/{item.sid}"
        form[f"MediaContentType{index}"] = item.content_type
    return urlencode({name: value for name, value in form.items() if value or name == "Body"}).encode()


def decoded(reply: Reply, wanted: type[Any], what: str) -> Any:
    """The resource in an answer. Raises OSError in words for people if it is none."""
    if reply.status == 200:
        try:
            return msgspec.json.decode(reply.body, type=wanted)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    raise OSError(f"Twilio does not give {what}: {words_of(reply)}")


class _Error(Struct, frozen=True):
    code: int | None = None
    message: str | None = None


def words_of(reply: Reply) -> str:
    """What went wrong, in a line."""
    if reply.status == 0:
        return reply.body.decode("utf-8", "replace")[:200] or "no answer"
    try:
        error = msgspec.json.decode(reply.body, type=_Error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        error = _Error()
    return " ".join(str(word) for word in (f"status {reply.status}", error.code, error.message) if word)[:300]


# --- templates ------------------------------------------------------------------------------------------------------------


def template_of(content: Content) -> TemplateDefinition:
    """A content resource in the words of the contract. Its placeholders are numbered or named through the whole of it."""
    kinds = content.types or {}
    name = next((kind for kind in kinds if kind != "twilio/text"), next(iter(kinds), ""))
    shape, approval = _object(kinds.get(name)), _object(content.approval_requests)
    actions = [_object(action) for action in shape.get("actions") or []]
    found = _PLACEHOLDER.findall(msgspec.json.encode(shape).decode())
    places = sorted({*found, *(content.variables or {})}, key=_place)
    return TemplateDefinition(
        name=content.friendly_name or content.sid,
        language=content.language or "",
        status=str(approval.get("status") or "unsubmitted").lower(),
        category=str(approval.get("category") or "").lower(),
        body=str(shape.get("body") or shape.get("title") or ""),
        parameters=tuple(places),
        footer=str(shape.get("footer") or shape.get("subtitle") or ""),
        buttons=tuple(str(action.get("title") or "") for action in actions),
        id=content.sid,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _place(place: str) -> tuple[bool, int, str]:
    """Numbers in their order, before names."""
    return not place.isdigit(), int(place) if place.isdigit() else 0, place


def content_sid(templates: Sequence[TemplateDefinition], name: str, language: str) -> str:
    """The SID for a name and a language; empty if there is none, or if the name alone does not tell."""
    named = [one for one in templates if one.name == name]
    exact = [one.id for one in named if _tag(one.language) == _tag(language)]
    return exact[0] if exact else named[0].id if len(named) == 1 and not language else ""


def _tag(language: str) -> str:
    return language.replace("-", "_").lower()


def variables(names: Sequence[str], values: Sequence[str]) -> Mapping[str, str]:
    """``ContentVariables``: an object of strings (error 21656 for anything else)."""
    return dict(_pairs(names, values))


def _pairs(names: Sequence[str], values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(values):
        yield (names[index] if index < len(names) else str(index + 1)), value
