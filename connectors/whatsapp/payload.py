"""Just the fields of WhatsApp's webhooks that we use; all others are skipped without looking at them.

Things that come in lists stay raw until their turn, so that one which is broken spoils no other.

Sources: developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages, …/business-scoped-user-ids,
…/embedded-signup/onboarding-business-app-users (echoes), read 2026-11.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct, field

from connectors.meta.failure import GraphError

#: Ids stand in keys of at most 512 characters, beside what they are about.
Id = Annotated[str, Meta(max_length=400)]
#: Seconds or milliseconds, as a string or as a number.
Time = str | int | float


class Metadata(Struct, frozen=True, gc=False):
    phone_number_id: Id = ""


class Profile(Struct, frozen=True, gc=False):
    name: str = ""
    username: str = ""


class Contact(Struct, frozen=True, gc=False):
    profile: Profile | None = None
    wa_id: Id = ""
    user_id: Id = ""
    username: str = ""


class Value(Struct, frozen=True, gc=False):
    """What has changed. Messages, statuses and the like are read one by one."""

    metadata: Metadata | None = None
    contacts: tuple[Contact, ...] = ()
    messages: tuple[Raw, ...] = ()
    statuses: tuple[Raw, ...] = ()
    errors: tuple[Raw, ...] = ()
    message_echoes: tuple[Raw, ...] = ()
    user_preferences: tuple[Raw, ...] = ()


class Change(Struct, frozen=True, gc=False):
    field: str
    value: Raw


class Body(Struct, frozen=True, gc=False):
    body: str = ""


class File(Struct, frozen=True, gc=False):
    id: Id
    mime_type: str = ""
    caption: str = ""
    filename: str = ""
    voice: bool = False


class Point(Struct, frozen=True, gc=False):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: str = ""
    address: str = ""


class CardName(Struct, frozen=True, gc=False):
    formatted_name: str = ""
    first_name: str = ""
    last_name: str = ""


class CardPhone(Struct, frozen=True, gc=False):
    phone: str = ""
    wa_id: str = ""


class CardEmail(Struct, frozen=True, gc=False):
    email: str = ""


class Card(Struct, frozen=True, gc=False):
    name: CardName | None = None
    phones: tuple[CardPhone, ...] = ()
    emails: tuple[CardEmail, ...] = ()


class Picked(Struct, frozen=True, gc=False):
    id: str = ""
    title: str = ""


class FlowReply(Struct, frozen=True, gc=False):
    """A form that was filled in; the answers are JSON within JSON."""

    name: str = ""
    body: str = ""
    response_json: str = ""


class Interactive(Struct, frozen=True, gc=False):
    type: str = ""
    button_reply: Picked | None = None
    list_reply: Picked | None = None
    nfm_reply: FlowReply | None = None


class Button(Struct, frozen=True, gc=False):
    """A quick reply of a template."""

    payload: str = ""
    text: str = ""


class Product(Struct, frozen=True, gc=False):
    product_retailer_id: str
    quantity: int | float | str = 1
    #: As Meta writes it: a float would change it.
    item_price: Raw = Raw(b'""')
    currency: str = ""


class Basket(Struct, frozen=True, gc=False):
    catalog_id: str = ""
    text: str = ""
    product_items: tuple[Product, ...] = ()


class Reaction(Struct, frozen=True, gc=False):
    message_id: Id
    #: Empty or missing: taken back.
    emoji: str | None = ""


class System(Struct, frozen=True, gc=False):
    type: str = ""
    wa_id: Id = ""
    #: Before version 12.
    new_wa_id: Id = ""
    customer: Id = ""
    user_id: Id = ""
    previous_user_id: Id = ""


class Lead(Struct, frozen=True, gc=False):
    """The advertisement or post that led here."""

    source_type: str = ""
    source_id: str = ""
    source_url: str = ""
    headline: str = ""
    body: str = ""


class ReferredProduct(Struct, frozen=True, gc=False):
    product_retailer_id: str = ""


class Context(Struct, frozen=True, gc=False):
    id: Id | None = ""
    forwarded: bool = False
    frequently_forwarded: bool = False
    referred_product: ReferredProduct | None = None


class UnknownKind(Struct, frozen=True, gc=False):
    type: str = ""


class Content(Struct, frozen=True, gc=False):
    """What a message says, also inside an edit."""

    type: str = ""
    text: Body | None = None
    image: File | None = None
    audio: File | None = None
    voice: File | None = None
    video: File | None = None
    document: File | None = None
    sticker: File | None = None
    location: Point | None = None
    contacts: tuple[Card, ...] = ()
    interactive: Interactive | None = None
    button: Button | None = None
    order: Basket | None = None
    unsupported: UnknownKind | None = None
    errors: tuple[GraphError, ...] = ()
    referral: Lead | None = None
    context: Context | None = None
    #: ``contact_request``: the card is the sender's own, given on our request.
    origin: str = ""


class Edit(Struct, frozen=True, gc=False):
    original_message_id: Id
    message: Content


class Revoke(Struct, frozen=True, gc=False):
    original_message_id: Id


class Message(Content, frozen=True, gc=False, kw_only=True):
    id: Annotated[str, Meta(min_length=1, max_length=400)]
    from_: Id = field(name="from", default="")
    from_user_id: Id = ""
    timestamp: Time = 0
    group_id: str = ""
    reaction: Reaction | None = None
    system: System | None = None
    edit: Edit | None = None
    revoke: Revoke | None = None


class Echo(Message, frozen=True, gc=False, kw_only=True):
    """What somebody wrote to a shopper with the phone app of the same number."""

    to: Id = ""
    to_user_id: Id = ""


class StatusLine(Struct, frozen=True, gc=False):
    id: Annotated[str, Meta(min_length=1, max_length=400)]
    status: str
    timestamp: Time = 0
    recipient_type: str = ""
    biz_opaque_callback_data: str = ""
    errors: tuple[GraphError, ...] = ()


class Preference(Struct, frozen=True, gc=False):
    wa_id: Id = ""
    user_id: Id = ""
    category: str = ""
    value: str = ""
    timestamp: Time = 0


changes: Final = msgspec.json.Decoder(Change)
values: Final = msgspec.json.Decoder(Value)
messages: Final = msgspec.json.Decoder(Message)
echoes: Final = msgspec.json.Decoder(Echo)
statuses: Final = msgspec.json.Decoder(StatusLine)
preferences: Final = msgspec.json.Decoder(Preference)
errors: Final = msgspec.json.Decoder(GraphError, strict=False)
#: News about the account: its fields differ from kind to kind.
objects: Final = msgspec.json.Decoder(dict[str, Any])
