"""Our messages as calls of the Cloud API, and its answers as outcomes. Pure.

Every message carries our own id and the part's index as ``biz_opaque_callback_data``; Meta repeats it in each status. So a sending whose
answer was lost is found again by its first status: the API itself has no list of what was sent.

Source: developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages, read 2026-11.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.compose import as_buttons, compose
from connectors.content import Choice, Choices, ContactCard, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent, Upload
from connectors.errors import BadPayload, FailureKind, Inexpressible
from connectors.meta.access import graph_url
from connectors.meta.failure import failure_of, graph_error
from connectors.meta.webhook import decode_json
from connectors.text import Unit, length
from connectors.whatsapp import limits
from connectors.whatsapp.codes import CODES, WAITS
from connectors.whatsapp.limits import CAPABILITIES
from connectors.whatsapp.people import is_phone, is_user_id
from connectors.whatsapp.reading import callback_data
from connectors.whatsapp.settings import Settings, secrets_of
from connectors.whatsapp.template import template_of, upload_of

_TYPES: Final = {
    MediaKind.IMAGE: "image",
    MediaKind.VIDEO: "video",
    MediaKind.AUDIO: "audio",
    MediaKind.VOICE: "audio",
    MediaKind.STICKER: "sticker",
    MediaKind.FILE: "document",
}
#: What opens a list, if the question does not say: understood in most languages.
_MENU: Final = "Menu"

#: Ids of forms, as WhatsApp Manager shows them.
_FORM: Final = re.compile(r"[0-9]{1,32}")

#: One call before it has an address: its type, what stands under that name, and a file that goes up first.
_Draft = tuple[str, dict[str, Any], tuple[Upload, ...]]


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    """The calls of one message, in order. Raises :class:`Inexpressible` before anything is sent."""
    address = _address(message.to)
    url = graph_url(settings, f"{settings.phone_number_id}/messages")
    calls = []
    for index, parts in enumerate(compose(message.parts, CAPABILITIES).messages):
        kind, content, uploads = _draft(parts, f"part {index + 1}")
        quoted = {"context": {"message_id": message.reply_to}} if index == 0 and message.reply_to else {}
        calls.append(
            Call(
                method="POST",
                url=url,
                json={
                    "messaging_product": "whatsapp",
                    "recipient_type": "individual",
                    **address,
                    **quoted,
                    "type": kind,
                    kind: content,
                    "biz_opaque_callback_data": callback_data(message.id, index),
                },
                uploads=uploads,
                part=index,
                bucket=message.to,
            )
        )
    return calls


def _address(to: str) -> dict[str, str]:
    # A user id in ``to`` is answered with 200 and reaches nobody: its digits are taken for a phone.
    if is_user_id(to):
        return {"recipient": to}
    if is_phone(to):
        return {"to": to}
    raise Inexpressible(f"{to[:64]!r} is no WhatsApp address: it should be digits with the country code, or a user id such as US.1349…")


def _draft(parts: Sequence[Any], where: str) -> _Draft:
    match parts:
        case (Text(text=words),):
            return "text", {"body": words}, ()
        case (Media() as media,):
            return _media(media, "", where)
        case (Media() as media, Text(text=words)):
            return _media(media, words, where)
        case (Choices() as question,):
            return _question(question, where)
        case (Location() as place,):
            return "location", _location(place), ()
        case (ContactCard() as card,):
            return "contacts", _contacts(card, where), ()
        case (Template() as template,):
            content, uploads = template_of(template, where)
            return "template", content, uploads
        case _:
            raise Inexpressible(f"{where}: WhatsApp cannot carry these parts together")


def _media(media: Media, caption: str, where: str) -> _Draft:
    content: dict[str, Any] = {}
    upload = upload_of(media, where, content)
    if caption:
        content["caption"] = caption
    if media.kind is MediaKind.FILE:
        content["filename"] = upload.name
    if media.kind is MediaKind.VOICE:
        content["voice"] = True
    return _TYPES[media.kind], content, (upload,)


def _question(question: Choices, where: str) -> _Draft:
    if not question.text.strip():
        raise Inexpressible(f"{where}: WhatsApp needs words above the options")
    body = {"body": {"text": question.text}}
    if question.options[0].form:
        return "interactive", {"type": "flow", **body, "action": _form(question.options[0], where)}, ()
    buttons = as_buttons(question, CAPABILITIES.limits)
    _check(question.options, limits.BUTTON_ID if buttons else limits.ROW_ID, where)
    if buttons:
        replies = [{"type": "reply", "reply": {"id": option.id, "title": option.label}} for option in question.options]
        header, uploads = _header(question.header_media, where)
        return "interactive", {"type": "button", **header, **body, "action": {"buttons": replies}}, uploads
    action = {"button": question.button.strip() or _MENU, "sections": [{"rows": [_row(one) for one in question.options]}]}
    return "interactive", {"type": "list", **body, "action": action}, ()


def _header(media: Media | None, where: str) -> tuple[dict[str, Any], tuple[Upload, ...]]:
    if media is None:
        return {}, ()
    kind, content = _TYPES[media.kind], dict[str, Any]()
    upload = upload_of(media, where, content)
    if media.kind is MediaKind.FILE:
        content["filename"] = upload.name
    return {"header": {"type": kind, kind: content}}, (upload,)


def _form(option: Choice, where: str) -> dict[str, Any]:
    """A form of WhatsApp Flows. Its answers come back with the option's id as ``flow_token``."""
    if not _FORM.fullmatch(option.form):
        raise Inexpressible(f"{where}: {option.form[:40]!r} is not the id of a form; WhatsApp Manager shows it under Flows")
    begin = {"flow_action": "navigate", "flow_action_payload": {"screen": option.screen}} if option.screen else {}
    parameters = {"flow_message_version": "3", "flow_token": option.id, "flow_id": option.form, "flow_cta": option.label, **begin}
    return {"name": "flow", "parameters": parameters}


