"""From a WhatsApp message to the parts of ours. Pure."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from connectors.content import (
    AnyPart,
    Chosen,
    ContactCard,
    Location,
    Media,
    MediaKind,
    Order,
    OrderItem,
    Referral,
    Text,
    Unsupported,
)
from connectors.whatsapp.payload import Basket, Card, Content, File, FlowReply, Interactive

_DIGITS: Final = re.compile(r"[0-9]+")
#: Characters that we keep of a form's token: ours have 64 bytes at most.
_TOKEN: Final = 200
#: Longest word of the provider's that we show for something unknown.
_KIND: Final = 64


def parts_of(content: Content) -> tuple[AnyPart, ...]:
    """What is said: files before their caption, and last what led here. Never empty: what we cannot show is :class:`Unsupported`."""
    said = tuple(_said(content)) or (Unsupported(kind=_unknown(content)),)
    return (*said, *_led_by(content))


def own_phones(content: Content) -> tuple[str, ...]:
    """Digits of the phones on a card that the sender gave of themselves, as WhatsApp proves."""
    if content.origin != "contact_request":
        return ()
    found = (phone.wa_id or "".join(_DIGITS.findall(phone.phone)) for card in content.contacts for phone in card.phones)
    return tuple(digits for digits in found if digits)


def _said(content: Content) -> Iterator[AnyPart]:
    if content.text is not None and content.text.body:
        yield Text(text=content.text.body)
    yield from _files(content)
    if content.location is not None:
        place = content.location
        yield Location(latitude=place.latitude, longitude=place.longitude, name=place.name, address=place.address)
    for card in content.contacts:
        yield _card(card, own=content.origin == "contact_request")
    if content.interactive is not None:
        yield from _picked(content.interactive)
    if content.button is not None:
        yield Chosen(id=content.button.payload or content.button.text, label=content.button.text)
    if content.order is not None:
        yield _order(content.order)


def _files(content: Content) -> Iterator[AnyPart]:
    found = (
        (MediaKind.IMAGE, content.image),
        (MediaKind.VIDEO, content.video),
        (MediaKind.AUDIO, content.audio),
        (MediaKind.VOICE, content.voice),
        (MediaKind.FILE, content.document),
        (MediaKind.STICKER, content.sticker),
    )
    for kind, file in found:
        if file is not None:
            yield _media(MediaKind.VOICE if file.voice else kind, file)
            if file.caption:
                yield Text(text=file.caption)


def _media(kind: MediaKind, file: File) -> Media:
    return Media(kind=kind, ref=file.id, mime=file.mime_type, name=file.filename)


def _card(card: Card, *, own: bool) -> ContactCard:
    name = card.name
    shown = name.formatted_name or f"{name.first_name} {name.last_name}".strip() if name else ""
    phones = tuple(phone.phone or f"+{phone.wa_id}" for phone in card.phones if phone.phone or phone.wa_id)
    return ContactCard(name=shown, phones=phones, emails=tuple(email.email for email in card.emails if email.email), own=own)


def _picked(interactive: Interactive) -> Iterator[AnyPart]:
    picked = interactive.button_reply or interactive.list_reply
    if picked is not None:
        yield Chosen(id=picked.id, label=picked.title)
    elif interactive.nfm_reply is not None:
        token, answers = _form(interactive.nfm_reply)
        yield Chosen(id=token or interactive.nfm_reply.name or "flow", label=interactive.nfm_reply.body)
        if answers:
            yield Text(text=answers)


def _form(reply: FlowReply) -> tuple[str, str]:
    """The token that went out with a form, and its answers, one per line; as they came if they cannot be read."""
    try:
        found = msgspec.json.decode(reply.response_json)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", reply.response_json
    if not isinstance(found, dict):
        return "", reply.response_json
    token = found.pop("flow_token", "")
    lines = (f"{name}: {value if isinstance(value, str) else msgspec.json.encode(value).decode()}" for name, value in found.items())
    # Meta's own word for a form that was sent without one.
    known = isinstance(token, str) and token != "unused"  # noqa: S105  no secret
    return (token.replace("\0", "\ufffd")[:_TOKEN] if known else ""), "\n".join(lines).replace("\0", "\ufffd")


def _order(basket: Basket) -> Order:
    items = tuple(
        OrderItem(
            product=item.product_retailer_id,
            quantity=_whole(item.quantity),
            price=bytes(item.item_price).decode("utf-8", "replace").strip('"'),
            currency=item.currency,
        )
        for item in basket.product_items
    )
    return Order(items=items, catalog=basket.catalog_id, note=basket.text)


def _whole(quantity: str | float) -> int:
    try:
        return int(float(quantity))
    except (ValueError, OverflowError):
        return 1


def _led_by(content: Content) -> Iterator[AnyPart]:
    if content.referral is not None:
        lead = content.referral
        yield Referral(source=lead.source_type or "ad", id=lead.source_id, url=lead.source_url, headline=lead.headline, body=lead.body)
    product = content.context.referred_product if content.context else None
    if product is not None and product.product_retailer_id:
        yield Referral(source="product", id=product.product_retailer_id)


def _unknown(content: Content) -> str:
    named = content.unsupported.type if content.unsupported else ""
    return (named or content.type or "message")[:_KIND]
