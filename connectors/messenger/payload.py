"""The fields of a page's feed that we use: comments below its posts, and posts of visitors.

Source: developers.facebook.com/docs/graph-api/webhooks/reference/page/#feed, read 2026-11.
"""

from typing import Final

import msgspec
from msgspec import Struct, field

from connectors.meta_messaging.payload import Id, Time, Words


class Author(Struct, frozen=True, gc=False):
    """Left out where the app may not know who it is."""

    id: Id = ""
    name: Words = None


class Post(Struct, frozen=True, gc=False):
    permalink_url: Words = None


class FeedItem(Struct, frozen=True, gc=False):
    """Something that happened to a post; ``item`` and ``verb`` say what."""

    item: str = ""
    verb: str = ""
    from_: Author | None = field(name="from", default=None)
    comment_id: Id = ""
    post_id: Id = ""
    #: The comment that is answered; the post itself for a comment right below it.
    parent_id: Id = ""
    message: Words = None
    #: Seconds, and in some examples ISO 8601.
    created_time: Time = None
    photo: Words = None
    video: Words = None
    #: Of a post: the photo or film itself, or what is linked to; and the photos of one that has several.
    link: Words = None
    photos: tuple[str, ...] | None = None
    #: 0: a draft, or one that waits for its time.
    published: int | bool | None = None
    post: Post | None = None


feed_decoder: Final = msgspec.json.Decoder(FeedItem)
