"""One page or Instagram account at work: probes, set-up, courtesies, and what was missed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from connectors.abilities import Component, Finding, Profile
from connectors.contract import Call, ClientContext, Reply, Request
from connectors.errors import FailureKind
from connectors.http import exchange, timeout_of
from connectors.meta.access import graph_url
from connectors.meta.client import CALL_TIMEOUT, GraphClient
from connectors.meta.failure import failure_of
from connectors.meta_messaging.account import MessagingSettings
from connectors.meta_messaging.fragment import COMMENT, USER_REF
from connectors.meta_messaging.outbound import CODES
from connectors.meta_messaging.recall import FIELDS, PAGE, read_conversation, webhook_of
from connectors.text import without_nul

log = structlog.get_logger(__name__)

#: Seconds between calls of the Conversations API: two a second (…/messenger-platform/overview/rate-limiting, read 2026-11).
PAUSE: Final = 0.5
#: Conversations that are looked through after an outage; the rest would be many minutes of calls.
_MAX_CONVERSATIONS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Whose client it is."""

    #: ``messenger`` or ``instagram``, as the Conversations API calls it too.
    platform: str
    #: ``page`` or ``instagram``: the object of its webhooks.
    object: str
    #: The page or account.
    account: str
    #: Below which its messages are: the account itself, or the page that it is linked to.
    id: str
    #: Fields of the node that tell an operator whose it is.
    name_field: str
    #: Fields of a person, the first of which that is filled is their name; several in one are joined.
    person_fields: tuple[tuple[str, ...], ...]
    #: Webhook fields that it lives on.
    fields: tuple[str, ...]


#: Of a name; more is no name.
_NAME_CHARS: Final = 200


class _Words(Struct, frozen=True):
    text: str


class _Reader(Struct, frozen=True):
    id: str


class _Asked(Struct, frozen=True):
    """A call that sends words to a person."""

    message: _Words
    recipient: _Reader


