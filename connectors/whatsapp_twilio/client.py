"""One WhatsApp sender at work: what every client over Twilio can do, and templates, and "typing…"."""

import time
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from connectors.abilities import Component, Finding, TemplateDefinition
from connectors.contract import ClientContext, Reply
from connectors.twilio.client import TwilioClient, hook_finding
from connectors.twilio.resources import ChannelSender, ContentPage, SenderPage, content_sid, decoded, template_of, words_of
from connectors.whatsapp_twilio.outbound import is_content_sid
from connectors.whatsapp_twilio.settings import Settings, sender

log = structlog.get_logger(__name__)

#: WhatsApp approves at most 6,000 templates of an account.
_PAGES: Final = 20
#: Seconds for which a list of templates is believed.
_FRESH: Final = 300.0
_SENDERS: Final = "https://messaging.twilio.com/v2/Channels/Senders"


class WhatsappTwilioClient(TwilioClient):
    """Also TemplateSource and Typist. No ReadMarker: at Twilio a message is marked as read by showing "typing…", which would be a lie."""

    def __init__(self, settings: Settings, context: ClientContext) -> None:
        super().__init__(settings, context, sender(settings))
        self._templates: tuple[float, Sequence[TemplateDefinition]] = (0.0, ())

    async def prepare(self, form: dict[str, str]) -> dict[str, str] | Reply:
        """Finds a template's SID by name and language."""
        name = form.get("ContentSid", "")
        if not name or is_content_sid(name):
            return form
        language = form.pop("ContentLanguage", "")
        try:
            sid = await self._sid(name, language)
        except OSError as error:
            return Reply(status=0, body=str(error).encode(), written=False)
        if not sid:
            # In Twilio's own shape and with its own code, so that it is judged like its refusal.
            words = {"code": 63027, "message": f"there is no content template {name!r} in {language!r}", "status": 400}
            return Reply(status=400, body=msgspec.json.encode(words))
        return {**form, "ContentSid": sid}

    async def _sid(self, name: str, language: str) -> str:
        read_at, known = self._templates
        sid = content_sid(known, name, language)
        if not sid or time.monotonic() - read_at > _FRESH:
            sid = content_sid(await self.templates(), name, language)
        return sid

    async def templates(self) -> Sequence[TemplateDefinition]:
        """All, whatever their state. Raises OSError if Twilio cannot be asked now."""
        found: list[TemplateDefinition] = []
        reply = await self.ask(self._sdk.content.v2.content_and_approvals.page_async(page_size=500))
        for _ in range(_PAGES):
            page: ContentPage = decoded(reply, ContentPage, "its list of templates")
            found += [template_of(content) for content in page.contents]
            if page.meta is None or not page.meta.next_page_url:
                break
            reply = await self.follow(page.meta.next_page_url)
        self._templates = (time.monotonic(), tuple(found))
        return tuple(found)

    async def show_typing(self, thread: str, message_id: str) -> None:  # noqa: ARG002  the ability's shape
        """For 25 seconds or until the answer; the message is marked as read. Failures are logged only.

        twilio.com/docs/whatsapp/api/typing-indicators-resource (beta, read 2026-11): version 2; version 3 is for RCS.
        """
        reply = await self.ask(self._sdk.messaging.v2.typing_indicator.create_async(channel="whatsapp", message_id=message_id))
        if reply.status not in (200, 201):
            log.info("twilio.typing_not_shown", channel=self._context.channel, detail=words_of(reply))

    async def register(self, webhook_url: str) -> str:
        """Sets the webhook of the WhatsApp sender, or of the messaging service. Raises OSError."""
        if not self._sender:
            return await super().register(webhook_url)
        found = await self._channel_sender()
        if found is None:
            return f"The account has no WhatsApp sender {self._sender}."
        urls = {"callback_url": webhook_url, "callback_method": "POST", "fallback_url": webhook_url, "fallback_method": "POST"}
        hook = {"webhook": {**urls, "status_callback_url": webhook_url, "status_callback_method": "POST"}}
        headers = {"Content-Type": "application/json"}
        reply = await self.ask(self._sdk.request_async("POST", f"{_SENDERS}/{found.sid}", data=hook, headers=headers))
        done = reply.status in (200, 202)
        return f"Webhook {webhook_url} set for {self._sender}." if done else f"Webhook refused: {words_of(reply)}"

    async def look(self, webhook_url: str) -> Sequence[Finding]:
        """Sender and webhook. Raises OSError."""
        if not self._sender:
            return await super().look(webhook_url)
        found = await self._channel_sender()
        if found is None:
            remedy = "Check number, or register the sender in the Twilio Console."
            return [Finding(component=Component.OUTBOUND, ok=False, detail=f"the account has no sender {self._sender}", remedy=remedy)]
        online = found.status.upper().startswith("ONLINE")
        remedy = "" if online else "Open the sender in the Twilio Console: it says what WhatsApp waits for."
        state = Finding(component=Component.OUTBOUND, ok=online, detail=f"{self._sender} is {found.status.lower()}", remedy=remedy)
        return [state, hook_finding(found.webhook.callback_url if found.webhook else "", webhook_url, self._sender)]

    async def _channel_sender(self) -> ChannelSender | None:
        asked = await self.ask(self._sdk.messaging.v2.channels_senders.page_async(channel="whatsapp", page_size=100))
        page: SenderPage = decoded(asked, SenderPage, "its list of WhatsApp senders")
        return next((one for one in page.senders if one.sender_id == self._sender), None)
