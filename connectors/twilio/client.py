"""One account at work: sends, looks up what became of a sending, asks for what no webhook brought, fetches files, sets up, probes."""

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from connectors.abilities import Component, FetchedMedia, Finding
from connectors.contract import Call, ClientContext, Reply, Request
from connectors.twilio.account import TwilioSettings, credentials
from connectors.twilio.http import Answered, make_sdk, unless_empty
from connectors.twilio.media import MediaStore
from connectors.twilio.message import LINK, form_of
from connectors.twilio.resources import (
    Account,
    MediaPage,
    Message,
    MessagePage,
    Number,
    NumberPage,
    Service,
    decoded,
    instant,
    is_like,
    webhook_body,
    words_of,
)

log = structlog.get_logger(__name__)

#: Messages of a page; Twilio gives at most 1,000.
PAGE_SIZE: Final = 200
#: Pages looked at for one lost answer, and for what no webhook brought.
SENT_PAGES: Final = 3
MISSED_PAGES: Final = 100
#: Twilio's times are whole seconds.
_GRAIN: Final = timedelta(seconds=1)

#: Field of a sending -> parameter of the SDK's.
_PARAMETERS: Final = {
    "To": "to",
    "From": "from_",
    "MessagingServiceSid": "messaging_service_sid",
    "Body": "body",
    "StatusCallback": "status_callback",
    "ContentSid": "content_sid",
    "ContentVariables": "content_variables",
}


