"""What WhatsApp can carry.

Sources, read 2026-11: developers.facebook.com/documentation/business-messaging/whatsapp/… messages (texts and captions, buttons, lists),
…/business-phone-numbers/media (files), …/throughput and …/about-the-platform (rates, pairs), …/messages/send-messages (the 24 hours).
"""

from typing import Final

from connectors.capabilities import Capabilities, Limits, MediaRule, Window
from connectors.content import MediaKind
from connectors.text import Unit

#: UTF-16 units. Meta says "characters"; this is the strictest reading.
TEXT_LIMIT: Final = 4096
CAPTION_LIMIT: Final = 1024
BODY_LIMIT: Final = 1024
#: Buttons of a question, and rows of a list.
BUTTONS: Final = 3
BUTTON_TITLE: Final = 20
ROWS: Final = 10
ROW_TITLE: Final = 24
ROW_DESCRIPTION: Final = 72
LIST_BUTTON: Final = 20
#: Of the button that opens a form. Not confirmed on a page of Meta's: several other documents say 20, without emoji (looked up 2026-11).
FORM_BUTTON: Final = 30
#: Characters of the ids of buttons and rows.
BUTTON_ID: Final = 256
ROW_ID: Final = 200
#: Bytes. A megabyte is 2^20 here: Meta's media page counts so.
_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
MEDIA_BYTES: Final = 100 * _MIB
_IMAGES: Final = ("image/jpeg", "image/png")
_VIDEOS: Final = ("video/mp4", "video/3gpp")
_SOUNDS: Final = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")
#: Everything that can be uploaded goes as a document; nothing else can be uploaded.
_DOCUMENTS: Final = (
    "text/plain",
    "application/pdf",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    *_IMAGES,
    *_VIDEOS,
    *_SOUNDS,
    "image/webp",
)

#: A number may send 80 messages a second by default (20 where the phone app is used beside us).
RATE: Final = 80.0
#: To one person one message in 6 seconds, of which up to 45 may be borrowed from the future at once; we borrow less, because the debt
#: must be waited off.
PAIR_RATE: Final = 1 / 6
PAIR_BURST: Final = 20.0

CAPABILITIES: Final = Capabilities(
    limits=Limits(
        text=TEXT_LIMIT,
        caption=CAPTION_LIMIT,
        unit=Unit.UTF16,
        choices=BUTTONS,
        choice_label=BUTTON_TITLE,
        list_choices=ROWS,
        list_label=ROW_TITLE,
        list_description=ROW_DESCRIPTION,
        list_button=LIST_BUTTON,
        choices_text=BODY_LIMIT,
        choices_media=(
            MediaRule(kind=MediaKind.IMAGE, mimes=_IMAGES, max_bytes=5 * _MIB),
            MediaRule(kind=MediaKind.VIDEO, mimes=_VIDEOS, max_bytes=16 * _MIB),
            MediaRule(kind=MediaKind.FILE, mimes=_DOCUMENTS, max_bytes=MEDIA_BYTES),
        ),
        form_label=FORM_BUTTON,
        media=(
            MediaRule(kind=MediaKind.IMAGE, mimes=_IMAGES, max_bytes=5 * _MIB),
            MediaRule(kind=MediaKind.VIDEO, mimes=_VIDEOS, max_bytes=16 * _MIB),
            MediaRule(kind=MediaKind.VOICE, mimes=("audio/ogg",), max_bytes=16 * _MIB, caption=False),
            MediaRule(kind=MediaKind.AUDIO, mimes=_SOUNDS, max_bytes=16 * _MIB, caption=False),
            MediaRule(kind=MediaKind.STICKER, mimes=("image/webp",), max_bytes=500 * _KIB, caption=False),
            MediaRule(kind=MediaKind.FILE, mimes=_DOCUMENTS, max_bytes=MEDIA_BYTES),
        ),
        upload_bytes=MEDIA_BYTES,
        download_bytes=MEDIA_BYTES,
        rate=RATE,
        bucket_rate=PAIR_RATE,
        bucket_burst=PAIR_BURST,
    ),
    sends=frozenset({"text", "media", "location", "contact", "choices", "template"}),
    receives=frozenset({"text", "media", "location", "contact", "chosen", "order", "referral", "unsupported"}),
    windows=(
        # For a day after their last message everything; later only what Meta has approved beforehand.
        Window(name="session", seconds=86_400, sends=frozenset({"text", "media", "location", "contact", "choices", "template"})),
        Window(name="template", seconds=0, sends=frozenset({"template"})),
    ),
    edits=True,
    deletions=True,
    reactions=True,
    delivered=True,
    read=True,
    redelivers=True,
)
