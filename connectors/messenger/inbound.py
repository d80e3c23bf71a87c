"""A page's webhooks as events: private messages, comments below its posts, and what visitors post on it. Pure.

A comment belongs to the same person as their private messages, and to the same history: its message id is ``comment:<id>``. So does a
visitor's post (``comment:post:<id>``): it is answered by a comment below it, or in private.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from msgspec import Raw

from connectors.content import AnyPart, Media, MediaKind, Referral, Text, Unsupported
from connectors.contract import Request
from connectors.event import AnyEvent, MessageDeleted, MessageEdited, MessageReceived
from connectors.messenger.payload import Author, FeedItem, feed_decoder
from connectors.messenger.settings import Settings
from connectors.meta import webhook
from connectors.meta.webhook import decode_json, unix_time
from connectors.meta_messaging.fragment import COMMENT, POST, Fragment
from connectors.meta_messaging.inbound import Product, read_webhook
from connectors.meta_messaging.payload import Time

#: Items of the feed that are posts; what visitors write comes as these, too.
_POSTS: Final = frozenset({"post", "status", "photo", "video", "share", "link"})


def verify(request: Request, settings: Settings) -> bool:
    """Is the body signed with the app's secret, or with the one before it?"""
    return webhook.verify(request, settings)


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The events of one webhook, at least one. Raises ``BadPayload`` on what is no webhook about a page, and nothing else."""
    return read_webhook(request, settings, PRODUCT)


def _feed(here: Fragment, _: str, value: Raw) -> tuple[AnyEvent, ...]:
    item = decode_json(value, feed_decoder)
    if item.item == "comment" and item.comment_id:
        return _comment(here, item)
    if item.item in _POSTS and item.post_id and item.from_ is not None and item.published != 0:
        return _visitors_post(here, item, item.from_)
    return here.ignored(f"feed: {item.item[:32] or 'something'}, {item.verb[:32] or 'no verb'}")


def _comment(here: Fragment, item: FeedItem) -> tuple[AnyEvent, ...]:
    comment, author = str(item.comment_id), item.from_
    message_id, person = f"{COMMENT}{comment}", str(author.id) if author is not None else ""
    parent = str(item.parent_id)
    quoted = f"{COMMENT}{parent}" if parent and parent != str(item.post_id) else ""
    name = author.name or "" if author is not None else ""
    # A commenter whose id is kept from us is reached by the comment itself.
    who = _Writer(id=person, name=name, address=person or message_id)
    return _written(here, item, who, _Place("comment", comment, message_id, quoted, (_post(item), *_words(item))))


def _visitors_post(here: Fragment, item: FeedItem, author: Author) -> tuple[AnyEvent, ...]:
    """What somebody wrote on the page; of posts of nobody known most are the page's own, and say nothing to a shop."""
    post, person = str(item.post_id), str(author.id)
    if not person:
        return here.ignored("a post that does not say whose it is")
    if person == here.account:
        return here.ignored("our own post")
    who = _Writer(id=person, name=author.name or "", address=person)
    return _written(here, item, who, _Place("post", post, f"{POST}{post}", "", (_post(item), *_shown(item))))


@dataclass(frozen=True, slots=True)
class _Writer:
    #: Empty if it is kept from us.
    id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Something that everybody can read: a comment or a post."""

    kind: str
    id: str
    message_id: str
    quoted: str
    parts: tuple[AnyPart, ...]


def _written(here: Fragment, item: FeedItem, who: _Writer, place: _Place) -> tuple[AnyEvent, ...]:
    if item.verb == "remove":
        return (MessageDeleted(**here.plain(place.kind, place.id, "remove"), message_id=place.message_id),)
    if who.id == here.account:
        # Also what we wrote ourselves comes back here; it must never look like a shopper's.
        return here.ignored("our own comment")
    match item.verb:
        case "add":
            common = here.personal(who.address, place.kind, place.id, "add", name=who.name) | {"at": _time(item.created_time) or here.at}
            return (MessageReceived(**common, message_id=place.message_id, parts=place.parts, reply_to=place.quoted, public=True),)
        case "edit" | "edited":
            # An edit has no number of its own: what tells two apart is when Meta told us, and the words.
            common = here.personal(who.address, place.kind, place.id, "edited", here.when, _digest(item.message or ""), name=who.name)
            return (MessageEdited(**common, message_id=place.message_id, parts=place.parts),)
        case _:
            return here.ignored(f"feed: {place.kind}, {item.verb[:32] or 'no verb'}")


def _post(item: FeedItem) -> Referral:
    return Referral(source="post", id=str(item.post_id), url=item.post.permalink_url or "" if item.post is not None else "")


def _words(item: FeedItem) -> list[AnyPart]:
    parts: list[AnyPart] = []
    if item.photo:
        parts.append(Media(kind=MediaKind.IMAGE, ref=item.photo))
    if item.video:
        parts.append(Media(kind=MediaKind.VIDEO, ref=item.video))
    if item.message:
        parts.append(Text(text=item.message))
    return parts or [Unsupported(kind="comment")]


def _shown(item: FeedItem) -> list[AnyPart]:
    """What a post says: its photos or film, its words, and what it links to."""
    parts: list[AnyPart] = [Media(kind=MediaKind.IMAGE, ref=photo) for photo in item.photos or () if photo]
    link = item.link or ""
    if item.item in {"photo", "video"} and link:
        parts = parts or [Media(kind=MediaKind.IMAGE if item.item == "photo" else MediaKind.VIDEO, ref=link)]
        link = ""
    words = item.message or ""
    if link and link not in words:
        # A link that the person passes on; mostly they typed it, too.
        words = f"{words}\n{link}" if words else link
    if words:
        parts.append(Text(text=words))
    return parts or [Unsupported(kind="post")]


def _digest(words: str) -> str:
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _time(value: Time) -> datetime | None:
    if isinstance(value, str) and not value.strip().isdigit():
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return unix_time(value)


PRODUCT: Final = Product(scheme="messenger", object="page", comment_fields=frozenset({"feed"}), read_comment=_feed)
