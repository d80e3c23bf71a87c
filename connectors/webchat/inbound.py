"""A visitor's frames -> events. The gateway's socket hands each frame over as a request, with the visitor's token in a header.

A frame's ``id`` is a UUID that the visitor's page makes; together with the visitor it is the key, so sending a frame again is harmless.
What a visitor sends is not quite what is kept: the gateway looks files up and says what they are, and only it can say who is identified.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from connectors.content import AnyPart, Chosen, Media, MediaKind, Text
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import AnyEvent, ChatStarted, MessageReceived, Sender
from connectors.identity import Evidence, mail_of_visitor
from connectors.text import without_nul
from connectors.webchat.settings import Settings
from connectors.webchat.visitor import Visitor, read_token, unsigned, unverified

#: Name of the header with the visitor's token, in lower case.
TOKEN_HEADER: Final = "x-visitor"  # noqa: S105 - a name, not a token
#: Beside it, when an anonymous visitor turns out to be a user of the shop: the token for the new identity.
USER_HEADER: Final = "x-user"
#: Longest text, in characters.
MAX_TEXT: Final = 10_000
#: Largest frame, in bytes.
MAX_FRAME: Final = 64 * 1024

#: Most files of one message.
MAX_FILES: Final = 10
_LONGEST_ADDRESS: Final = 2048

FrameId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]{8,64}$")]
#: An address of a page; what is not http(s) is left out.
Address = Annotated[str, Meta(max_length=_LONGEST_ADDRESS)]


class Frame(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """Base of what a visitor may send to be kept."""

    id: FrameId


class KeptFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that the visitor has uploaded, as the gateway knows it: ``mime`` is by signature, ``size`` in bytes."""

    id: str
    mime: str
    name: str = ""
    size: int = 0


class MessageFrame(Frame, frozen=True, kw_only=True, tag="message"):
    """A text, files, or both; ``page`` is where it was written, ``referrer`` what had led there."""

    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    files: Annotated[tuple[KeptFile, ...], Meta(max_length=MAX_FILES)] = ()
    page: Address = ""
    referrer: Address = ""

    def __post_init__(self) -> None:
        """An empty message says nothing."""
        if not self.text and not self.files:
            raise ValueError("a message needs a text or a file")


class ChosenFrame(Frame, frozen=True, kw_only=True, tag="chosen"):
    """A click on one of the options that were offered."""

    option: Annotated[str, Meta(min_length=1, max_length=64)]
    label: Annotated[str, Meta(max_length=200)] = ""


class StartFrame(Frame, frozen=True, kw_only=True, tag="start"):
    """The chat was opened; ``page`` is where."""

    page: Address = ""


class ProfileFrame(Frame, frozen=True, kw_only=True, tag="profile"):
    """What the visitor says about themselves: shown as a claim, never a proof."""

    name: Annotated[str, Meta(max_length=100)] = ""
    email: Annotated[str, Meta(max_length=254, pattern=r"^(?:[^@\s]+@[^@\s]+)?$")] = ""
    #: BCP 47: that of the chat's window, for letters.
    language: Annotated[str, Meta(max_length=35, pattern=r"^(?:[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*)?$")] = ""


class IdentifyFrame(Frame, frozen=True, kw_only=True, tag="identify"):
    """The shop's server has said who the visitor is: the token in ``USER_HEADER`` holds whom. Made by the gateway only."""

    name: Annotated[str, Meta(max_length=100)] = ""


AnyFrame = MessageFrame | ChosenFrame | StartFrame | ProfileFrame | IdentifyFrame

_decoder: Final = msgspec.json.Decoder(AnyFrame)


def verify(request: Request, settings: Settings) -> bool:
    """Does the request carry a token that we signed for this channel; and if it names a user, another one for that?"""
    tokens = [request.headers[name] for name in (TOKEN_HEADER, USER_HEADER) if name in request.headers]
    channel, now = _channel_of(request), request.received_at.timestamp()
    genuine = all(read_token(token, settings.secret, channel, now) is not None for token in tokens)
    return genuine and TOKEN_HEADER in request.headers


