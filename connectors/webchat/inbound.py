"""A visitor's frames -> events. The gateway's socket hands each frame over as a request, with the visitor's token in a header.

A frame's ``id`` is a UUID that the visitor's page makes; together with the visitor it is the key, so sending a frame again is harmless.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from connectors.content import Chosen, Text
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import AnyEvent, ChatStarted, MessageReceived, Sender
from connectors.identity import Evidence, Identity
from connectors.webchat.settings import Settings
from connectors.webchat.visitor import Visitor, read_token, unverified

#: Name of the header with the visitor's token, in lower case.
TOKEN_HEADER: Final = "x-visitor"  # noqa: S105 - a name, not a token
#: Longest text, in characters.
MAX_TEXT: Final = 10_000
#: Largest frame, in bytes.
MAX_FRAME: Final = 64 * 1024

FrameId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]{8,64}$")]


class Frame(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """Base of what a visitor may send to be kept."""

    id: FrameId


class MessageFrame(Frame, frozen=True, kw_only=True, tag="message"):
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class ChosenFrame(Frame, frozen=True, kw_only=True, tag="chosen"):
    """A click on one of the options that were offered."""

    option: Annotated[str, Meta(min_length=1, max_length=64)]
    label: Annotated[str, Meta(max_length=200)] = ""


class StartFrame(Frame, frozen=True, kw_only=True, tag="start"):
    """The chat was opened; ``page`` is where."""

    page: Annotated[str, Meta(max_length=2048)] = ""


class ProfileFrame(Frame, frozen=True, kw_only=True, tag="profile"):
    """What the visitor says about themselves: shown as a claim, never a proof."""

    name: Annotated[str, Meta(max_length=100)] = ""
    email: Annotated[str, Meta(max_length=254, pattern=r"^(?:[^@\s]+@[^@\s]+)?$")] = ""


AnyFrame = MessageFrame | ChosenFrame | StartFrame | ProfileFrame

_decoder: Final = msgspec.json.Decoder(AnyFrame)


def verify(request: Request, settings: Settings) -> bool:
    """Does the request carry a token that we signed for this channel?"""
    token = request.headers.get(TOKEN_HEADER, "")
    return read_token(token, settings.secret, _channel_of(request), request.received_at.timestamp()) is not None


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:  # noqa: ARG001 - the contract's shape
    """One frame is one event. Raises BadPayload."""
    visitor = unverified(request.headers.get(TOKEN_HEADER, ""))
    frame = read_frame(request.body)
    sender = Sender(identity=visitor.identity, evidence=Evidence.SIGNED)
    key = f"{visitor.visitor}:{frame.id}"
    thread, at = visitor.visitor, request.received_at
    match frame:
        case MessageFrame():
            text = (Text(text=frame.text),)
            return (MessageReceived(key=key, at=at, sender=sender, thread=thread, message_id=key, parts=text),)
        case ChosenFrame():
            chosen = (Chosen(id=frame.option, label=frame.label),)
            return (MessageReceived(key=key, at=at, sender=sender, thread=thread, message_id=key, parts=chosen),)
        case StartFrame():
            return (ChatStarted(key=key, at=at, sender=sender, thread=thread, payload=frame.page),)
        case ProfileFrame():
            return (ChatStarted(key=key, at=at, sender=_claiming(visitor, frame), thread=thread),)


def read_frame(body: bytes) -> AnyFrame:
    """Decode and check a frame. Raises BadPayload naming the field."""
    try:
        frame: AnyFrame = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadPayload(str(error)) from None
    return frame


def _claiming(visitor: Visitor, frame: ProfileFrame) -> Sender:
    mail = ((Identity("mailto", "", frame.email.lower()), Evidence.CLAIMED),) if frame.email else ()
    return Sender(identity=visitor.identity, evidence=Evidence.SIGNED, name=frame.name.strip(), aliases=mail)


def _channel_of(request: Request) -> str:
    """``/chat/v1/{channel}/socket`` -> channel; empty for requests that came another way."""
    _, found, rest = request.url.partition("/chat/v1/")
    return rest.partition("/")[0] if found else ""
