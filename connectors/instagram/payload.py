"""The fields of Instagram's comments that we use.

Source: developers.facebook.com/docs/graph-api/webhooks/reference/instagram, …/documentation/instagram-platform/webhooks/examples
(updated 2025-11), read 2026-11.
"""

from typing import Final

import msgspec
from msgspec import Struct, field

from connectors.meta_messaging.payload import Id, Words


class Author(Struct, frozen=True, gc=False):
    id: Id = ""
    username: Words = None


class Post(Struct, frozen=True, gc=False):
    """What was commented on: a picture, a reel, an advertisement."""

    id: Id = ""
    ad_id: Id | None = None
    ad_title: Words = None


class Comment(Struct, frozen=True, gc=False):
    id: Id = ""
    from_: Author | None = field(name="from", default=None)
    media: Post | None = None
    parent_id: Id | None = None
    text: Words = None


comment_decoder: Final = msgspec.json.Decoder(Comment)