def _check(options: Sequence[Choice], longest: int, where: str) -> None:
    """What Meta refuses a whole question for."""
    for option in options:
        if not 0 < length(option.id, Unit.UTF16) <= longest:
            raise Inexpressible(f"{where}: the id of option {option.label[:40]!r} must have 1 to {longest} characters")
    if len({option.id for option in options}) < len(options) or len({option.label for option in options}) < len(options):
        raise Inexpressible(f"{where}: two options have the same id or the same label; WhatsApp refuses that")


def _row(option: Choice) -> dict[str, str]:
    row = {"id": option.id, "title": option.label}
    return row | ({"description": option.description} if option.description.strip() else {})


def _location(place: Location) -> dict[str, Any]:
    named = {name: value for name, value in (("name", place.name), ("address", place.address)) if value}
    return {"latitude": place.latitude, "longitude": place.longitude, **named}


def _contacts(card: ContactCard, where: str) -> Any:
    if not card.name.strip():
        raise Inexpressible(f"{where}: a contact card on WhatsApp needs a name")
    # A formatted name alone is refused: one more of its fields must be there.
    found: dict[str, Any] = {"name": {"formatted_name": card.name, "first_name": card.name}}
    if card.phones:
        found["phones"] = [{"phone": phone} for phone in card.phones]
    if card.emails:
        found["emails"] = [{"email": email} for email in card.emails]
    return [found]


# --- answers --------------------------------------------------------------------------------------------------------------


class _SentMessage(Struct, frozen=True):
    id: str = ""


class _Answer(Struct, frozen=True):
    # ``contacts[0].wa_id`` stands beside it: WhatsApp's own spelling of the phone (Brazil, Mexico). An outcome has no place for it, and it
    # is not needed: the person's next webhook brings both, and a status finds its message by id.
    messages: tuple[_SentMessage, ...] = ()


_answers: Final = msgspec.json.Decoder(_Answer)


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:  # noqa: ARG001  the contract's shape
    """What the answer means. Only a message id is a proof of success."""
    error = graph_error(reply.body)
    if 200 <= reply.status < 300 and error is None:
        return _taken(reply)
    failure = failure_of(reply, CODES, secrets_of(settings))
    if error is not None and failure.kind is FailureKind.THROTTLED and not failure.retry_after:
        return replace(failure, retry_after=WAITS.get(error.code, 0.0))
    return failure


def _taken(reply: Reply) -> Outcome:
    try:
        answer = decode_json(reply.body, _answers)
    except BadPayload:
        return Failure(kind=FailureKind.UNKNOWN, code=str(reply.status), detail="the answer is not Meta's")
    if not answer.messages or not answer.messages[0].id:
        return Failure(kind=FailureKind.UNKNOWN, code=str(reply.status), detail="the answer holds no message id")
    return Sent(provider_id=answer.messages[0].id)