class TwilioClient:
    """Client, MediaFetcher, SendFinder, InboundFinder, Provisioner and Prober; ``sender`` is ours as Twilio writes it."""

    def __init__(self, settings: TwilioSettings, context: ClientContext, sender: str) -> None:
        self._settings = settings
        self._context = context
        self._sender = sender
        self._sdk = make_sdk(settings, context.session)
        # The SDK loads its modules at the first use of each: better now than in the middle of a sending.
        self._account = self._sdk.api.v2010.accounts(settings.account_sid)
        self._messages = self._account.messages
        self._store = MediaStore(context.session, settings.api_base, credentials(settings))

    async def close(self) -> None:
        """The session is lent; what was opened for files elsewhere is ours."""
        await self._store.close()

    # --- sending --------------------------------------------------------------------------------------------------------

    async def send(self, call: Call) -> Reply:
        """Performs one call, once."""
        form = dict(form_of(call))
        links: list[str] = []
        for upload in call.uploads:
            try:
                link = await self._context.link_file(upload.stored, for_people=upload.field == LINK)
            except Exception as error:  # noqa: BLE001  whatever it is, Twilio has not seen the call
                return Reply(status=0, body=f"the file has no public address: {type(error).__name__}".encode(), written=False)
            if upload.field == LINK:
                form["Body"] = f"{form.get('Body', '')} {link}".strip()
            else:
                links.append(link)
        prepared = await self.prepare(form)
        if isinstance(prepared, Reply):
            return prepared
        parameters: dict[str, Any] = {_PARAMETERS[name]: value for name, value in prepared.items() if name in _PARAMETERS}
        return await self.ask(
            self._messages.create_async(
                **parameters,
                media_url=unless_empty(links),
                smart_encoded=unless_empty(prepared.get("SmartEncoded") == "true"),
                persistent_action=unless_empty([prepared["PersistentAction"]] if "PersistentAction" in prepared else []),
            )
        )

    async def prepare(self, form: dict[str, str]) -> dict[str, str] | Reply:
        """For a kind that has to look something up before it can send; a reply says that nothing was sent."""
        return form

    async def ask(self, request: Awaitable[Any]) -> Reply:
        """A request of the SDK's, and the answer as it came."""
        try:
            await request
        except Answered as answered:
            return answered.reply
        return Reply(status=0, body=b"the SDK asked nothing", written=False)  # it never returns

    # --- looking up -----------------------------------------------------------------------------------------------------

    async def find_sent(self, call: Call, since: datetime) -> Sequence[str] | None:
        """SIDs of messages like ``call`` made since then, oldest first; None if Twilio cannot be asked now.

        By the time of making: a message that still waits at Twilio has no ``DateSent`` to filter by. Twilio's clock is compared
        with ours by the answer's ``Date``.
        """
        form = form_of(call)
        started = datetime.now(UTC)
        found: list[Message] = []
        try:
            first = await self.ask(self._messages.page_async(to=form["To"], from_=unless_empty(form.get("From")), page_size=PAGE_SIZE))
            there = instant(first.headers.get("date"))
            earliest = since + (there - started if there is not None else timedelta()) - _GRAIN
            async for page in self._pages(first, SENT_PAGES):
                times = [(message, instant(message.date_created)) for message in page.messages]
                found += [message for message, at in times if (at is None or at >= earliest) and is_like(message, call)]
                if any(at is not None and at < earliest for _, at in times):
                    break
        except OSError as error:
            log.warning("twilio.not_asked", channel=self._context.channel, error=str(error))
            return None
        # Newest first, of one second too.
        found.reverse()
        return [message.sid for message in sorted(found, key=lambda message: instant(message.date_created) or since)]

    async def missed(self, since: datetime) -> AsyncIterator[Request]:
        """What came in since then, oldest first, as its webhooks. Raises OSError if Twilio cannot be asked."""
        to = unless_empty(self._sender)
        first = await self.ask(self._messages.page_async(to=to, date_sent_after=since.astimezone(UTC), page_size=PAGE_SIZE))
        pages = [page.messages async for page in self._pages(first, MISSED_PAGES)]
        if len(pages) == MISSED_PAGES:
            log.warning("twilio.too_much_missed", channel=self._context.channel, looked_at=sum(map(len, pages)))
        for messages in reversed(pages):
            for message in reversed(messages):
                if self._came_in(message):
                    yield await self._webhook(message)

    def _came_in(self, message: Message) -> bool:
        service = "" if self._sender else self._settings.messaging_service_sid
        return message.direction == "inbound" and (not service or message.messaging_service_sid == service)

    async def _webhook(self, message: Message) -> Request:
        media: MediaPage = MediaPage(media_list=())
        path = f"{self._settings.api_base.rstrip('/')}/2010-04-01/Accounts/{message.account_sid}/Messages/{message.sid}/Media"
        if (message.num_media or "0") != "0":
            media = decoded(await self.ask(self._messages(message.sid).media.page_async()), MediaPage, "the files of a message")
        return Request(
            method="POST",
            url=path,
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=webhook_body(message, media.media_list, path),
            received_at=datetime.now(UTC),
        )

    async def _pages(self, first: Reply, most: int) -> AsyncIterator[MessagePage]:
        reply = first
        for _ in range(most):
            page: MessagePage = decoded(reply, MessagePage, "its list of messages")
            yield page
            if not page.next_page_uri:
                return
            reply = await self.follow(page.next_page_uri)

    async def follow(self, uri: str) -> Reply:
        """The next page: Twilio gives a path, or a whole address of its own."""
        return await self.ask(self._sdk.request_async("GET", uri if "://" in uri else f"https://api.twilio.com{uri}"))

    # --- files ----------------------------------------------------------------------------------------------------------

    async def fetch_media(self, ref: str, max_bytes: int) -> FetchedMedia:
        """The bytes behind a reference."""
        return await self._store.fetch(ref, max_bytes)

    async def discard_media(self, ref: str) -> None:
        """Our own copy is safe: Twilio may forget its own, if the operator wants that. Failures are logged only."""
        if not self._settings.delete_media or not self._store.is_ours(ref):
            return
        reply = await self._store.ask("DELETE", f"{ref}.json", limit=1 << 16)
        if reply.status not in (204, 404):
            log.warning("twilio.file_not_deleted", channel=self._context.channel, detail=words_of(reply))

    # --- set-up ---------------------------------------------------------------------------------------------------------

    async def provision(self, webhook_url: str) -> str:
        """Makes Twilio post to us, and says in lines for people how the account stands."""
        try:
            account: Account = decoded(await self.ask(self._account.fetch_async()), Account, "the account")
            lines = [f"Account {account.friendly_name or account.sid} is {account.status}."]
            return "\n".join([*lines, await self.register(webhook_url)])
        except OSError as error:
            return str(error)

    async def register(self, webhook_url: str) -> str:
        """Sets the webhook of the messaging service, or of the number. Raises OSError."""
        if not self._sender:
            return await self._register_service(webhook_url)
        number = await self._number()
        if number is None:
            return f"The account has no number {self._sender}."
        # The same address as the way out: Twilio then tries a second time before it gives a message up.
        hooks = {"sms_url": webhook_url, "sms_method": "POST", "sms_fallback_url": webhook_url, "sms_fallback_method": "POST"}
        reply = await self.ask(self._account.incoming_phone_numbers(number.sid).update_async(**hooks))
        return _done(reply, f"Webhook {webhook_url} set for {self._sender}.")

    async def _register_service(self, webhook_url: str) -> str:
        hooks = {"inbound_request_url": webhook_url, "fallback_url": webhook_url, "status_callback": webhook_url}
        reply = await self.ask(
            self._sdk.messaging.v1.services(self._settings.messaging_service_sid).update_async(
                **hooks, inbound_method="POST", fallback_method="POST", use_inbound_webhook_on_number=False
            )
        )
        return _done(reply, f"Webhook {webhook_url} set for the messaging service.")

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        """Credentials, account, sender and webhook, changing nothing."""
        started = time.monotonic()
        reply = await self.ask(self._account.fetch_async())
        if reply.status != 200:
            remedy = "Check account_sid and auth_token against the first page of the Twilio Console." if reply.status in (401, 404) else ""
            component = Component.AUTH if reply.status in (401, 403, 404) else Component.OUTBOUND
            return [Finding(component=component, ok=False, detail=words_of(reply), remedy=remedy or "Try again in some minutes.")]
        account: Account = decoded(reply, Account, "the account")
        took = f"{(time.monotonic() - started) * 1000:.0f} ms"
        active = account.status == "active"
        remedy = "" if active else "Open the Twilio Console: a suspended account says there what it waits for."
        findings = [Finding(component=Component.AUTH, ok=active, detail=f"the account is {account.status} ({took})", remedy=remedy)]
        try:
            return [*findings, *await self.look(webhook_url)]
        except OSError as error:
            return [*findings, Finding(component=Component.WEBHOOK, ok=False, detail=str(error), remedy="Try again in some minutes.")]

    async def look(self, webhook_url: str) -> Sequence[Finding]:
        """Sender and webhook. Raises OSError."""
        if not self._sender:
            asked = await self.ask(self._sdk.messaging.v1.services(self._settings.messaging_service_sid).fetch_async())
            service: Service = decoded(asked, Service, "the messaging service")
            deferred = bool(service.use_inbound_webhook_on_number)
            return [hook_finding("" if deferred else service.inbound_request_url, webhook_url, "the messaging service")]
        number = await self._number()
        if number is None:
            remedy = "Check number, or buy it in the Twilio Console."
            return [Finding(component=Component.OUTBOUND, ok=False, detail=f"the account has no number {self._sender}", remedy=remedy)]
        able = sorted(name for name, can in (number.capabilities or {}).items() if can)
        texts = "sms" in {name.lower() for name in able}
        remedy = "" if texts else "Choose a number that can send SMS."
        can = Finding(
            component=Component.OUTBOUND, ok=texts, detail=f"{self._sender} can do: {', '.join(able) or 'nothing'}", remedy=remedy
        )
        return [can, hook_finding(number.sms_url, webhook_url, self._sender)]

    async def _number(self) -> Number | None:
        asked = await self.ask(self._account.incoming_phone_numbers.page_async(phone_number=self._sender))
        page: NumberPage = decoded(asked, NumberPage, "its list of numbers")
        return next((number for number in page.incoming_phone_numbers if number.phone_number == self._sender), None)


def hook_finding(found: str | None, wanted: str, whose: str) -> Finding:
    """Does Twilio post to us? Connection overrides behind ``#`` are the operator's affair."""
    bare = urlsplit(found or "")._replace(fragment="").geturl()
    if bare == wanted:
        return Finding(component=Component.WEBHOOK, ok=True, detail=f"the webhook of {whose} is ours")
    detail = f"the webhook of {whose} is {bare.partition('?')[0]}" if bare else f"{whose} has no webhook"
    return Finding(component=Component.WEBHOOK, ok=False, detail=detail, remedy="Run: sportello channel connect")


def _done(reply: Reply, words: str) -> str:
    return words if reply.status in (200, 202) else f"Webhook refused: {words_of(reply)}"
