"""Which of Telegram's methods carries a file; it re-encodes or refuses what does not fit the method."""

from typing import Final

from connectors.capabilities import Album, MediaRule
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

#: Files of one album (core.telegram.org/bots/api#sendmediagroup, read 2026-11).
ALBUM_FILES: Final = 10


def _rules(*kinds: MediaKind) -> tuple[MediaRule, ...]:
    most = {MediaKind.IMAGE: PHOTO_BYTES}
    return tuple(MediaRule(kind=kind, mimes=tuple(sorted(_METHODS[kind][2])), max_bytes=most.get(kind, 0)) for kind in kinds)


#: Photos and videos mix; "documents and audio files can be only grouped in an album with messages of the same type". What goes as
#: a document is what none of the others takes. A request as a whole is refused (413) from 50 MiB on, whatever it is made of.
ALBUMS: Final = (
    Album(files=_rules(MediaKind.IMAGE, MediaKind.VIDEO), most=ALBUM_FILES, max_bytes=UPLOAD_BYTES),
    Album(files=_rules(MediaKind.AUDIO), most=ALBUM_FILES, max_bytes=UPLOAD_BYTES),
    Album(files=_rules(MediaKind.VOICE, MediaKind.STICKER), most=1),
    Album(files=tuple(MediaRule(kind=kind) for kind in MediaKind), most=ALBUM_FILES, max_bytes=UPLOAD_BYTES),
)


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
