"""Our messages as calls of the Send API, public answers as comments, and Graph's answers as outcomes. Pure.

A private answer to a comment goes to the comment: Meta delivers it as a private message with a link to it, once, within seven days.
It opens no window: what follows needs an answer of the shopper's.

Sources: developers.facebook.com/docs/messenger-platform/reference/send-api, …/messenger-platform/error-codes (updated 2026-03),
…/messenger-platform/discovery/private-replies (updated 2026-04), …/instagram-platform/private-replies (updated 2026-06); read 2026-11.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.capabilities import Capabilities, for_public
from connectors.compose import Parts, compose
from connectors.content import Choices, Media, MediaKind, Text
from connectors.contract import Call, Outbound, Outcome, Reply, Sent, Upload
from connectors.errors import BadPayload, FailureKind, Inexpressible
from connectors.meta.access import graph_url
from connectors.meta.failure import Codes, failure_of
from connectors.meta.webhook import decode_json
from connectors.meta_messaging.account import MessagingSettings
from connectors.meta_messaging.fragment import COMMENT, POST, USER_REF
from connectors.meta_messaging.inbound import METADATA

#: The window in which only people may write, with a tag that says so.
HUMAN_AGENT: Final = "human_agent"
#: Characters of a quick reply's payload.
PAYLOAD_CHARS: Final = 1000

#: Ids of people and comments, and checkbox references: nothing that could lead a call elsewhere.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

#: What Graph's codes mean for a message; those of all products are in ``meta.failure``.
CODES: Final[Codes] = MappingProxyType(
    {
        # "Batches … are all sent successfully, but the endpoint returns an error": it may have gone out.
        (1, 1357046): FailureKind.UNKNOWN,
        1200: FailureKind.TRANSIENT,
        # "Sent outside of allowed window": of Messenger, of its news, of Instagram.
        (10, 2018278): FailureKind.WINDOW,
        (10, 2018065): FailureKind.WINDOW,
        (10, 2534022): FailureKind.WINDOW,
        # "This person isn't receiving messages from you right now"; "… isn't available right now".
        (10, 2018108): FailureKind.RECIPIENT,
        (200, 1545041): FailureKind.RECIPIENT,
        (100, 2018001): FailureKind.RECIPIENT,
        551: FailureKind.RECIPIENT,
        # "User is performing too many actions".
        9: FailureKind.THROTTLED,
        # Private answers to comments: answered before; too old; not one that can be answered; not by this person.
        10900: FailureKind.INVALID,
        10901: FailureKind.WINDOW,
        10902: FailureKind.INVALID,
        10903: FailureKind.INVALID,
        # The same comment twice.
        506: FailureKind.INVALID,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What is different between Messenger and Instagram when they are written to."""

    private: Capabilities
    #: Where an answer to a comment is posted: ``<comment>/comments`` or ``<comment>/replies``.
    answers: str
    #: Are our ids repeated in echoes?
    metadata: bool


def able_with(able: Capabilities, settings: MessagingSettings) -> Capabilities:
    """``able``, without the week that needs a permission if the app has not got it."""
    if settings.human_agent:
        return able
    return replace(able, windows=tuple(window for window in able.windows if window.name != HUMAN_AGENT))


def render_message(message: Outbound, settings: MessagingSettings, style: Style, node: str) -> Sequence[Call]:
    """The calls of one message, in order. ``node``: whose messages they are. Raises :class:`Inexpressible` before anything is sent."""
    if message.public:
        return _public(message, settings, style)
    messages = compose(message.parts, style.private).messages
    first, rest = _recipients(message)
    if len(messages) > 1 and rest is None:
        raise Inexpressible(
            f"a private answer to a comment is one message until the person answers; this would be {len(messages)}: "
            "shorten it, or send files later"
        )
    manner = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"} if message.window == HUMAN_AGENT else {"messaging_type": "RESPONSE"}
    calls = []
    for index, parts in enumerate(messages):
        recipient = first if index == 0 or rest is None else rest
        content, uploads = _content(parts, index)
        if style.metadata:
            content["metadata"] = f"{METADATA}{message.id}:{index}"
        # The tag is for the time after the window; a comment has one of its own.
        how = manner if recipient.keys() & {"id", "user_ref"} else {"messaging_type": "RESPONSE"}
        calls.append(
            Call(
                method="POST",
                url=graph_url(settings, f"{node}/messages"),
                json={"recipient": recipient, **how, "message": content},
                uploads=uploads,
                part=index,
                bucket=message.to,
            )
        )
    return calls


