"""A page's webhooks as events: private messages, and comments below its posts. Pure.

A comment belongs to the same person as their private messages, and to the same history: its message id is ``comment:<id>``.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Raw

from connectors.content import AnyPart, Media, MediaKind, Referral, Text, Unsupported
from connectors.contract import Request
from connectors.event import AnyEvent, MessageDeleted, MessageEdited, MessageReceived
from connectors.messenger.payload import FeedItem, feed_decoder
from connectors.messenger.settings import Settings
from connectors.meta import webhook
from connectors.meta.webhook import decode_json, unix_time
from connectors.meta_messaging.fragment import COMMENT, Fragment
from connectors.meta_messaging.inbound import Product, read_webhook
from connectors.meta_messaging.payload import Time


def verify(request: Request, settings: Settings) -> bool:
    """Is the body signed with the app's secret, or with the one before it?"""
    return webhook.verify(request, settings)


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The events of one webhook, at least one. Raises ``BadPayload`` on what is no webhook about a page, and nothing else."""
    return read_webhook(request, settings, PRODUCT)


def _comment(here: Fragment, _: str, value: Raw) -> tuple[AnyEvent, ...]:
    item = decode_json(value, feed_decoder)
    if item.item != "comment" or not item.comment_id:
        return here.ignored(f"feed: {item.item[:32] or 'something'}, {item.verb[:32] or 'no verb'}")
    comment, author = str(item.comment_id), item.from_
    message_id, person = f"{COMMENT}{comment}", str(author.id) if author is not None else ""
    if item.verb == "remove":
        return (MessageDeleted(**here.plain("comment", comment, "remove"), message_id=message_id),)
    if person == here.account:
        # Also what we wrote ourselves comes back here; it must never look like a shopper's.
        return here.ignored("our own comment")
    name = author.name or "" if author is not None else ""
    # A commenter whose id is kept from us is reached by the comment itself.
    sender = person or message_id
    match item.verb:
        case "add":
            parent = str(item.parent_id)
            common = here.personal(sender, "comment", comment, "add", name=name) | {"at": _time(item.created_time) or here.at}
            quoted = f"{COMMENT}{parent}" if parent and parent != str(item.post_id) else ""
            parts = (_post(item), *_words(item))
            return (MessageReceived(**common, message_id=message_id, parts=parts, reply_to=quoted, public=True),)
        case "edit" | "edited":
            # An edit has no number of its own: what tells two apart is when Meta told us, and the words.
            common = here.personal(sender, "comment", comment, "edited", here.when, _digest(item.message or ""), name=name)
            return (MessageEdited(**common, message_id=message_id, parts=(_post(item), *_words(item))),)
        case _:
            return here.ignored(f"feed: comment, {item.verb[:32] or 'no verb'}")


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


PRODUCT: Final = Product(scheme="messenger", object="page", comment_fields=frozenset({"feed"}), read_comment=_comment)
