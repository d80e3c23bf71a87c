"""Signs of ours that come back in a stranger's mail: our Message-IDs, and the plus-address that answers go to. Pure.

Message-ID      ``<msg_id.<mark><tag>@shop.example>``: a bounce that quotes it is about a mail that we did send
plus-address    ``support+<id><mark><tag>@shop.example``: which mail it answers, and to whom that went

A tag is 80 bits of an HMAC, a mark 40 bits of another, over the recipient. All is lower-case base 32: servers fold case.
"""

import base64
import hmac
import re
from hashlib import sha256
from typing import Final

from msgspec import Struct

from config import Secret
from connectors.email.settings import TOKEN, Settings, own_domain

_TAG_BYTES: Final = 10
_MARK_BYTES: Final = 5
_TAG: Final = 16
_MARK: Final = 8
#: Ours look like ``msg_`` and 26 characters; others are carried as they are, as far as an address can.
_ID: Final = re.compile(r"[a-z]{2,8}_[0-9a-z]{4,40}|[0-9a-z._-]{1,40}")
_MESSAGE_ID: Final = re.compile(r"(?P<id>[0-9a-z._-]{1,60})\.(?P<mark>[a-z2-7]{8})(?P<tag>[a-z2-7]{16})@(?P<domain>[^@\s]+)", re.IGNORECASE)
_PREFIX: Final = "msg_"


class Reply(Struct, frozen=True):
    """What a valid plus-address says."""

    #: Our message that is answered, as a Message-ID without brackets.
    message_id: str
    #: It was sent to the one who writes now.
    addressee: bool


def message_id(id_: str, recipient: str, settings: Settings) -> str:
    """The Message-ID of our message ``id_``, without brackets: the same whenever it is asked for."""
    name = id_.lower()
    return _spelled(name, _mark(settings.secret, name, recipient), settings)


def own_message(mail_id: str, settings: Settings) -> bool:
    """Did we make this Message-ID? Its domain does not count: relays rewrite it."""
    match = _MESSAGE_ID.fullmatch(mail_id.strip("<> "))
    if match is None:
        return False
    name, mark = match["id"].lower(), match["mark"].lower()
    return hmac.compare_digest(match["tag"].lower().encode(), _tag(settings.secret, "id", name + mark).encode())


def sent_to(mail_id: str, address: str, settings: Settings) -> bool:
    """Did the mail of this Message-ID, which :func:`own_message` recognised, go to ``address``?"""
    match = _MESSAGE_ID.fullmatch(mail_id.strip("<> "))
    return match is not None and hmac.compare_digest(
        match["mark"].lower().encode(), _mark(settings.secret, match["id"].lower(), address).encode()
    )


def original_id(mail_id: str, settings: Settings) -> str:
    """Our own spelling of a Message-ID that :func:`own_message` recognised."""
    match = _MESSAGE_ID.fullmatch(mail_id.strip("<> "))
    return _spelled(match["id"].lower(), match["mark"].lower(), settings) if match else mail_id


def _spelled(name: str, mark: str, settings: Settings) -> str:
    return f"{name}.{mark}{_tag(settings.secret, 'id', name + mark)}@{own_domain(settings)}"


def reply_address(id_: str, recipient: str, settings: Settings) -> str:
    """Where the answer to our message ``id_`` to ``recipient`` shall go; empty if the channel has no such addresses."""
    if not settings.reply_address or not _ID.fullmatch(id_.lower()):
        return ""
    name = id_.lower().removeprefix(_PREFIX)
    mark = _mark(settings.secret, id_.lower(), recipient)
    token = f"{name}{mark}{_tag(settings.secret, 'reply', name + mark)}"
    found = settings.reply_address.replace(TOKEN, token)
    return found if len(found.partition("@")[0]) <= 64 else ""


def read_reply_address(address: str, sender: str, settings: Settings) -> Reply | None:
    """What ``address`` proves, if it is a plus-address of ours with a valid tag."""
    if not settings.reply_address:
        return None
    before, _, after = settings.reply_address.lower().partition(TOKEN)
    text = address.lower()
    token = text[len(before) : len(text) - len(after)]
    if not (text.startswith(before) and text.endswith(after)) or len(token) <= _TAG + _MARK:
        return None
    name, mark, tag = token[: -_TAG - _MARK], token[-_TAG - _MARK : -_TAG], token[-_TAG:]
    if not hmac.compare_digest(tag.encode("utf-8", "replace"), _tag(settings.secret, "reply", name + mark).encode()):
        return None
    full = name if "_" in name else _PREFIX + name
    return Reply(_spelled(full, mark, settings), hmac.compare_digest(mark.encode(), _mark(settings.secret, full, sender).encode()))


def _tag(secret: Secret, purpose: str, text: str) -> str:
    return _digest(secret, f"{purpose}\0{text}", _TAG_BYTES)


def _mark(secret: Secret, name: str, recipient: str) -> str:
    return _digest(secret, f"mark\0{name}\0{recipient.lower()}", _MARK_BYTES)


def _digest(secret: Secret, text: str, size: int) -> str:
    digest = hmac.new(secret.reveal().encode(), text.encode("utf-8", "surrogatepass"), sha256).digest()
    return base64.b32encode(digest[:size]).decode("ascii").lower()
