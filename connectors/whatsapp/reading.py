"""One message, echo, status or wish as events. Pure."""

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from connectors.content import Unsupported
from connectors.errors import BadPayload
from connectors.event import (
    AddressMoved,
    AnyEvent,
    ChatStarted,
    ConsentChanged,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PayloadIgnored,
    ReactionChanged,
    Sender,
    Status,
    StatusReported,
)
from connectors.identity import Evidence, Identity
from connectors.meta.webhook import unix_time
from connectors.retry import MAX_DETAIL
from connectors.whatsapp.news import failure_of_status
from connectors.whatsapp.parts import own_phones, parts_of
from connectors.whatsapp.payload import Contact, Context, Echo, Message, Preference, StatusLine, System
from connectors.whatsapp.people import SCHEME, is_phone, is_user_id, person

#: ``played`` is said of a voice message beside ``read``, or instead of it.
_STATUSES: Final = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "played": Status.READ,
    "failed": Status.FAILED,
}
_MOVES: Final = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})
#: What we send along and get back with every status: our message's id and the part's index.
_OURS: Final = re.compile(r"(?P<id>[A-Za-z0-9_-]{1,128}):(?P<part>[0-9]{1,4})")
_FORWARDED: Final = "somebody"


class Where(Struct, frozen=True):
    """What a message shares with all others of its change."""

    #: The WhatsApp business account: the scope of identities.
    scope: str
    #: The id of our phone number.
    account: str
    contacts: tuple[Contact, ...]


def callback_data(message_id: str, part: int) -> str:
    """What goes out as ``biz_opaque_callback_data``."""
    return f"{message_id}:{part}"


def ours_of(data: str) -> str:
    """Our message's id from it; empty if somebody else wrote it."""
    match = _OURS.fullmatch(data)
    return match["id"] if match else ""


def message_of(message: Message, where: Where, raw: bytes) -> Iterator[AnyEvent]:
    """What a person did. Raises BadPayload if it cannot be told who or what."""
    key = f"message:{message.id}"
    base: dict[str, Any] = {"key": key, "at": unix_time(message.timestamp), "raw": raw, "account": where.account}
    if message.group_id:
        yield PayloadIgnored(key=key, raw=raw, account=where.account, why="a message in a group; only private chats are served")
        return
    if message.revoke is not None:
        yield MessageDeleted(**base, message_id=message.revoke.original_message_id)
        return
    if message.system is not None:
        yield from _system(message, message.system, where, base)
        return
    sender, thread = person(where.scope, message.from_, message.from_user_id, where.contacts, proved_phones=own_phones(message))
    base |= {"sender": sender, "thread": thread}
    if message.edit is not None:
        yield MessageEdited(**base, message_id=message.edit.original_message_id, parts=parts_of(message.edit.message))
    elif message.reaction is not None:
        emoji = message.reaction.emoji
        yield ReactionChanged(**base, message_id=message.reaction.message_id, emoji=(emoji,) if emoji else ())
    elif message.type in {"edit", "revoke", "reaction", "system"}:
        raise BadPayload(f"a message of type {message.type} without its content")
    elif message.type == "request_welcome":
        yield ChatStarted(**base)
    else:
        context = message.context or Context()
        forwarded = context.forwarded or context.frequently_forwarded
        yield MessageReceived(
            **base,
            message_id=message.id,
            parts=parts_of(message),
            reply_to=context.id or "",
            forwarded_from=_FORWARDED if forwarded else "",
        )


def echo_of(echo: Echo, where: Where, raw: bytes) -> Iterator[AnyEvent]:
    """What somebody of ours did in the phone app."""
    key = f"echo:{echo.id}"
    base: dict[str, Any] = {"key": key, "at": unix_time(echo.timestamp), "raw": raw, "account": where.account}
    if echo.revoke is not None:
        yield MessageDeleted(**base, message_id=echo.revoke.original_message_id)
        return
    if echo.group_id:
        yield PayloadIgnored(key=key, raw=raw, account=where.account, why="a message in a group; only private chats are served")
        return
    sender, thread = person(where.scope, echo.to, echo.to_user_id, where.contacts)
    base |= {"sender": sender, "thread": thread}
    if echo.edit is not None:
        yield MessageEdited(**base, message_id=echo.edit.original_message_id, parts=parts_of(echo.edit.message))
    elif echo.reaction is not None:
        yield PayloadIgnored(key=key, raw=raw, account=where.account, why="our own reaction from the phone app")
    else:
        parts = parts_of(echo)
        if parts == (Unsupported(kind=echo.type),) and echo.type == "unsupported":
            yield PayloadIgnored(key=key, raw=raw, account=where.account, why="our own message, of a kind that Meta does not show")
            return
        yield MessageEchoed(**base, message_id=echo.id, parts=parts)


