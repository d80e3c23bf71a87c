"""A conversation of the Conversations API as the webhook that Meta would have posted, or has. Pure.

The ids are the same, so what did arrive is not taken twice.

Source: developers.facebook.com/documentation/business-messaging/messenger-platform/conversations (updated 2026-02), …/docs/graph-api/
reference/message; read 2026-11.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from connectors.contract import Request
from connectors.meta.webhook import SIGNATURE_HEADER
from connectors.meta_messaging.account import MessagingSettings
from connectors.meta_messaging.payload import Id, Words
from connectors.signature import sign

#: Conversations of one call.
PAGE: Final = 10
#: Of a conversation, Meta gives the newest twenty messages.
FIELDS: Final = "id,updated_time,messages.limit(20){id,created_time,from,to,message,attachments,shares,sticker,is_unsupported}"


class Link(Struct, frozen=True):
    url: Words = None


class File(Struct, frozen=True):
    mime_type: Words = None
    image_data: Link | None = None
    video_data: Link | None = None
    file_url: Words = None


class Files(Struct, frozen=True):
    data: tuple[File, ...] = ()


class Share(Struct, frozen=True):
    link: Words = None
    name: Words = None


class Shares(Struct, frozen=True):
    data: tuple[Share, ...] = ()


class Somebody(Struct, frozen=True):
    id: Id = ""


class Readers(Struct, frozen=True):
    data: tuple[Somebody, ...] = ()


class Kept(Struct, frozen=True):
    """A message as the Conversations API has it."""

    id: str
    created_time: datetime
    from_: Somebody = field(name="from", default=Somebody())
    to: Readers = Readers()
    message: Words = None
    attachments: Files = Files()
    shares: Shares = Shares()
    sticker: Words = None
    is_unsupported: bool = False


class KeptMessages(Struct, frozen=True):
    """Newest first."""

    data: tuple[Kept, ...] = ()


class Conversation(Struct, frozen=True):
    updated_time: datetime | None = None
    messages: KeptMessages = KeptMessages()

    def since(self, start: datetime) -> list[Kept]:
        """Its messages from then on, oldest first. Their times have no fractions of seconds."""
        begun = _aware(start).replace(microsecond=0)
        return [one for one in reversed(self.messages.data) if _aware(one.created_time) >= begun]


def read_conversation(found: Any) -> Conversation:
    """An item of the list. Raises OSError if it is none."""
    try:
        return msgspec.convert(found, Conversation)
    except msgspec.ValidationError as error:
        raise OSError(f"Meta gave a conversation that cannot be read: {error}") from None


def webhook_of(messages: list[Kept], object_: str, account: str, settings: MessagingSettings) -> Request | None:
    """These messages of one conversation, signed as Meta would; None if there is nothing in them."""
    elements = [element for message in messages for element in _element(message, account)]
    if not elements:
        return None
    entry = {"id": account, "time": elements[-1]["timestamp"], "messaging": elements}
    body = msgspec.json.encode({"object": object_, "entry": [entry]})
    return Request(
        method="POST",
        url=f"{settings.graph_base.rstrip('/')}/conversations",
        headers={SIGNATURE_HEADER: f"sha256={sign('sha256', settings.app_secret, body)}", "content-type": "application/json"},
        body=body,
        received_at=datetime.now(UTC),
    )


def _element(message: Kept, account: str) -> Iterator[dict[str, Any]]:
    sender, readers = str(message.from_.id), [str(one.id) for one in message.to.data if one.id]
    if not sender or not readers:
        return
    content: dict[str, Any] = {"mid": message.id, "is_unsupported": message.is_unsupported, "is_echo": sender == account}
    if message.message:
        content["text"] = message.message
    if attachments := list(_attachments(message)):
        content["attachments"] = attachments
    at = int(_aware(message.created_time).timestamp() * 1000)
    yield {"sender": {"id": sender}, "recipient": {"id": readers[0]}, "timestamp": at, "message": content}


def _attachments(message: Kept) -> Iterator[dict[str, Any]]:
    if message.sticker:
        yield {"type": "sticker", "payload": {"url": message.sticker}}
    for one in message.attachments.data:
        heard = (one.mime_type or "").startswith("audio/")
        for kind, url in (
            ("image", one.image_data.url if one.image_data is not None else None),
            ("video", one.video_data.url if one.video_data is not None else None),
            ("audio" if heard else "file", one.file_url),
        ):
            if url:
                yield {"type": kind, "payload": {"url": url}}
                break
    for share in message.shares.data:
        if share.link:
            yield {"type": "share", "payload": {"url": share.link, "title": share.name}}


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
