"""Which of Telegram's methods carries a file; it re-encodes or refuses what does not fit the method."""

from typing import Final

from connectors.content import Media, MediaKind
from connectors.contract import Upload
from connectors.errors import Inexpressible

#: Bytes (core.telegram.org/bots/api#sending-files, read 2026-11).
UPLOAD_BYTES: Final = 50_000_000
PHOTO_BYTES: Final = 10_000_000

#: Kind -> method, field, and the media types that it takes; everything else goes as a document, which arrives unchanged.
_METHODS: Final[dict[MediaKind, tuple[str, str, frozenset[str]]]] = {
    MediaKind.IMAGE: ("sendPhoto", "photo", frozenset({"image/jpeg", "image/png", "image/webp"})),
    MediaKind.VIDEO: ("sendVideo", "video", frozenset({"video/mp4"})),
    MediaKind.AUDIO: ("sendAudio", "audio", frozenset({"audio/mpeg", "audio/mp4", "audio/x-m4a", "audio/m4a"})),
    MediaKind.VOICE: ("sendVoice", "voice", frozenset({"audio/ogg", "audio/mpeg", "audio/mp4", "audio/x-m4a", "audio/m4a"})),
    MediaKind.STICKER: ("sendSticker", "sticker", frozenset({"image/webp", "application/x-tgsticker", "video/webm"})),
}
_DOCUMENT: Final = ("sendDocument", "document")


def upload_of(media: Media, index: int) -> tuple[str, Upload]:
    """The method for ``media``, and the file that goes with it. ``index`` is its place in the message, for errors."""
    where = f"part {index + 1}"
    if not media.ref:
        raise Inexpressible(f"{where}: the file {media.name[:40]!r} is not stored with us")
    if media.size > UPLOAD_BYTES:
        raise Inexpressible(f"{where}: the file has {media.size} bytes; Telegram takes at most {UPLOAD_BYTES}")
    mime = media.mime.partition(";")[0].strip().lower()
    method, field, accepted = _METHODS.get(media.kind, (*_DOCUMENT, frozenset()))
    if mime not in accepted or (media.kind is MediaKind.IMAGE and media.size > PHOTO_BYTES):
        method, field = _DOCUMENT
    return method, Upload(field=field, name=media.name or field, mime=mime or "application/octet-stream", stored=media.ref)
