"""Our messages as WhatsApp messages through Twilio, and its answers as outcomes. Pure.

Sources, read 2026-11: twilio.com/docs/whatsapp/guidance-whatsapp-media-messages, twilio.com/docs/whatsapp/key-concepts (windows),
twilio.com/docs/whatsapp/best-practices-and-faqs (80 messages a second), twilio.com/docs/content/using-variables-with-content-api.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from connectors.capabilities import Capabilities, Limits, MediaRule, Window
from connectors.compose import Parts, compose
from connectors.content import Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Outbound, Outcome, Reply, Upload
from connectors.errors import Inexpressible
from connectors.text import Unit
from connectors.twilio.account import PHONE
from connectors.twilio.codes import read_answer
from connectors.twilio.message import MEDIA, TEXT_LIMIT, make_call, upload_of, whole
from connectors.twilio.resources import variables
from connectors.whatsapp_twilio.inbound import USER_ID
from connectors.whatsapp_twilio.settings import Settings, sender

#: Of WhatsApp itself.
CAPTION_LIMIT: Final = 1024
#: Bytes.
IMAGE_BYTES: Final = 5_000_000
MEDIA_BYTES: Final = 16_000_000
STICKER_BYTES: Final = 500_000
#: Seconds after the shopper's last message.
SESSION: Final = 24 * 60 * 60

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_DOCUMENTS: Final = (
    "application/pdf",
    "application/msword",
    f"{_OFFICE}wordprocessingml.document",
    f"{_OFFICE}presentationml.presentation",
    f"{_OFFICE}spreadsheetml.sheet",
    "text/vcard",
    "text/x-vcard",
)
_SOUNDS: Final = ("audio/ogg", "audio/amr", "audio/3gpp", "audio/aac", "audio/mpeg")

CAPABILITIES: Final = Capabilities(
    limits=Limits(
        text=TEXT_LIMIT,
        caption=CAPTION_LIMIT,
        unit=Unit.UTF16,
        media=(
            MediaRule(kind=MediaKind.IMAGE, mimes=("image/jpeg", "image/png"), max_bytes=IMAGE_BYTES),
            MediaRule(kind=MediaKind.VIDEO, mimes=("video/mp4",), max_bytes=MEDIA_BYTES),
            MediaRule(kind=MediaKind.AUDIO, mimes=_SOUNDS, max_bytes=MEDIA_BYTES, caption=False),
            MediaRule(kind=MediaKind.VOICE, mimes=("audio/ogg",), max_bytes=MEDIA_BYTES, caption=False),
            MediaRule(kind=MediaKind.STICKER, mimes=("image/webp",), max_bytes=STICKER_BYTES, caption=False),
            # Twilio passes on neither name nor caption of a document.
            MediaRule(kind=MediaKind.FILE, mimes=_DOCUMENTS, max_bytes=MEDIA_BYTES, caption=False),
        ),
        upload_bytes=MEDIA_BYTES,
        download_bytes=MEDIA_BYTES,
        rate=80.0,
    ),
    # Buttons are templates at Twilio, made beforehand; a question goes as numbered text.
    sends=frozenset({"text", "media", "location", "template"}),
    receives=frozenset({"text", "media", "location", "chosen", "referral", "unsupported"}),
    windows=(
        Window(name="session", seconds=SESSION, sends=frozenset({"text", "media", "location", "template"})),
        Window(name="template", seconds=0, sends=frozenset({"template"})),
    ),
    delivered=True,
    read=True,
)

_CONTENT_SID: Final = re.compile(r"HX[0-9a-fA-F]{32}")


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    """The calls of one message, in order. Raises :class:`Inexpressible` before anything is sent."""
    if not (PHONE.fullmatch(message.to) or USER_ID.fullmatch(message.to)):
        raise Inexpressible(f"{message.to[:64]!r} is no WhatsApp address: it should be a phone like +39351000000, or an id like US.1349…")
    messages = compose(message.parts, CAPABILITIES).messages
    return [_call(message, settings, index, parts) for index, parts in enumerate(messages)]


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:  # noqa: ARG001  the contract's shape
    """What the answer means. Only a SID is a proof of success; a closed window shows in a status only (63016)."""
    return read_answer(call, reply)


def is_content_sid(name: str) -> bool:
    """Is a template named by its SID, and needs no look-up?"""
    return bool(_CONTENT_SID.fullmatch(name))


def _call(message: Outbound, settings: Settings, index: int, parts: Parts) -> Call:
    call = make_call(message, settings, index, f"whatsapp:{message.to}", sender(settings))
    form, where = dict(call.form or {}), f"part {index + 1}"
    uploads: tuple[Upload, ...] = ()
    for part in parts:
        match part:
            case Text():
                form["Body"] = whole(part.text)
            case Media():
                uploads = (upload_of(part, MEDIA, where),)
            case Location():
                label = whole(part.name).replace("|", " ")
                form["PersistentAction"] = f"geo:{part.latitude:.6f},{part.longitude:.6f}" + (f"|{label}" if label else "")
                form["Body"] = whole(part.address or part.name) or f"{part.latitude:.5f}, {part.longitude:.5f}"
            case Template():
                form |= _template(part, where)
    return replace(call, form=form, uploads=uploads)


def _template(template: Template, where: str) -> dict[str, str]:
    if template.header or template.header_media is not None or any(template.buttons):
        raise Inexpressible(f"{where}: at Twilio the placeholders of header and buttons are numbered with those of its text")
    values = [whole(value) for value in template.parameters]
    form = {"ContentSid": template.name}
    if not is_content_sid(template.name):
        # The client looks it up; it needs to know which of several languages.
        form["ContentLanguage"] = template.language
    if values:
        form["ContentVariables"] = msgspec.json.encode(variables(template.names, values)).decode()
    return form
