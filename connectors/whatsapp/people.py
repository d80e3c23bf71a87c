"""Who wrote: a phone, a business-scoped user id, or both. Pure.

Since 2026 a person may hide the phone behind a user name; then only the business-scoped user id (BSUID) is left, for example
``US.13491208655302741918``. Webhooks carry it for everybody, so it is the identity wherever it is there, and the phone is an alias:
a conversation goes on when the phone disappears. It is unique within a business; we scope it by the WhatsApp business account, which each
webhook names, because the business itself is not in it.

Source: developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids, read 2026-11.
"""

import re
from collections.abc import Iterable
from typing import Final

from connectors.errors import BadPayload
from connectors.event import Sender
from connectors.identity import Evidence, Identity
from connectors.whatsapp.payload import Contact

SCHEME: Final = "whatsapp"
#: Country, ``ENT`` for the id of a group of businesses, and the id.
_USER_ID: Final = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_PHONE: Final = re.compile(r"[1-9][0-9]{6,14}")


def is_user_id(text: str) -> bool:
    """A business-scoped user id, and not a phone?"""
    return _USER_ID.fullmatch(text) is not None


def is_phone(text: str) -> bool:
    """Digits of a phone as WhatsApp writes it: with the country, without ``+``."""
    return _PHONE.fullmatch(text) is not None


def person(
    scope: str, phone: str, user_id: str, contacts: tuple[Contact, ...] = (), *, proved_phones: Iterable[str] = ()
) -> tuple[Sender, str]:
    """The sender and where an answer goes. ``scope``: the WhatsApp business account. Raises BadPayload if nobody is named."""
    if is_user_id(phone):
        # Seen in place of the phone where there is none.
        phone, user_id = "", user_id or phone
    contact = _contact_of(phone, user_id, contacts)
    user_id = user_id or (contact.user_id if contact else "")
    wa_id = contact.wa_id if contact and not is_user_id(contact.wa_id) else ""
    phone = phone or wa_id
    address = phone or user_id
    if not address:
        raise BadPayload("it names nobody: neither a phone nor a user id")
    values = [value for value in dict.fromkeys((user_id, phone, wa_id)) if value]
    tels = dict.fromkeys(f"+{digits}" for digits in (phone, *proved_phones) if is_phone(digits))
    return (
        Sender(
            identity=Identity(SCHEME, scope, values[0]),
            name=_name(contact),
            aliases=(
                *((Identity(SCHEME, scope, value), Evidence.PROVIDER) for value in values[1:]),
                *((Identity("tel", "", tel), Evidence.PROVIDER) for tel in tels),
            ),
        ),
        address,
    )


def _contact_of(phone: str, user_id: str, contacts: tuple[Contact, ...]) -> Contact | None:
    """The card beside the message, by either address; in a webhook with one person it is that one's."""
    for contact in contacts:
        if (user_id and contact.user_id == user_id) or (phone and contact.wa_id == phone):
            return contact
    # WhatsApp's id may differ from the phone by a digit (Brazil, Mexico, Argentina).
    return contacts[0] if len(contacts) == 1 and not (user_id and contacts[0].user_id) else None


def _name(contact: Contact | None) -> str:
    if contact is None:
        return ""
    profile = contact.profile
    return (profile.name or profile.username if profile else "") or contact.username
