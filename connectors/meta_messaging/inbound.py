"""Webhooks about a page or an Instagram account as events. Pure.

One webhook holds up to a thousand elements of several pages; each is read apart, so a broken one is set aside alone. ``raw`` of an
event is a whole webhook with just its element. Who wrote is decided by ids and not by flags alone: what our own page sent is never
taken for a shopper's words.

What people write while another app has their conversation (``standby``) is that app's: we may not answer there, and an agent who is
shown it would. It is ignored but kept, unless the operator says ``standby = "receive"``. Receipts and our own echoes count there, too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Raw

from connectors.content import Chosen, Text, Unsupported
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import (
    AccountReported,
    AnyEvent,
    ChatStarted,
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    ReactionChanged,
    Status,
    StatusReported,
    WatermarkReported,
)
from connectors.meta.webhook import decode_json, each, entries, fragment_key, quarantined, unix_time
from connectors.meta_messaging.account import MessagingSettings
from connectors.meta_messaging.fragment import USER_REF, Fragment
from connectors.meta_messaging.parts import parts_of
from connectors.meta_messaging.payload import (
    Change,
    Delivery,
    Element,
    Entry,
    Message,
    MessageEdit,
    OptIn,
    Party,
    PolicyEnforcement,
    Postback,
    Reaction,
    Read,
    Source,
    Time,
    change_decoder,
    element_decoder,
    entry_decoder,
    keys_decoder,
)

#: Before our message's id in ``metadata``, which Messenger repeats in the echo: other apps write there, too.
METADATA: Final = "sportello:"

#: Changes that are really ``messaging`` elements: the dashboard's test button and Instagram's own log-in send them so.
_MESSAGING_FIELDS: Final = frozenset(
    {
        "messages",
        "message_deliveries",
        "message_echoes",
        "message_edits",
        "message_reactions",
        "message_reads",
        "messaging_optins",
        "messaging_postbacks",
        "messaging_referral",
        "messaging_referrals",
        "messaging_seen",
    }
)
#: Reactions without an emoji of their own.
_REACTIONS: Final = MappingProxyType(
    {"love": "❤️", "like": "👍", "dislike": "👎", "laugh": "😆", "smile": "😆", "angry": "😠", "sad": "😢", "wow": "😮"}
)

CommentReader = Callable[[Fragment, str, Raw], tuple[AnyEvent, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What is different between Messenger and Instagram when they are read."""

    #: ``messenger`` or ``instagram``.
    scheme: str
    #: ``page`` or ``instagram``.
    object: str
    #: Fields of changes that are comments, and what reads one: given what it is in, the field and the value.
    comment_fields: frozenset[str]
    read_comment: CommentReader


def read_webhook(request: Request, settings: MessagingSettings, product: Product) -> Sequence[AnyEvent]:
    """The events of one webhook, at least one. Raises :class:`BadPayload` if there is no envelope, and nothing else."""
    events: list[AnyEvent] = []
    for raw, entry in each(entries(request.body, (product.object,)), entry_decoder):
        if isinstance(entry, BadPayload):
            envelope = msgspec.json.encode({"object": product.object, "entry": [raw]})
            events.append(quarantined(envelope, raw, str(entry)))
        else:
            events += _Reading(product, settings, entry).events()
    return events