def _recipients(message: Outbound) -> tuple[dict[str, str], dict[str, str] | None]:
    """Who gets the first message, and who the others; None: there can be no others."""
    comment = message.reply_to if message.reply_to.startswith(COMMENT) else ""
    if message.to.startswith(COMMENT):
        return _writer(comment or message.to), None
    kind, value = ("user_ref", message.to.removeprefix(USER_REF)) if message.to.startswith(USER_REF) else ("id", message.to)
    person = {kind: _checked(value)}
    if comment:
        return _writer(comment), person if message.window else None
    return person, person


def _writer(comment: str) -> dict[str, str]:
    """Whoever wrote this comment, or this post on the page."""
    if comment.startswith(POST):
        return {"post_id": _checked(comment.removeprefix(POST))}
    return {"comment_id": _checked(comment.removeprefix(COMMENT))}


def _public(message: Outbound, settings: MessagingSettings, style: Style) -> Sequence[Call]:
    if not message.reply_to.startswith(COMMENT):
        raise Inexpressible("a public answer needs the comment that it answers")
    able = for_public(style.private)
    if "media" not in able.sends and any(isinstance(part, Media) for part in message.parts):
        raise Inexpressible("an answer below a comment carries no files here: send them in a private message")
    (answered,) = _writer(message.reply_to).values()
    url = graph_url(settings, f"{answered}/{style.answers}")
    calls = []
    for index, parts in enumerate(compose(message.parts, able).messages):
        words = "".join(part.text for part in parts if isinstance(part, Text))
        uploads = tuple(_upload(part, index, "source") for part in parts if isinstance(part, Media))
        calls.append(Call(method="POST", url=url, json={"message": words} if words else {}, uploads=uploads, part=index, bucket=message.to))
    return calls


def _checked(value: str) -> str:
    if not _ID.fullmatch(value):
        raise Inexpressible(f"{value[:64]!r} is not an id of Meta's")
    return value


def _content(parts: Parts, index: int) -> tuple[dict[str, Any], tuple[Upload, ...]]:
    match parts:
        case (Text(text=text),):
            return {"text": text}, ()
        case (Choices() as question,):
            return {"text": question.text, "quick_replies": list(_quick_replies(question, index))}, ()
        case (Media() as media,):
            return _file(media, index)
        case _:
            raise Inexpressible(f"message {index + 1}: the Send API cannot carry these parts together")


def _quick_replies(question: Choices, index: int) -> Iterator[dict[str, str]]:
    for option in question.options:
        if not 1 <= len(option.id) <= PAYLOAD_CHARS:
            raise Inexpressible(f"message {index + 1}: the id of option {option.label[:40]!r} must have 1 to {PAYLOAD_CHARS} characters")
        yield {"content_type": "text", "title": option.label, "payload": option.id}


_TYPES: Final = MappingProxyType({MediaKind.IMAGE: "image", MediaKind.VIDEO: "video", MediaKind.AUDIO: "audio", MediaKind.FILE: "file"})


def _file(media: Media, index: int) -> tuple[dict[str, Any], tuple[Upload, ...]]:
    return {"attachment": {"type": _TYPES[media.kind], "payload": {"is_reusable": False}}}, (_upload(media, index, "filedata"),)


def _upload(media: Media, index: int, field: str) -> Upload:
    if not media.ref:
        raise Inexpressible(f"message {index + 1}: the file {media.name[:40]!r} is not stored with us")
    mime = media.mime.partition(";")[0].strip().lower() or "application/octet-stream"
    return Upload(field=field, name=media.name or "file", mime=mime, stored=media.ref)


# --- answers ----------------------------------------------------------------------------------------------------------------


class _Answer(Struct, frozen=True):
    message_id: str = ""
    id: str = ""


_answers: Final = msgspec.json.Decoder(_Answer)


def read_answer(call: Call, reply: Reply, settings: MessagingSettings) -> Outcome:
    """What the answer means. Only an id of the message or comment is a proof of success."""
    if 200 <= reply.status < 300:
        try:
            answer = decode_json(reply.body, _answers)
        except BadPayload:
            answer = _Answer()
        if answer.message_id:
            return Sent(provider_id=answer.message_id)
        if answer.id and not call.url.endswith("/messages"):
            return Sent(provider_id=f"{COMMENT}{answer.id}")
    return failure_of(reply, CODES, (settings.access_token, settings.app_secret))
