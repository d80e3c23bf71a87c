"""Just the fields of Messenger's and Instagram's webhooks that we use; all others are skipped without looking at them.

What Meta may leave out has a default; what it may send as null, too. Ids come as strings, and in some examples as numbers.

Sources: developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events (updated 2026-03),
…/business-messaging/instagram-messaging/webhooks, …/docs/graph-api/webhooks/reference/{page,instagram}; read 2026-11.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct, field

#: Page-scoped, Instagram-scoped, of a post, a comment, an app.
Id = Annotated[str, Meta(max_length=256)] | Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: Of a message; Instagram's have more than a hundred characters.
Mid = Annotated[str, Meta(max_length=400)]
#: Milliseconds, and sometimes seconds; as a number, and sometimes as a string.
Time = int | float | str | None
Words = str | None


class Entry(Struct, frozen=True, gc=False):
    """What happened to one page or account. Some of Instagram's webhooks have a change's fields directly in the entry."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    time: Time = None
    messaging: tuple[Raw, ...] = ()
    standby: tuple[Raw, ...] = ()
    changes: tuple[Raw, ...] = ()
    field: str = ""
    value: Raw = Raw(b"")


class Change(Struct, frozen=True, gc=False):
    """Something other than a message."""

    field: str
    value: Raw


class Party(Struct, frozen=True, gc=False):
    """Who sent or got it: a page-scoped id, or the reference of somebody who ticked a checkbox on a web page."""

    id: Id | None = None
    user_ref: Id | None = None


class Coordinates(Struct, frozen=True, gc=False):
    lat: Annotated[float, Meta(ge=-90, le=90)]
    long: Annotated[float, Meta(ge=-180, le=180)]


class ProductItem(Struct, frozen=True, gc=False):
    id: Id = ""
    retailer_id: Id = ""
    title: Words = None
    subtitle: Words = None


class ProductList(Struct, frozen=True, gc=False):
    elements: tuple[ProductItem, ...] = ()


class Content(Struct, frozen=True, gc=False):
    """``payload`` of an attachment."""

    url: Words = None
    title: Words = None
    sticker_id: Id | None = None
    coordinates: Coordinates | None = None
    product: ProductList | None = None
    id: Id | None = None
    reel_video_id: Id | None = None
    ig_post_media_id: Id | None = None


class Attachment(Struct, frozen=True, gc=False):
    """``url`` and ``title`` stand here in webhooks of old versions."""

    type: Words = None
    payload: Content | None = None
    url: Words = None
    title: Words = None


class Story(Struct, frozen=True, gc=False):
    id: Id | None = None
    url: Words = None


class ReplyTo(Struct, frozen=True, gc=False):
    mid: Mid = ""
    story: Story | None = None


class QuickReply(Struct, frozen=True, gc=False):
    payload: str = ""


class Advertised(Struct, frozen=True, gc=False):
    """``ads_context_data``: the advertisement as the person saw it."""

    ad_title: Words = None
    photo_url: Words = None
    video_url: Words = None
    post_id: Id | None = None


class ShopProduct(Struct, frozen=True, gc=False):
    id: Id = ""


class Source(Struct, frozen=True, gc=False):
    """``referral``: what led the person here."""

    ref: Words = None
    source: Words = None
    type: Words = None
    ad_id: Id | None = None
    referer_uri: Words = None
    ads_context_data: Advertised | None = None
    product: ShopProduct | None = None


class Message(Struct, frozen=True, gc=False):
    mid: Mid = ""
    text: Words = None
    quick_reply: QuickReply | None = None
    reply_to: ReplyTo | None = None
    attachments: tuple[Attachment, ...] | None = None
    referral: Source | None = None
    is_echo: bool = False
    is_deleted: bool = False
    is_unsupported: bool = False
    app_id: Id | None = None
    metadata: Words = None


class Postback(Struct, frozen=True, gc=False):
    mid: Mid = ""
    title: Words = None
    payload: Words = None
    referral: Source | None = None


class Delivery(Struct, frozen=True, gc=False):
    """``mids`` may be missing; the watermark is always there."""

    mids: tuple[Mid, ...] | None = None
    watermark: Time = None


class Read(Struct, frozen=True, gc=False):
    """Messenger has a watermark, Instagram the message."""

    mid: Mid = ""
    watermark: Time = None


class Reaction(Struct, frozen=True, gc=False):
    mid: Mid
    action: str = "react"
    emoji: Words = None
    reaction: Words = None


class MessageEdit(Struct, frozen=True, gc=False):
    mid: Mid
    text: Words = None
    num_edit: int | str = 0


class OptIn(Struct, frozen=True, gc=False):
    ref: Words = None
    user_ref: Id | None = None
    type: Words = None


class PolicyEnforcement(Struct, frozen=True, gc=False):
    action: str = ""
    reason: Words = None


class PriorMessage(Struct, frozen=True, gc=False):
    """Whom a person was known as before their first message: the reference of a checkbox."""

    source: Words = None
    identifier: Id | None = None


class Element(Struct, frozen=True, gc=False):
    """One of ``messaging`` or ``standby``: exactly one of the optional fields says what happened."""

    sender: Party | None = None
    recipient: Party | None = None
    timestamp: Time = None
    message: Message | None = None
    postback: Postback | None = None
    delivery: Delivery | None = None
    read: Read | None = None
    reaction: Reaction | None = None
    message_edit: MessageEdit | None = None
    referral: Source | None = None
    optin: OptIn | None = None
    policy_enforcement: PolicyEnforcement | None = field(name="policy-enforcement", default=None)
    prior_message: PriorMessage | None = None


entry_decoder: Final = msgspec.json.Decoder(Entry)
change_decoder: Final = msgspec.json.Decoder(Change)
element_decoder: Final = msgspec.json.Decoder(Element)
#: For what none of our structs names: its fields, undecoded.
keys_decoder: Final = msgspec.json.Decoder(dict[str, Raw])