class _Reading:
    """One entry being read."""

    def __init__(self, product: Product, settings: MessagingSettings, entry: Entry) -> None:
        self._product = product
        self._settings = settings
        self._entry = entry

    def events(self) -> list[AnyEvent]:
        """The events of all its elements, at least one."""
        entry = self._entry
        found: list[AnyEvent] = []
        for raw in entry.messaging:
            found += self._safely(raw, "messaging", self._element)
        for raw in entry.standby:
            found += self._safely(raw, "standby", self._element)
        for raw in (*entry.changes, *_bare_change(entry)):
            found += self._safely(raw, "changes", self._change)
        return found or [*self._fragment(None, "messaging", entry.time).ignored("an entry without content")]

    def _safely(self, raw: Raw, place: str, read: Callable[[Raw, str], tuple[AnyEvent, ...]]) -> tuple[AnyEvent, ...]:
        try:
            return read(raw, place)
        except BadPayload as error:
            return (quarantined(self._envelope(raw, place), raw, str(error), self._entry.id),)

    def _fragment(self, raw: Raw | None, place: str, at: Time, alias: str = "") -> Fragment:
        return Fragment(
            scheme=self._product.scheme,
            account=self._entry.id,
            mark=fragment_key(place, f"{self._entry.id}:{self._entry.time}".encode() if raw is None else raw),
            at=unix_time(at),
            when=str(at if at is not None else self._entry.time)[:32],
            raw=self._envelope(raw, place),
            alias=alias,
        )

    def _envelope(self, raw: Raw | None, place: str) -> bytes:
        entry = {"id": self._entry.id, "time": self._entry.time, place: [] if raw is None else [raw]}
        return msgspec.json.encode({"object": self._product.object, "entry": [entry]})

    # --- elements -----------------------------------------------------------------------------------------------------------

    def _element(self, raw: Raw, place: str) -> tuple[AnyEvent, ...]:
        element = decode_json(raw, element_decoder)
        prior = element.prior_message
        alias = f"{USER_REF}{prior.identifier}" if prior is not None and prior.identifier else ""
        here = self._fragment(raw, place, element.timestamp, alias)
        sender, recipient = _address(element.sender), _address(element.recipient)
        own = sender == here.account or (element.message is not None and element.message.is_echo)
        ours, person = (sender, recipient) if own else (recipient, sender)
        if ours and ours != here.account:
            return here.ignored("neither side is the account that it was sent for")
        if place == "standby" and self._is_others(element):
            return here.ignored("another app has the conversation")
        readers: tuple[tuple[Any, Callable[[Fragment, str, Any], tuple[AnyEvent, ...]]], ...] = (
            (element.message, _echo if own else _message),
            (element.postback, self._postback),
            (element.delivery, _delivery),
            (element.read, _read),
            (element.reaction, _own if own else _reaction),
            (element.message_edit, _own if own else _edit),
            (element.referral, _referral),
            (element.optin, _optin),
            (element.policy_enforcement, _policy),
        )
        for content, read in readers:
            if content is not None:
                return read(here, person, content)
        kinds = sorted(decode_json(raw, keys_decoder).keys() - {"sender", "recipient", "timestamp", "prior_message"})
        return here.ignored(f"{kinds[0][:64]} is not used" if kinds else "an element without content")

    def _is_others(self, element: Element) -> bool:
        """Is it part of a conversation that another app has? Receipts and our own echoes are not."""
        if self._settings.standby == "receive" or element.delivery is not None or element.read is not None:
            return False
        return element.message is None or not _ours(element.message)

    def _postback(self, here: Fragment, person: str, postback: Postback) -> tuple[AnyEvent, ...]:
        title, payload = postback.title or "", postback.payload or ""
        key = ("message", postback.mid) if postback.mid else ("postback", person, here.when, payload)
        common = here.personal(person, *key)
        if payload == self._settings.get_started or (postback.referral is not None and not payload):
            return (ChatStarted(**common, payload=_ref(postback.referral)),)
        # The payload is told only to the app that made the button.
        part = Chosen(id=payload, label=title) if payload else Text(text=title) if title else Unsupported(kind="postback")
        return (MessageReceived(**common, message_id=postback.mid or common["key"], parts=(part,)),)

    # --- changes ------------------------------------------------------------------------------------------------------------

    def _change(self, raw: Raw, place: str) -> tuple[AnyEvent, ...]:
        change = decode_json(raw, change_decoder)
        if change.field in _MESSAGING_FIELDS:
            return self._element(change.value, "messaging")
        here = self._fragment(raw, place, self._entry.time)
        if change.field in self._product.comment_fields:
            return self._product.read_comment(here, change.field, change.value)
        return here.ignored(f"{change.field[:64]} is not used")


# --- what people do ---------------------------------------------------------------------------------------------------------


def _message(here: Fragment, person: str, message: Message) -> tuple[AnyEvent, ...]:
    mid = _mid(message)
    if message.is_deleted:
        return (MessageDeleted(**here.plain("deleted", mid), message_id=mid),)
    quoted = message.reply_to.mid if message.reply_to is not None else ""
    return (MessageReceived(**here.personal(person, "message", mid), message_id=mid, parts=parts_of(message), reply_to=quoted),)


def _echo(here: Fragment, person: str, message: Message) -> tuple[AnyEvent, ...]:
    """What our page wrote: through us, in Meta's own inbox, or by another app."""
    mid = _mid(message)
    if message.is_deleted:
        return (MessageDeleted(**here.plain("deleted", mid), message_id=mid),)
    if not person:
        return here.ignored("an echo that does not say who got it")
    return (MessageEchoed(**here.personal(person, "message", mid), message_id=mid, parts=parts_of(message), ours=_ours(message)),)


