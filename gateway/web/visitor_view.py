"""What a visitor sees of a message, and the links by which their browser fetches its files."""

import base64
import hmac
import math
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct

from connectors.content import AnyPart, Media, MediaKind
from connectors.event import Instant
from connectors.identity import Identity
from connectors.webchat.visitor import Visitor
from gateway.services import Channel
from gateway.web.signing import derive_key
from storage.protocol import Transaction
from storage.record import Message, MessageKind

#: Kinds of messages that visitors see.
PUBLIC: Final = frozenset({MessageKind.INBOUND, MessageKind.OUTBOUND})
#: A link is good for five to ten minutes. All of one such window are equal, so that a browser's cache knows them.
_WINDOW_SECONDS: Final = 300
_TAG_BYTES: Final = 18
_UNTIL_DIGITS: Final = 12


class VisitorMedia(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="media"):
    """A file, without its provider's reference; ``url``, good for some minutes, is a path, or an address elsewhere."""

    kind: MediaKind
    mime: str = ""
    name: str = ""
    size: int = 0
    #: Empty while there is no copy to fetch.
    url: str = ""
    #: A scanner still has to look at it.
    checking: bool = False
    #: A scanner found something in it: nobody gets it.
    withheld: bool = False


class VisitorMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as its shopper sees it: no statuses, no ids of agents."""

    id: str
    pos: int
    mine: bool
    #: Name to show.
    author: str
    parts: tuple[AnyPart | VisitorMedia, ...]
    at: Instant
    #: The visitor's own message: the id of the frame that brought it.
    client_id: str = ""
    deleted: bool = False
    edited: bool = False


class FileLinks:
    """Signed addresses for one visitor's files: they name no visitor, yet are of no use for anybody else's file."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel.id
        self._key = derive_key(channel.settings.secret, "visitor's file")

    def make(self, identity: Identity, file_id: str, now: datetime) -> str:
        """A path that :meth:`genuine` will know for five to ten minutes."""
        until = (math.floor(now.timestamp() / _WINDOW_SECONDS) + 2) * _WINDOW_SECONDS
        return f"/chat/v1/{self._channel}/files/{file_id}?until={until}&sig={self._tag(identity, file_id, str(until))}"

    def genuine(self, identity: Identity, file_id: str, until: str, sig: str, now: datetime) -> bool:
        """Did we sign this, and is it still good?"""
        readable = until.isascii() and until.isdecimal() and len(until) <= _UNTIL_DIGITS and sig.isascii()
        return readable and hmac.compare_digest(sig, self._tag(identity, file_id, until)) and now.timestamp() < int(until)

    def _tag(self, identity: Identity, file_id: str, until: str) -> str:
        digest = hmac.digest(self._key, "\x00".join((str(identity), file_id, until)).encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:_TAG_BYTES]).decode()


def visitor_message(message: Message, client_id: str, link: Callable[[str], str]) -> VisitorMessage:
    """Without anything that is not the shopper's business; a deleted message keeps its place only."""
    return VisitorMessage(
        id=message.id,
        pos=message.pos,
        mine=message.kind is MessageKind.INBOUND,
        author=message.author.name,
        parts=() if message.deleted else tuple(_part(part, link) for part in message.parts),
        at=message.at,
        client_id=client_id,
        deleted=message.deleted,
        edited=message.edited_at is not None,
    )


async def client_id_of(tx: Transaction, message: Message, visitor: Visitor) -> str:
    """The id that the visitor's page gave to their message; empty for others' messages."""
    if message.kind is not MessageKind.INBOUND:
        return ""
    start = f"{visitor.visitor}:"
    ids = await tx.messages.provider_ids(message.channel, message.id)
    return next((one.removeprefix(start) for one in ids if one.startswith(start)), "")


def _part(part: AnyPart, link: Callable[[str], str]) -> AnyPart | VisitorMedia:
    if not isinstance(part, Media):
        return part
    url = link(part.stored) if part.stored else ""
    told = {"checking": part.checking, "withheld": bool(part.withheld)}
    return VisitorMedia(kind=part.kind, mime=part.mime, name=part.name, size=part.size, url=url, **told)
