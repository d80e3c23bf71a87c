"""What a message says, as parts of ours. Pure.

Files are references: Meta's links are public, need no credentials and expire, so the gateway copies them at once.
"""

from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit

from connectors.content import AnyPart, Chosen, Location, Media, MediaKind, Referral, Text, Unsupported
from connectors.meta_messaging.payload import Attachment, Content, Message, Source

#: Attachments that are a file and nothing else. What they are is known from their bytes later, so no media type is claimed.
_FILES: Final = MappingProxyType(
    {
        "image": MediaKind.IMAGE,
        "video": MediaKind.VIDEO,
        "audio": MediaKind.AUDIO,
        "file": MediaKind.FILE,
        "sticker": MediaKind.STICKER,
        "reel": MediaKind.VIDEO,
        "ig_reel": MediaKind.VIDEO,
    }
)
#: Something of the shop's or of others that the person passes on, and what to call it.
_SHARES: Final = MappingProxyType({"share": "post", "post": "post", "ig_post": "post", "story_mention": "story", "ig_story": "story"})
#: Where Meta keeps files.
_FILE_HOSTS: Final = ("fbcdn.net", "fbsbx.com", "cdninstagram.com")
#: Meta's words for what led somebody here, and ours.
_SOURCES: Final = MappingProxyType({"ads": "ad", "shortlink": "link", "igme-source-link": "link", "shops_product": "product"})


def parts_of(message: Message) -> tuple[AnyPart, ...]:
    """What ``message`` says, files before their words; never empty."""
    parts: list[AnyPart] = []
    if message.referral is not None:
        parts.append(referral_of(message.referral))
    if message.reply_to is not None and (story := message.reply_to.story) is not None:
        parts.append(Referral(source="story", id=_text(story.id), url=story.url or ""))
    words = message.text or ""
    for attachment in _without_twins(message.attachments or ()):
        parts.extend(_attachment(attachment, words))
    if message.quick_reply is not None and message.quick_reply.payload:
        parts.append(Chosen(id=message.quick_reply.payload, label=words))
    elif words:
        parts.append(Text(text=words))
    # Instagram says of what its API cannot show only that there is something.
    return tuple(parts) or (Unsupported(kind="message"),)


def referral_of(source: Source) -> Referral:
    """What led the person here, with the advertisement's own words where Meta has them."""
    ad, word = source.ads_context_data, (source.source or source.type or "link").lower()
    if source.product is not None:
        return Referral(source="product", id=_text(source.product.id))
    return Referral(
        source="ad" if source.ad_id is not None else _SOURCES.get(word, word)[:64],
        id=_text(source.ad_id) or source.ref or "",
        url=source.referer_uri or (ad.photo_url or ad.video_url or "" if ad is not None else ""),
        headline=ad.ad_title or "" if ad is not None else "",
    )


def _without_twins(attachments: tuple[Attachment, ...]) -> list[Attachment]:
    """While Meta moves to stickers of their own type, one comes twice: as an image and as a sticker."""
    stickers = {_sticker(one) for one in attachments if one.type == "sticker"} - {""}
    return [one for one in attachments if one.type != "image" or _sticker(one) not in stickers]


def _sticker(attachment: Attachment) -> str:
    return _text(attachment.payload.sticker_id) if attachment.payload is not None else ""


def _attachment(attachment: Attachment, words: str) -> list[AnyPart]:
    kind, content = attachment.type or "attachment", attachment.payload or Content()
    url, title = content.url or attachment.url or "", content.title or attachment.title or ""
    if kind == "like_heart":
        return [Text(text="❤️")]
    if kind == "location" and content.coordinates is not None:
        return [Location(latitude=content.coordinates.lat, longitude=content.coordinates.long, name=title)]
    if kind == "template" and content.product is not None and content.product.elements:
        return [
            Referral(source="product", id=_text(item.retailer_id or item.id), headline=item.title or "", body=item.subtitle or "")
            for item in content.product.elements
        ]
    if kind in _SHARES:
        return _share(_SHARES[kind], _text(content.id or content.ig_post_media_id), url, title)
    if kind in _FILES and url:
        shown = MediaKind.STICKER if content.sticker_id is not None else _FILES[kind]
        return [Media(kind=shown, ref=url, name=_name(url) if kind == "file" else title)]
    if kind in {"fallback", "template"} and (url or title):
        # A link that the person passed on; mostly they typed it, too.
        lines = [line for line in (title, url) if line and line not in words]
        return [Text(text="\n".join(lines))] if lines else []
    return [Unsupported(kind=kind[:64])]


def _share(source: str, post: str, url: str, title: str) -> list[AnyPart]:
    shared: list[AnyPart] = [Referral(source=source, id=post, url=url, headline=title)]
    if _is_file(url):
        # The picture itself, which will be gone in a day. It may be a film, so it claims to be neither.
        shared.append(Media(kind=MediaKind.FILE, ref=url, name=title))
    return shared


def _is_file(url: str) -> bool:
    """Does Meta keep a file there, and not a page to look at?"""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and any(f".{parts.hostname or ''}".endswith(f".{host}") for host in _FILE_HOSTS)
    except ValueError:
        return False


def _name(url: str) -> str:
    """A file's own name is the last part of its address."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])[:255].replace("\0", "")
    except ValueError:
        return ""


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value)