def status_of(status: StatusLine, where: Where, raw: bytes) -> Iterator[AnyEvent]:
    """How far a message of ours has come."""
    key = f"status:{status.id}:{status.status[:32]}"
    known = _STATUSES.get(status.status)
    if known is None or status.recipient_type == "group":
        why = "a status in a group" if status.recipient_type == "group" else f"status {status.status[:32]} is not used"
        yield PayloadIgnored(key=key, raw=raw, account=where.account, why=why)
        return
    error = status.errors[0] if known is Status.FAILED and status.errors else None
    code = error.code_text() if error else ""
    failure = failure_of_status(status.errors) if error else None
    yield StatusReported(
        key=f"{key}:{code}" if code else key,
        at=unix_time(status.timestamp),
        raw=raw,
        account=where.account,
        message_id=status.id,
        status=known,
        code=code,
        detail=error.words()[:MAX_DETAIL] if error else "",
        ours=ours_of(status.biz_opaque_callback_data),
        failure=failure.kind if failure else None,
    )


def consent_of(preference: Preference, where: Where, raw: bytes) -> Iterator[AnyEvent]:
    """A person wants no more marketing, or wants it again."""
    sender, thread = person(where.scope, preference.wa_id, preference.user_id, where.contacts)
    key = f"consent:{sender.identity.value}:{preference.value[:32]}:{preference.timestamp}"[:512]
    if preference.value not in {"stop", "resume", "signup"}:
        yield PayloadIgnored(key=key, raw=raw, account=where.account, why=f"preference {preference.value[:32]} is not used")
        return
    yield ConsentChanged(
        key=key,
        at=unix_time(preference.timestamp),
        raw=raw,
        account=where.account,
        sender=sender,
        thread=thread,
        opted_in=preference.value != "stop",
    )


def _system(message: Message, system: System, where: Where, base: dict[str, Any]) -> Iterator[AnyEvent]:
    """A new phone or a new user id of the same person: answers go there, and both are one customer."""
    if system.type not in _MOVES:
        why = f"system message {system.type[:48] or 'without a type'}"
        yield PayloadIgnored(key=base["key"], raw=base["raw"], account=where.account, why=why)
        return
    old_phone = message.from_ or system.customer
    old_id = system.previous_user_id or message.from_user_id
    new_phone = system.wa_id or system.new_wa_id
    new_id = system.user_id if system.user_id != old_id else ""
    former, _ = person(where.scope, old_phone, old_id)
    old = [value for value in dict.fromkeys((old_phone, old_id)) if value]
    new = [value for value in dict.fromkeys((new_phone, new_id)) if value and value not in old]
    if not new:
        raise BadPayload(f"{system.type} without a new address")
    for number, thread in enumerate(old):
        # By phone if there is a phone: it is what a thread is as long as one is known.
        yield AddressMoved(**(base | {"key": f"{base['key']}:{number}" if number else base["key"]}), old_thread=thread, new_thread=new[0])
    yield ChatStarted(**(base | {"key": f"{base['key']}:person"}), sender=_joined(former, new, where.scope), thread=new[0])


def _joined(former: Sender, new: list[str], scope: str) -> Sender:
    """The person under the former address, with the new ones as aliases: the only event that says that two addresses are one person."""
    aliases = [Identity(SCHEME, scope, value) for value in new]
    aliases += [Identity("tel", "", f"+{value}") for value in new if is_phone(value) and not is_user_id(value)]
    return Sender(identity=former.identity, aliases=(*former.aliases, *((alias, Evidence.PROVIDER) for alias in aliases)))
