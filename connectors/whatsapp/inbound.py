"""WhatsApp's webhooks as events. Pure.

One webhook holds entries (accounts) of changes (fields), and these hold messages, statuses, errors. Each is read by itself: what is broken
becomes one quarantined event, with a whole small webhook around it so that it can be parsed again, and all others live.

Groups are ignored on purpose: an answer there is read by everybody in it, while an agent believes to write to one shopper.

Sources: see ``payload``.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.event import AnyEvent, PayloadIgnored
from connectors.meta import webhook
from connectors.meta.failure import GraphError
from connectors.meta.webhook import Entry, decode_json, each, entries, fragment_key, quarantined
from connectors.whatsapp import payload
from connectors.whatsapp.news import is_news, news, trouble
from connectors.whatsapp.payload import Change, Echo, Message, Preference, StatusLine, Value
from connectors.whatsapp.reading import Where, consent_of, echo_of, message_of, status_of
from connectors.whatsapp.settings import Settings

OBJECT: Final = "whatsapp_business_account"
_NAME: Final = re.compile(r"[a-z0-9_]{1,64}")

T = TypeVar("T", bound=Struct)

_entries: Final = msgspec.json.Decoder(Entry)


def verify(request: Request, settings: Settings) -> bool:
    """Is it signed with the app's secret, over the raw bytes?"""
    return webhook.verify(request, settings)


def handshake(request: Request, settings: Settings) -> bytes | None:
    """The challenge of Meta's question whether the address is ours."""
    return webhook.handshake(request, settings)


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:  # noqa: ARG001  the contract's shape
    """The events of one webhook, at least one per change. Raises :class:`BadPayload` if there is no envelope, and nothing else."""
    events: list[AnyEvent] = []
    for raw in entries(request.body, (OBJECT,)):
        events += _of_entry(raw)
    return _unlike(events)


def _of_entry(raw: Raw) -> Iterator[AnyEvent]:
    try:
        entry = decode_json(raw, _entries)
    except BadPayload as error:
        yield quarantined(_envelope(raw), raw, str(error))
        return
    if not entry.changes:
        yield quarantined(_envelope(raw), raw, "an entry without changes")
    for fragment, change in each(entry.changes, payload.changes):
        if isinstance(change, BadPayload):
            yield quarantined(_envelope(_entry(entry, fragment)), fragment, str(change))
            continue
        try:
            yield from _of_change(entry, fragment, change)
        except BadPayload as error:
            yield quarantined(_envelope(_entry(entry, fragment)), fragment, str(error))


def _of_change(entry: Entry, raw: Raw, change: Change) -> Sequence[AnyEvent]:
    if is_news(change.field):
        key = fragment_key("account", bytes(raw) + str(entry.time).encode())
        return [news(change.field, decode_json(change.value, payload.objects), key, entry.time, bytes(raw))]
    reader = _FIELDS.get(change.field)
    if reader is None:
        named = change.field if _NAME.fullmatch(change.field) else "of an unknown name"
        return [PayloadIgnored(key=fragment_key("ignored", raw), raw=bytes(raw), why=f"field {named} is not used")]
    reading = _Reading(entry, change, decode_json(change.value, payload.values))
    return list(reader(reading)) or [reading.ignored(raw, "a change without content")]


class _Reading:
    """One change being read: what all of its events have in common."""

    def __init__(self, entry: Entry, change: Change, value: Value) -> None:
        self._entry = entry
        self._change = change
        self._value = value
        self._account = value.metadata.phone_number_id if value.metadata else ""
        self._where = Where(scope=entry.id, account=self._account, contacts=value.contacts)

    def messages(self) -> Iterator[AnyEvent]:
        """Of the field ``messages``: what people wrote, how far ours have come, and what went wrong beside them."""
        yield from self._each("messages", payload.messages, self._message)
        yield from self._each("statuses", payload.statuses, self._status)
        yield from self._each("errors", payload.errors, self._error)

    def echoes(self) -> Iterator[AnyEvent]:
        """Of the field ``smb_message_echoes``: what somebody wrote with the phone app."""
        yield from self._each("message_echoes", payload.echoes, self._echo)

    def preferences(self) -> Iterator[AnyEvent]:
        """Of the field ``user_preferences``: who wants no more marketing."""
        yield from self._each("user_preferences", payload.preferences, self._preference)

    def ignored(self, raw: Raw, why: str, key: str = "") -> PayloadIgnored:
        """Understood, and nothing for a shop."""
        return PayloadIgnored(key=key or fragment_key("ignored", raw), raw=bytes(raw), account=self._account, why=why)

    def _each(self, name: str, decoder: "msgspec.json.Decoder[T]", read: Callable[[T, Raw], Iterator[AnyEvent]]) -> Iterator[AnyEvent]:
        for raw, found in each(getattr(self._value, name), decoder):
            try:
                if isinstance(found, BadPayload):
                    raise found
                yield from read(found, raw)
            except BadPayload as error:
                yield quarantined(_envelope(_entry(self._entry, self._alone(name, raw))), raw, str(error), self._account)

    def _message(self, message: Message, raw: Raw) -> Iterator[AnyEvent]:
        return message_of(message, self._where, bytes(raw))

    def _echo(self, echo: Echo, raw: Raw) -> Iterator[AnyEvent]:
        return echo_of(echo, self._where, bytes(raw))

    def _status(self, status: StatusLine, raw: Raw) -> Iterator[AnyEvent]:
        return status_of(status, self._where, bytes(raw))

    def _preference(self, preference: Preference, raw: Raw) -> Iterator[AnyEvent]:
        return consent_of(preference, self._where, bytes(raw))

    def _error(self, error: GraphError, raw: Raw) -> Iterator[AnyEvent]:
        mark = f"{self._account}{self._entry.time}".encode()
        beside = b"".join(bytes(one) for one in self._value.messages)
        yield trouble(error, fragment_key("error", bytes(raw) + mark + beside), self._account, bytes(raw))

    def _alone(self, name: str, raw: Raw) -> dict[str, Any]:
        """This change with nothing but the one fragment."""
        value: dict[str, Any] = {"metadata": self._value.metadata, "contacts": self._value.contacts, name: [raw]}
        return {"field": self._change.field, "value": {what: one for what, one in value.items() if one is not None}}


#: Which fields hold conversation. The past (``history``) is not imported: nobody could answer it.
_FIELDS: Final[dict[str, Callable[[_Reading], Iterator[AnyEvent]]]] = {
    "messages": _Reading.messages,
    "smb_message_echoes": _Reading.echoes,
    "user_preferences": _Reading.preferences,
}


def _entry(entry: Entry, change: Any) -> dict[str, Any]:
    return {"id": entry.id, "time": entry.time, "changes": [change]}


def _envelope(entry: Any) -> bytes:
    return msgspec.json.encode({"object": OBJECT, "entry": [entry]})


def _unlike(events: list[AnyEvent]) -> list[AnyEvent]:
    """Each key once: the same thing twice in one batch is one thing."""
    return list({event.key: event for event in reversed(events)}.values())[::-1]
