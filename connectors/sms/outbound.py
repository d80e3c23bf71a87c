"""Our messages as SMS and MMS, and Twilio's answers as outcomes. Pure.

Sources, read 2026-11: twilio.com/docs/messaging/api/message-resource, twilio.com/docs/messaging/guides/accepted-mime-types.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from connectors.capabilities import Capabilities, Limits, MediaRule
from connectors.compose import Parts, compose, rule_of
from connectors.content import Media, MediaKind, Text
from connectors.contract import Call, Outbound, Outcome, Reply, Upload
from connectors.errors import Inexpressible
from connectors.sms.settings import Settings
from connectors.text import Unit
from connectors.twilio.account import PHONE
from connectors.twilio.codes import read_answer
from connectors.twilio.message import LINK, MEDIA, MMS_BYTES, TEXT_LIMIT, make_call, upload_of, whole
from connectors.twilio.segments import count

#: Units that a link behind the text may take.
LINK_LENGTH: Final = 400
#: Bytes of a file of any other kind than these four.
_OTHER_BYTES: Final = 500_000

_IMAGES: Final = ("image/jpeg", "image/png", "image/gif")
# fmt: off
_OTHERS: Final = {
    MediaKind.IMAGE: ("image/bmp", "image/tiff"),
    MediaKind.AUDIO: ("audio/basic", "audio/l24", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/vnd.wave", "audio/3gpp", "audio/3gpp2",
                      "audio/ac3", "audio/webm", "audio/amr-nb", "audio/amr"),
    MediaKind.VIDEO: ("video/mpeg", "video/mp4", "video/quicktime", "video/webm", "video/3gpp", "video/3gpp2", "video/h261", "video/h263",
                      "video/h264"),
    MediaKind.FILE: ("text/vcard", "text/x-vcard", "text/csv", "text/rtf", "text/richtext", "text/calendar", "text/directory",
                     "application/pdf", "application/vcard"),
}
# fmt: on

_BY_MMS: Final = (
    MediaRule(kind=MediaKind.IMAGE, mimes=_IMAGES, max_bytes=MMS_BYTES),
    *(MediaRule(kind=kind, mimes=mimes, max_bytes=_OTHER_BYTES) for kind, mimes in _OTHERS.items()),
)
#: As an address anything goes.
_AS_LINKS: Final = tuple(MediaRule(kind=kind, max_bytes=MMS_BYTES, link=True) for kind in MediaKind)

#: With MMS, and with links for what MMS does not take.
CAPABILITIES: Final = Capabilities(
    limits=Limits(
        text=TEXT_LIMIT,
        caption=TEXT_LIMIT - LINK_LENGTH,
        unit=Unit.UTF16,
        media=(*_BY_MMS, *_AS_LINKS),
        upload_bytes=MMS_BYTES,
        download_bytes=MMS_BYTES,
    ),
    sends=frozenset({"text", "media"}),
    receives=frozenset({"text", "media", "location", "chosen", "unsupported"}),
    delivered=True,
)
_MMS_ALONE: Final = replace(CAPABILITIES, limits=replace(CAPABILITIES.limits, media=_BY_MMS))
_LINKS_ALONE: Final = replace(CAPABILITIES, limits=replace(CAPABILITIES.limits, media=_AS_LINKS))
_NO_FILES: Final = replace(CAPABILITIES, sends=CAPABILITIES.sends - {"media"})


def capabilities_for(settings: Settings) -> Capabilities:
    """Numbers outside the United States, Canada and Australia have no MMS; a file goes as a link there, or not at all."""
    if settings.mms:
        return CAPABILITIES if settings.media_links else _MMS_ALONE
    return _LINKS_ALONE if settings.media_links else _NO_FILES


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    """The calls of one message, in order. Raises :class:`Inexpressible` before anything is sent."""
    if not PHONE.fullmatch(message.to):
        raise Inexpressible(f"{message.to[:64]!r} is no phone number: a short code or a sender's name cannot be answered")
    if not (settings.mms or settings.media_links) and any(isinstance(part, Media) for part in message.parts):
        raise Inexpressible("this channel sends no files: an operator can set mms, if the number has it, or media_links")
    messages = compose(message.parts, capabilities_for(settings)).messages
    return [_call(message, settings, index, parts) for index, parts in enumerate(messages)]


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:  # noqa: ARG001  the contract's shape
    """What the answer means. Only a SID is a proof of success."""
    return read_answer(call, reply)


def _call(message: Outbound, settings: Settings, index: int, parts: Parts) -> Call:
    media = next((part for part in parts if isinstance(part, Media)), None)
    words = whole("".join(part.text for part in parts if isinstance(part, Text)))
    call = make_call(message, settings, index, message.to, settings.number)
    form = dict(call.form or {})
    uploads: tuple[Upload, ...] = ()
    billed = count(words, smart_encoded=settings.smart_encoding)
    if media is not None and not _as_link(media, settings):
        uploads, billed = (upload_of(media, MEDIA, f"part {index + 1}"),), 1
    elif media is not None:
        words = words or whole(media.name) or media.kind.value
        uploads = (upload_of(media, LINK, f"part {index + 1}"),)
        # The address is not known yet; as long as it may become, it is no surprise on the bill.
        billed = count(words + " " * 120, smart_encoded=settings.smart_encoding)
    if words:
        form["Body"] = words
    if settings.smart_encoding:
        form["SmartEncoded"] = "true"
    return replace(call, form=form, uploads=uploads, segments=billed)


def _as_link(media: Media, settings: Settings) -> bool:
    rule = rule_of(capabilities_for(settings).limits.media, media)
    return rule is not None and rule.link