def kept_headers(request: Request) -> Mapping[str, str]:
    """Who wrote, without the signatures: enough to read a frame again, and of no use to anybody else."""
    return {name: unsigned(request.headers[name]) for name in (TOKEN_HEADER, USER_HEADER) if name in request.headers}


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:  # noqa: ARG001 - the contract's shape
    """One frame is one event, but for ``identify``. Raises BadPayload."""
    visitor = unverified(request.headers.get(TOKEN_HEADER, ""))
    frame = read_frame(request.body)
    sender = Sender(identity=visitor.identity, evidence=Evidence.SIGNED)
    key = f"{visitor.visitor}:{frame.id}"
    thread, at = visitor.visitor, request.received_at
    match frame:
        case MessageFrame():
            page, referrer = _web_address(frame.page), _web_address(frame.referrer)
            parts = _parts(frame)
            return (
                MessageReceived(key=key, at=at, sender=sender, thread=thread, message_id=key, parts=parts, page=page, referrer=referrer),
            )
        case ChosenFrame():
            chosen = (Chosen(id=frame.option, label=frame.label),)
            return (MessageReceived(key=key, at=at, sender=sender, thread=thread, message_id=key, parts=chosen),)
        case StartFrame():
            return (ChatStarted(key=key, at=at, sender=sender, thread=thread, payload=frame.page),)
        case ProfileFrame():
            return (ChatStarted(key=key, at=at, sender=_claiming(visitor, frame), thread=thread),)
        case IdentifyFrame():
            return _identified(request, frame, sender, key)


def _identified(request: Request, frame: IdentifyFrame, visitor: Sender, key: str) -> Sequence[AnyEvent]:
    """Both become customers of their own before they are joined: only then is the joining a merge on record that can be undone."""
    named = unverified(request.headers.get(USER_HEADER, ""))
    user = Sender(identity=named.identity, evidence=Evidence.SIGNED, name=frame.name.strip())
    both = Sender(identity=named.identity, evidence=Evidence.SIGNED, aliases=((visitor.identity, Evidence.SIGNED),))
    at = request.received_at
    return (
        ChatStarted(key=f"{key}:visitor", at=at, sender=visitor, thread=visitor.identity.value),
        ChatStarted(key=f"{key}:user", at=at, sender=user, thread=named.visitor),
        ChatStarted(key=key, at=at, sender=both, thread=named.visitor),
    )


def media_kind(mime: str) -> MediaKind:
    """How a file of this type is shown."""
    kinds = {"image": MediaKind.IMAGE, "audio": MediaKind.AUDIO, "video": MediaKind.VIDEO}
    return kinds.get(mime.partition("/")[0], MediaKind.FILE)


def _parts(frame: MessageFrame) -> tuple[AnyPart, ...]:
    text = (Text(text=frame.text),) if frame.text else ()
    files = tuple(
        Media(kind=media_kind(file.mime), ref=file.id, mime=file.mime, name=file.name, size=file.size, stored=file.id)
        for file in frame.files
    )
    return (*text, *files)


def _web_address(text: str) -> str:
    return text if text.startswith(("https://", "http://")) else ""


def read_frame(body: bytes) -> AnyFrame:
    """Decode and check a frame. Raises BadPayload naming the field."""
    try:
        # The gateway's door lets no NUL through; the detour is for what came by another road.
        frame: AnyFrame = (
            _decoder.decode(body) if b"\\u0000" not in body else msgspec.convert(without_nul(msgspec.json.decode(body)), AnyFrame)
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadPayload(str(error)) from None
    return frame


def _claiming(visitor: Visitor, frame: ProfileFrame) -> Sender:
    mail = ((mail_of_visitor(visitor.identity, frame.email.lower()), Evidence.CLAIMED),) if frame.email else ()
    name = frame.name.strip()
    return Sender(identity=visitor.identity, evidence=Evidence.SIGNED, name=name, language=frame.language, aliases=mail)


def _channel_of(request: Request) -> str:
    """``/chat/v1/{channel}/…`` -> channel; empty for requests that came another way."""
    _, found, rest = urlsplit(request.url).path.partition("/chat/v1/")
    return rest.partition("/")[0] if found else ""