class MessagingClient(GraphClient):
    """Client, ReadMarker, Typist, ProfileSource, Prober, InboundFinder and SendFinder of one account; products add their set-up."""

    def __init__(self, settings: MessagingSettings, context: ClientContext, node: Node, pause: float = PAUSE) -> None:
        super().__init__(settings, context)
        self._session = context.session
        self._channel = context.channel
        self._messaging = settings
        self._node = node
        self._pause = pause

    # --- courtesies -------------------------------------------------------------------------------------------------------

    async def show_typing(self, thread: str, message_id: str) -> None:  # noqa: ARG002  it is shown to the person
        """Shows that somebody is typing, for about twenty seconds."""
        await self._act(thread, "typing_on")

    async def mark_read(self, thread: str, message_id: str) -> None:
        """Shows that all up to now was read; a comment shows nothing of the kind."""
        if not message_id.startswith(COMMENT):
            await self._act(thread, "mark_seen")

    async def _act(self, thread: str, action: str) -> None:
        if thread.startswith((COMMENT, USER_REF)):
            return
        reply = await self.post(f"{self._node.id}/messages", {"recipient": {"id": thread}, "sender_action": action})
        if self.result(reply) is None:
            log.info("graph.sender_action_failed", channel=self._channel, action=action, detail=self._words(reply))

    # --- names ------------------------------------------------------------------------------------------------------------

    async def profile(self, value: str) -> Profile:
        """What somebody calls themselves. Meta tells it of people who have written in private, and may keep it from us all the same."""
        if not (value.isascii() and value.isdigit()):
            return Profile(problem="Meta has no profile for this kind of address.")
        names = [name for group in self._node.person_fields for name in group]
        reply = await self.get(value, {"fields": ",".join(names)})
        found = self.result(reply)
        if found is None:
            failure = failure_of(reply, CODES, (self._messaging.access_token, self._messaging.app_secret))
            again = failure.kind in (FailureKind.TRANSIENT, FailureKind.UNKNOWN, FailureKind.THROTTLED)
            problem = f"Meta does not tell: {failure.code} {failure.detail}".rstrip()
            return Profile(problem=problem, retry=again, retry_after=failure.retry_after)
        for group in self._node.person_fields:
            if name := " ".join(text for one in group if isinstance(found.get(one), str) and (text := found[one].strip())):
                return Profile(name=without_nul(name)[:_NAME_CHARS])
        return Profile(problem="The person has no name there.")

    # --- probes -----------------------------------------------------------------------------------------------------------

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        """Asks whose token it is, what the account is subscribed to and where its webhooks go. Changes nothing."""
        reply = await self.get(self._node.account, {"fields": f"id,{self._node.name_field}"})
        found = self.result(reply)
        if found is None:
            return (self._refused(reply),)
        name = str(found.get(self._node.name_field) or self._node.account)
        findings = [
            Finding(component=Component.AUTH, ok=True, detail=f"The access token is accepted for {name}."),
            Finding(component=Component.OUTBOUND, ok=True, detail="The Send API answers."),
            await self._subscribed(),
        ]
        if self._messaging.app_id:
            findings.append(await self._called_back(webhook_url))
        return findings

    def _refused(self, reply: Reply) -> Finding:
        failure = failure_of(reply, CODES, (self._messaging.access_token, self._messaging.app_secret))
        if failure.kind in (FailureKind.TRANSIENT, FailureKind.UNKNOWN, FailureKind.THROTTLED):
            detail = f"Meta could not be asked: {failure.detail}"
            return Finding(component=Component.OUTBOUND, ok=False, detail=detail, remedy="Try again; see metastatus.com.")
        remedy = (
            f"Make a new token for {self._node.account} in the app's dashboard, with the permissions for its messages and comments, "
            "and set access_token."
        )
        return Finding(component=Component.AUTH, ok=False, detail=f"Meta refuses the access token: {failure.detail}", remedy=remedy)

    async def subscribed_fields(self) -> tuple[str, ...] | None:
        """Webhook fields that our app gets for the node; None if Meta does not say."""
        found = self.result(await self.get(f"{self._node.id}/subscribed_apps", {"fields": "id,subscribed_fields"}))
        apps = found.get("data") if found is not None else None
        if not isinstance(apps, list):
            return None
        # A page's token sees its own app; where there are several, ours is the one with the id that is configured.
        own = [app for app in apps if isinstance(app, dict) and self._messaging.app_id in ("", str(app.get("id")))]
        return tuple(str(name) for app in own for name in app.get("subscribed_fields") or ())

    def wanted_fields(self) -> tuple[str, ...]:
        """Those that the node itself must be subscribed to."""
        return self._node.fields

    async def _subscribed(self) -> Finding:
        fields = await self.subscribed_fields()
        if fields is None:
            detail = "Meta does not say what the app is subscribed to."
            return Finding(component=Component.WEBHOOK, ok=False, detail=detail, remedy="Give the token pages_manage_metadata.")
        missing = [name for name in self.wanted_fields() if name not in fields]
        if missing:
            detail = f"The app is not subscribed to {', '.join(missing)}."
            remedy = f"sportello channel connect {self._channel}"
            return Finding(component=Component.WEBHOOK, ok=False, detail=detail, remedy=remedy)
        return Finding(component=Component.WEBHOOK, ok=True, detail="The app is subscribed to all that it needs.")

    async def _called_back(self, webhook_url: str) -> Finding:
        found = self.result(await self.as_app("GET", f"{self._messaging.app_id}/subscriptions"))
        listed = found.get("data") if found is not None else None
        places = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        url = next((str(one.get("callback_url")) for one in places if one.get("object") == self._node.object and one.get("active")), "")
        if url == webhook_url:
            return Finding(component=Component.INBOUND, ok=True, detail=f"Webhooks go to {url}.")
        detail = f"Webhooks about {self._node.object} go {f'to {url[:200]}' if url else 'nowhere'}."
        remedy = (
            f"Set {webhook_url} as the callback URL of {self._node.object} under Webhooks in the app's dashboard, with the verify_token."
        )
        return Finding(component=Component.INBOUND, ok=False, detail=detail, remedy=remedy)

    async def as_app(self, method: str, path: str, json: Mapping[str, Any] | None = None) -> Reply:
        """A call in the name of the app itself: what is the app's and not the account's."""
        token = f"{self._messaging.app_id}|{self._messaging.app_secret.reveal()}"
        options: dict[str, Any] = {} if json is None else {"json": dict(json)}
        url, headers = graph_url(self._messaging, path), {"Authorization": f"Bearer {token}"}
        return await exchange(self._session, method, url, headers=headers, timeout=timeout_of(CALL_TIMEOUT), **options)

    def _words(self, reply: Reply) -> str:
        return failure_of(reply, CODES, (self._messaging.access_token, self._messaging.app_secret)).detail or f"status {reply.status}"

    # --- what was missed, and what became of a sending --------------------------------------------------------------------

    async def missed(self, since: datetime) -> AsyncIterator[Request]:
        """Webhooks that Meta would have posted for messages since then, made from the Conversations API.

        Meta gives the newest twenty messages of a conversation; what is older stays lost. Comments have no such list.
        """
        seen = 0
        async for item in self.items(f"{self._node.id}/conversations", self._query(FIELDS)):
            seen += 1
            conversation = read_conversation(item)
            messages = conversation.since(since)
            # Newest first: from here on all is older.
            if seen > _MAX_CONVERSATIONS or not messages:
                return
            request = webhook_of(messages, self._node.object, self._node.account, self._messaging)
            if request is not None:
                yield request
            if seen % PAGE == 0:
                await asyncio.sleep(self._pause)

    def _query(self, fields: str) -> dict[str, str]:
        return {"platform": self._node.platform, "fields": fields, "limit": str(PAGE)}

    async def find_sent(self, call: Call, since: datetime) -> Sequence[str] | None:
        """Our messages to the same person with the same text. Files and comments cannot be told apart there: None."""
        try:
            asked = msgspec.convert(call.json, _Asked)
        except msgspec.ValidationError:
            return None
        text, person = asked.message.text, asked.recipient.id
        query = self._query("messages.limit(20){id,created_time,from,message}") | {"user_id": person}
        found = self.result(await self.get(f"{self._node.id}/conversations", query))
        if found is None:
            return None
        try:
            messages = [one for item in found.get("data") or () for one in read_conversation(item).since(since)]
        except OSError:
            return None
        alike = [one for one in messages if str(one.from_.id) == self._node.account and (one.message or "").strip() == text.strip()]
        return [one.id for one in alike]
