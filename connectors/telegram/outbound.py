"""Our messages as calls of the Bot API, and its answers as outcomes. Pure.

Text is sent without ``parse_mode``: what an agent typed is what the shopper reads.

Source: core.telegram.org/bots/api, Bot API 10.0, and core.telegram.org/bots/faq (limits), read 2026-11.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from connectors.capabilities import Capabilities, Limits
from connectors.compose import compose
from connectors.content import AnyPart, Choices, ContactCard, Location, Media, Text
from connectors.contract import Call, Failure, Outbound, Outcome, Reply, Sent, Upload
from connectors.errors import FailureKind, Inexpressible
from connectors.retry import MAX_DETAIL, default_failure, retry_after
from connectors.telegram.media import ALBUMS, UPLOAD_BYTES, upload_of
from connectors.telegram.parts import DOWNLOAD_BYTES
from connectors.telegram.settings import Settings
from connectors.text import Unit

#: UTF-16 units.
TEXT_LIMIT: Final = 4096
CAPTION_LIMIT: Final = 1024
#: ``callback_data``, in bytes.
CHOICE_ID_BYTES: Final = 64
#: Buttons of one message.
CHOICES_LIMIT: Final = 100
#: Most seconds that we wait because Telegram says so; it does ask for hours.
MAX_RETRY_AFTER: Final = 86_400.0

CAPABILITIES: Final = Capabilities(
    limits=Limits(
        text=TEXT_LIMIT,
        caption=CAPTION_LIMIT,
        unit=Unit.UTF16,
        choices=CHOICES_LIMIT,
        albums=ALBUMS,
        upload_bytes=UPLOAD_BYTES,
        download_bytes=DOWNLOAD_BYTES,
        # "Exact limits are unspecified"; these two are the FAQ's.
        rate=30.0,
        bucket_rate=1.0,
    ),
    sends=frozenset({"text", "media", "location", "contact", "choices"}),
    receives=frozenset({"text", "media", "location", "contact", "chosen", "unsupported"}),
    edits=True,
    # Only business accounts report them.
    deletions=True,
    reactions=True,
    redelivers=True,
)

_THREAD: Final = re.compile(r"(?P<chat>-?[0-9]{1,16})(?:@(?P<business>[A-Za-z0-9_-]{1,128}))?")

#: One call before it has an address: method, parameters, file.
_Draft = tuple[str, dict[str, Any], tuple[Upload, ...]]


def render(message: Outbound, settings: Settings) -> Sequence[Call]:  # noqa: ARG001  the contract's shape
    """The calls of one message, in order. Raises :class:`Inexpressible` before anything is sent."""
    address = _address(message.to)
    calls = []
    for index, parts in enumerate(compose(message.parts, CAPABILITIES).messages):
        method, parameters, uploads = _draft(parts, index)
        quoted = _quote(message.reply_to) if index == 0 else {}
        calls.append(
            Call(
                method="POST",
                url=method,
                json={**address, **parameters, **quoted},
                uploads=uploads,
                part=index,
                bucket=str(address["chat_id"]),
                messages=max(len(uploads), 1),
            )
        )
    return calls


def _address(to: str) -> dict[str, Any]:
    match = _THREAD.fullmatch(to)
    if match is None:
        raise Inexpressible(f"{to[:64]!r} is not a Telegram chat: it should be a number")
    chat: dict[str, Any] = {"chat_id": int(match["chat"])}
    return chat | ({"business_connection_id": match["business"]} if match["business"] else {})


def _quote(reply_to: str) -> dict[str, Any]:
    """What is answered: ``<thread>:<number>``. A pressed button is no message and cannot be quoted."""
    number = reply_to.rpartition(":")[2]
    if reply_to.startswith("callback:") or not (number.isascii() and number.isdigit()):
        return {}
    return {"reply_parameters": {"message_id": int(number), "allow_sending_without_reply": True}}


def _draft(parts: tuple[AnyPart, ...], index: int) -> _Draft:
    match parts:
        case (Text(text=words),):
            return "sendMessage", {"text": words}, ()
        case (Media() as media, Text(text=words)):
            return _media(media, words, index)
        case (Media() as media,):
            return _media(media, "", index)
        case (Media(), Media(), *_):
            return _album(parts, index)
        case (Choices() as question,):
            return _choices(question, index)
        case (Location() as place,):
            return _location(place)
        case (ContactCard() as card,):
            return _contact(card, index)
        case _:
            kinds = " and ".join(str(part.__struct_config__.tag) for part in parts)
            raise Inexpressible(f"part {index + 1}: Telegram cannot carry {kinds}")


def _media(media: Media, caption: str, index: int) -> _Draft:
    method, upload = upload_of(media, index)
    return method, {"caption": caption} if caption else {}, (upload,)


def _album(parts: tuple[AnyPart, ...], index: int) -> _Draft:
    """The files, and the words below the first of them, which clients show below all."""
    items: list[dict[str, Any]] = []
    uploads = []
    for number, media in enumerate(part for part in parts if isinstance(part, Media)):
        _, upload = upload_of(media, index)
        name = f"file{number}"
        items.append({"type": upload.field, "media": f"attach://{name}"})
        uploads.append(msgspec.structs.replace(upload, field=name))
    if isinstance(parts[-1], Text):
        items[0]["caption"] = parts[-1].text
    return "sendMediaGroup", {"media": items}, tuple(uploads)


def _choices(question: Choices, index: int) -> _Draft:
    where = f"part {index + 1}"
    if not question.text.strip():
        raise Inexpressible(f"{where}: Telegram refuses a question without visible characters")
    for option in question.options:
        size = len(option.id.encode("utf-8", "surrogatepass"))
        if not 1 <= size <= CHOICE_ID_BYTES:
            raise Inexpressible(f"{where}: the id of option {option.label[:40]!r} has {size} bytes; Telegram takes 1 to {CHOICE_ID_BYTES}")
    keyboard = [[{"text": option.label, "callback_data": option.id}] for option in question.options]
    return "sendMessage", {"text": question.text, "reply_markup": {"inline_keyboard": keyboard}}, ()


def _location(location: Location) -> _Draft:
    point = {"latitude": location.latitude, "longitude": location.longitude}
    if location.name:
        return "sendVenue", {**point, "title": location.name, "address": location.address or location.name}, ()
    return "sendLocation", point, ()


def _contact(card: ContactCard, index: int) -> _Draft:
    if not card.phones or not card.name.strip():
        raise Inexpressible(f"part {index + 1}: a contact card on Telegram needs a name and a phone number")
    parameters = {"phone_number": card.phones[0], "first_name": card.name}
    if len(card.phones) > 1 or card.emails:
        parameters["vcard"] = _vcard(card)
    return "sendContact", parameters, ()


def _vcard(card: ContactCard) -> str:
    """What the two fields of a Telegram contact do not hold (RFC 6350)."""

    def escaped(value: str) -> str:
        return re.sub(r"([\\,;])", r"\\\1", " ".join(value.split()))

    lines = [f"FN:{escaped(card.name)}"]
    lines += [f"TEL:{escaped(phone)}" for phone in card.phones]
    lines += [f"EMAIL:{escaped(email)}" for email in card.emails]
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])


# --- answers --------------------------------------------------------------------------------------------------------------


class _Parameters(Struct, frozen=True):
    migrate_to_chat_id: int = 0
    retry_after: float = 0.0


class _Chat(Struct, frozen=True):
    id: int


class _SentMessage(Struct, frozen=True):
    message_id: int
    chat: _Chat


class _Answer(Struct, frozen=True):
    ok: bool
    #: Several for an album.
    result: _SentMessage | tuple[_SentMessage, ...] | None = None
    error_code: int = 0
    description: str = ""
    parameters: _Parameters | None = None


_answers: Final = msgspec.json.Decoder(_Answer)


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:
    """What the answer means. Only a message id is a proof of success."""
    try:
        answer = _answers.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _without_body(reply, settings)
    if answer.ok:
        sent = answer.result if isinstance(answer.result, tuple) else (answer.result,) if answer.result else ()
        if not sent or any(one.message_id < 1 for one in sent) or not 200 <= reply.status < 300:
            return _unknown(reply, "the answer holds no message id")
        business = (call.json or {}).get("business_connection_id", "")
        first, *others = [f"{one.chat.id}{'@' if business else ''}{business}:{one.message_id}" for one in sent]
        return Sent(provider_id=first, also=tuple(others))
    status = reply.status if reply.status >= 400 else answer.error_code
    if status < 400:
        return _unknown(reply, answer.description)
    return _refused(status, _hushed(answer.description, settings)[:MAX_DETAIL], answer.parameters or _Parameters(), reply)


def _hushed(words: str, settings: Settings) -> str:
    """Some proxies repeat our request, whose address holds the token, in their page of errors."""
    return words.replace(settings.token.reveal(), "********")


def _without_body(reply: Reply, settings: Settings) -> Failure:
    if reply.status == 404:
        # Telegram's own word for a token that it cannot read.
        return Failure(kind=FailureKind.AUTH, code="404", detail="Not Found")
    if 200 <= reply.status < 300:
        return _unknown(reply, "the answer is not Telegram's")
    failure = default_failure(reply)
    return msgspec.structs.replace(failure, detail=_hushed(failure.detail, settings))


def _unknown(reply: Reply, detail: str) -> Failure:
    return Failure(kind=FailureKind.UNKNOWN, code=str(reply.status), detail=detail[:MAX_DETAIL])


def _refused(status: int, detail: str, parameters: _Parameters, reply: Reply) -> Failure:
    if parameters.migrate_to_chat_id:
        return Failure(kind=FailureKind.MOVED, code=str(status), detail=detail, moved_to=str(parameters.migrate_to_chat_id))
    kind = _kind(status, detail.casefold())
    wait = 0.0
    if kind in (FailureKind.THROTTLED, FailureKind.TRANSIENT):
        wait = min(max(parameters.retry_after, 0.0), MAX_RETRY_AFTER) or retry_after(reply.headers, MAX_RETRY_AFTER)
    return Failure(kind=kind, code=str(status), detail=detail, retry_after=wait)


def _kind(status: int, words: str) -> FailureKind:
    match status:
        case 401 | 404:
            return FailureKind.AUTH
        case 429:
            return FailureKind.THROTTLED
        case 403:
            return FailureKind.OPTED_OUT if any(said in words for said in _LEFT) else FailureKind.RECIPIENT
        case 400 if any(said in words for said in _LEFT):
            # Of an album Telegram says 400, and quotes what was wrong with the first file that it did not take. Else that is INVALID:
            # the others may have arrived, and must not go twice.
            return FailureKind.OPTED_OUT
        case 400 if any(said in words for said in _NOBODY):
            return FailureKind.RECIPIENT
        case _ if status >= 500:
            # Telegram itself says that it failed: the message was not taken.
            return FailureKind.TRANSIENT
        case _:
            return FailureKind.INVALID


#: Telegram has no codes below the HTTP status, only words. github.com/tdlib/telegram-bot-api, Client.cpp, read 2026-11.
_LEFT: Final = ("blocked by the user", "was kicked", "is not a member")
_NOBODY: Final = ("chat not found", "user not found", "peer_id_invalid", "user_deactivated", "business_connection_invalid")