def _referral(here: Fragment, person: str, source: Source) -> tuple[AnyEvent, ...]:
    return (ChatStarted(**here.personal(person, "referral", person, here.when), payload=_ref(source)),)


def _optin(here: Fragment, person: str, optin: OptIn) -> tuple[AnyEvent, ...]:
    if optin.type:
        # Of marketing messages, which we do not send: it says nothing about answers.
        return here.ignored(f"an opt-in to {optin.type[:64]}")
    who = person or (f"{USER_REF}{optin.user_ref}" if optin.user_ref else "")
    return (ChatStarted(**here.personal(who, "optin", who, here.when), payload=optin.ref or ""),)


def _edit(here: Fragment, person: str, edit: MessageEdit) -> tuple[AnyEvent, ...]:
    parts = (Text(text=edit.text),) if edit.text else (Unsupported(kind="edit"),)
    return (MessageEdited(**here.personal(person, "edit", edit.mid, str(edit.num_edit)[:16]), message_id=edit.mid, parts=parts),)


def _reaction(here: Fragment, person: str, reaction: Reaction) -> tuple[AnyEvent, ...]:
    # The same reaction may be given, taken back and given again: only the time tells them apart.
    common = here.personal(person, "reaction", reaction.mid, person, here.when, reaction.action)
    emoji = reaction.emoji or _REACTIONS.get((reaction.reaction or "").lower(), "❔")
    return (ReactionChanged(**common, message_id=reaction.mid, emoji=() if reaction.action == "unreact" else (emoji,)),)


def _own(here: Fragment, _: str, __: object) -> tuple[AnyEvent, ...]:
    return here.ignored("our own reaction or edit")


# --- receipts, and the account ----------------------------------------------------------------------------------------------


def _delivery(here: Fragment, person: str, delivery: Delivery) -> tuple[AnyEvent, ...]:
    if delivery.mids:
        return tuple(_receipt(here, mid, Status.DELIVERED) for mid in delivery.mids)
    return _watermark(here, person, Status.DELIVERED, delivery.watermark)


def _read(here: Fragment, person: str, read: Read) -> tuple[AnyEvent, ...]:
    if read.mid:
        return (_receipt(here, read.mid, Status.READ),)
    return _watermark(here, person, Status.READ, read.watermark)


def _receipt(here: Fragment, mid: str, status: Status) -> StatusReported:
    return StatusReported(**here.plain(status, mid), message_id=mid, status=status)


def _watermark(here: Fragment, person: str, status: Status, mark: Time) -> tuple[AnyEvent, ...]:
    up_to = unix_time(mark)
    if up_to is None:
        raise BadPayload("a receipt without message ids whose watermark is no time")
    common = here.personal(person, status, person, str(int(up_to.timestamp() * 1000)))
    return (WatermarkReported(**common, status=status, up_to=up_to),)


def _policy(here: Fragment, _: str, policy: PolicyEnforcement) -> tuple[AnyEvent, ...]:
    code, detail = f"policy_{policy.action[:32] or 'enforcement'}", (policy.reason or "")[:500]
    return (
        AccountReported(**here.plain("policy", policy.action, here.when), code=code, detail=detail, healthy=policy.action == "unblock"),
    )


# --- help -------------------------------------------------------------------------------------------------------------------


def _bare_change(entry: Entry) -> Iterator[Raw]:
    if entry.field and bytes(entry.value):
        yield Raw(msgspec.json.encode(Change(field=entry.field, value=entry.value)))


def _address(party: Party | None) -> str:
    if party is None:
        return ""
    return str(party.id or "") or (f"{USER_REF}{party.user_ref}" if party.user_ref else "")


def _mid(message: Message) -> str:
    if not message.mid:
        raise BadPayload("a message without mid")
    return message.mid


def _ours(message: Message) -> str:
    """Our own message's id, if the metadata is ours: ``sportello:<id>:<part>``."""
    _, found, rest = (message.metadata or "").partition(METADATA)
    return rest.rpartition(":")[0][:200] if found and (message.metadata or "").startswith(METADATA) else ""


def _ref(source: Source | None) -> str:
    """What the link carried, or the advertisement that was clicked."""
    if source is None:
        return ""
    return source.ref or str(source.ad_id or "") or (str(source.product.id) if source.product is not None else "")
