"""An Instagram account's webhooks as events: private messages, and comments below its posts. Pure.

A comment belongs to the same person as their private messages, and to the same history: its message id is ``comment:<id>``.
Instagram tells of new comments only; that one was changed or removed it keeps for itself.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Raw

from connectors.content import Referral, Text, Unsupported
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import AnyEvent, MessageReceived
from connectors.instagram.payload import Post, comment_decoder
from connectors.instagram.settings import Settings
from connectors.meta import webhook
from connectors.meta.webhook import decode_json
from connectors.meta_messaging.fragment import COMMENT, Fragment
from connectors.meta_messaging.inbound import Product, read_webhook


def verify(request: Request, settings: Settings) -> bool:
    """Is the body signed with the app's secret, or with the one before it?"""
    return webhook.verify(request, settings)


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The events of one webhook, at least one. Raises ``BadPayload`` on what is no webhook about Instagram, and nothing else."""
    return read_webhook(request, settings, PRODUCT)


def _comment(here: Fragment, field: str, value: Raw) -> tuple[AnyEvent, ...]:
    found = decode_json(value, comment_decoder)
    if not found.id:
        raise BadPayload("a comment without id")
    comment, author = str(found.id), found.from_
    message_id, person = f"{COMMENT}{comment}", str(author.id) if author is not None else ""
    if person == here.account:
        # Also what we wrote ourselves comes back here; it must never look like a shopper's.
        return here.ignored("our own comment")
    name = author.username or "" if author is not None else ""
    # The same comment may be told twice where a post is an advertisement, too.
    common = here.personal(person or message_id, "comment", comment, "add", name=name)
    parts = (_post(found.media or Post(), field), Text(text=found.text) if found.text else Unsupported(kind="comment"))
    quoted = f"{COMMENT}{found.parent_id}" if found.parent_id else ""
    return (MessageReceived(**common, message_id=message_id, parts=parts, reply_to=quoted, public=True),)


def _post(media: Post, field: str) -> Referral:
    source = "live" if field == "live_comments" else "ad" if media.ad_id is not None else "post"
    return Referral(source=source, id=str(media.id), headline=media.ad_title or "")


PRODUCT: Final = Product(
    scheme="instagram", object="instagram", comment_fields=frozenset({"comments", "live_comments"}), read_comment=_comment
)
