"""From a Telegram message to the parts of ours."""

import re
from typing import Final

from connectors.content import AnyPart, ContactCard, Location, Media, MediaKind, Text, Unsupported
from connectors.telegram.payload import ENVELOPE, SERVICE, File, Message, PhotoSize, SharedContact, Sticker

#: Largest file that a bot may fetch, in bytes (core.telegram.org/bots/api#getfile, read 2026-11).
DOWNLOAD_BYTES: Final = 20_000_000
TOO_LARGE: Final = "The file is larger than 20 MB; Telegram does not let bots fetch it. Ask for a link, or for a smaller file."

#: No country begins with 0: what does is a number that only its own country understands.
_PHONE: Final = re.compile(r"\+?([1-9][0-9]{6,14})")


def parts_of(message: Message) -> tuple[AnyPart, ...]:
    """What ``message`` says, files before their caption; empty if it holds nothing that we know."""
    if message.text:
        # A message of text has nothing beside it.
        return (Text(text=message.text),)
    parts: list[AnyPart] = [*_media(message), *_cards(message)]
    if message.caption:
        parts.append(Text(text=message.caption))
    return tuple(parts)


def unknown_content(keys: frozenset[str]) -> tuple[str, str]:
    """For a message of which we know no content, by the names of its fields: (kind to show, why it is ignored); one is empty."""
    if service := sorted(keys & SERVICE):
        return "", f"service message {service[0]}"
    content = sorted(keys - ENVELOPE)
    return (content[0][:64], "") if content else ("", "a message without content")


def own_phone(message: Message) -> str:
    """The sender's own phone as ``+39…``, if this message proves it; else empty.

    Telegram fills ``user_id`` in; it proves the phone only if it is the sender's own, and a forwarded card proves nothing.
    """
    card = message.contact
    if card is None or message.from_ is None or card.user_id != message.from_.id or message.forward_origin is not None:
        return ""
    match = _PHONE.fullmatch(re.sub(r"[ ()-]", "", card.phone_number))
    return f"+{match[1]}" if match else ""


def _media(message: Message) -> list[Media]:
    if message.photo:
        return [_photo(message.photo)]
    if message.sticker is not None:
        return [_sticker(message.sticker)]
    # Telegram repeats an animation as a document, for clients that know none.
    if message.animation is not None:
        return [_file(MediaKind.VIDEO, message.animation, "video/mp4")]
    found = (
        (MediaKind.VIDEO, message.video, "video/mp4"),
        (MediaKind.VIDEO, message.video_note, "video/mp4"),
        (MediaKind.VOICE, message.voice, "audio/ogg"),
        (MediaKind.AUDIO, message.audio, "audio/mpeg"),
        (MediaKind.FILE, message.document, ""),
    )
    return [_file(kind, file, mime) for kind, file, mime in found if file is not None]


def _cards(message: Message) -> list[AnyPart]:
    cards: list[AnyPart] = []
    # A venue repeats its point as a location.
    if message.venue is not None:
        point, venue = message.venue.location, message.venue
        cards.append(Location(latitude=point.latitude, longitude=point.longitude, name=venue.title, address=venue.address))
    elif message.location is not None:
        cards.append(Location(latitude=message.location.latitude, longitude=message.location.longitude))
    if message.contact is not None:
        cards.append(_contact(message.contact, own=bool(own_phone(message))))
    return cards


def _contact(card: SharedContact, *, own: bool) -> ContactCard:
    return ContactCard(name=f"{card.first_name} {card.last_name}".strip(), phones=(card.phone_number,), own=own)


def _photo(sizes: tuple[PhotoSize, ...]) -> Media:
    largest = max(sizes, key=lambda size: (size.width * size.height, size.file_size))
    return _of(MediaKind.IMAGE, largest.file_id, "image/jpeg", "", largest.file_size)


def _file(kind: MediaKind, file: File, default_mime: str) -> Media:
    return _of(kind, file.file_id, file.mime_type or default_mime, file.file_name, file.file_size)


def _sticker(sticker: Sticker) -> Media:
    # A sticker has no file name; its emoji is what a preview can show.
    return _of(MediaKind.STICKER, sticker.file_id, _sticker_mime(sticker), sticker.emoji, sticker.file_size)


def _sticker_mime(sticker: Sticker) -> str:
    if sticker.is_animated:
        return "application/x-tgsticker"
    return "video/webm" if sticker.is_video else "image/webp"


def _of(kind: MediaKind, file_id: str, mime: str, name: str, size: int) -> Media:
    known = max(size, 0)
    return Media(kind=kind, ref=file_id, mime=mime, name=name, size=known, problem=TOO_LARGE if known > DOWNLOAD_BYTES else "")


def unsupported(kind: str) -> tuple[AnyPart, ...]:
    """The one part that stands for something we cannot show."""
    return (Unsupported(kind=kind),)
