"""One WhatsApp number at work: sends, fetches files, marks as read, lists templates, checks and registers itself."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from connectors.abilities import FetchedMedia, Finding, TemplateDefinition
from connectors.contract import Call, ClientContext, Reply
from connectors.meta.access import graph_url
from connectors.meta.client import Download, GraphClient, fetched
from connectors.meta.failure import failure_of, graph_error
from connectors.whatsapp import probe
from connectors.whatsapp.codes import CODES
from connectors.whatsapp.settings import Settings, secrets_of
from connectors.whatsapp.template import UPLOADED, Definition, definition_of

log = structlog.get_logger(__name__)

_TEMPLATE_FIELDS: Final = "name,language,status,category,components,id"
#: What a link that has expired is answered with (they live for five minutes); a new one is asked for once.
_EXPIRED: Final = frozenset({401, 403, 404, 410})


class _MediaInfo(Struct, frozen=True):
    url: str
    mime_type: str = ""
    sha256: str = ""
    file_size: int = 0


class WhatsAppClient(GraphClient):
    """Client, MediaFetcher, TemplateSource, ReadMarker, Typist, Prober and Provisioner of one number."""

    def __init__(self, settings: Settings, context: ClientContext) -> None:
        super().__init__(settings, context)
        self._number = settings
        self._channel = context.channel

    # --- sending ----------------------------------------------------------------------------------------------------------

    async def send(self, call: Call) -> Reply:
        """Performs one call; a file goes up first, and the message names it by its id."""
        if not call.uploads:
            return await super().send(call)
        url = graph_url(self._number, f"{self._number.phone_number_id}/media")
        form = {"messaging_product": "whatsapp", "type": call.uploads[0].mime}
        reply = await super().send(replace(call, url=url, json=None, form=form))
        uploaded = self.result(reply)
        media = str(uploaded.get("id") or "") if uploaded else ""
        if media:
            return await super().send(replace(call, json=_with_id(call.json, media), uploads=()))
        if graph_error(reply.body) is not None or 400 <= reply.status < 500 or not reply.written:
            return reply
        # Whatever became of the file, no message was sent.
        return Reply(status=0, body=b"the file could not be uploaded", written=False)

    # --- files ------------------------------------------------------------------------------------------------------------

    async def fetch_media(self, ref: str, max_bytes: int) -> FetchedMedia:
        """The file of that id, in two steps: a link that lives for minutes, then the bytes, whose hash must be the announced one."""
        info, found = await self._media(ref, max_bytes)
        if found.status in _EXPIRED:
            info, found = await self._media(ref, max_bytes)
        if isinstance(info, FetchedMedia):
            return info
        return _checked(found, info)

    async def _media(self, ref: str, max_bytes: int) -> tuple[_MediaInfo | FetchedMedia, Download]:
        """One try of both steps; why there is no file in place of what Meta says of it."""
        info = await self._media_info(ref)
        if isinstance(info, FetchedMedia):
            return info, Download(status=0)
        if info.file_size > max_bytes:
            return FetchedMedia(problem=f"The file is larger than {max_bytes} bytes."), Download(status=0)
        return info, await self.download(info.url, max_bytes, bearer=True)

    async def _media_info(self, ref: str) -> _MediaInfo | FetchedMedia:
        if not (ref.isascii() and ref.isalnum()):
            return FetchedMedia(problem="This is no media id of WhatsApp's.")
        reply = await self.get(ref, {"phone_number_id": self._number.phone_number_id})
        try:
            if 200 <= reply.status < 300:
                return msgspec.json.decode(reply.body, type=_MediaInfo, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return FetchedMedia(problem="Meta's answer about the file could not be read.", retry=True)
        failure = failure_of(reply, CODES, secrets_of(self._number))
        # "Does not exist": Meta deletes files after some days.
        gone = failure.code.partition("/")[0] in {"100", "131052"}
        return FetchedMedia(problem=f"Meta does not give the file: {failure.code} {failure.detail}", retry=not gone)

    # --- courtesy ---------------------------------------------------------------------------------------------------------

    async def mark_read(self, thread: str, message_id: str) -> None:  # noqa: ARG002  the message says whose it is
        """Two blue ticks for that message and all before it."""
        await self._courtesy({"status": "read", "message_id": message_id}, "read mark")

    async def show_typing(self, thread: str, message_id: str) -> None:  # noqa: ARG002  the message says whose it is
        """Dots for 25 seconds or until the answer; Meta has them only together with the read mark."""
        await self._courtesy({"status": "read", "message_id": message_id, "typing_indicator": {"type": "text"}}, "typing")

    async def _courtesy(self, what: dict[str, Any], name: str) -> None:
        reply = await self.post(f"{self._number.phone_number_id}/messages", {"messaging_product": "whatsapp", **what})
        if reply.status != 200:
            log.info("whatsapp.courtesy_refused", channel=self._channel, what=name, **self._words(reply))

    # --- templates, checks, set-up ----------------------------------------------------------------------------------------

    async def templates(self) -> Sequence[TemplateDefinition]:
        """All templates of the account. Raises OSError if Meta cannot be asked now."""
        found = []
        path = f"{self._number.business_account_id}/message_templates"
        async for item in self.items(path, {"fields": _TEMPLATE_FIELDS, "limit": "100"}):
            try:
                found.append(definition_of(msgspec.convert(item, Definition, strict=False)))
            except msgspec.ValidationError:
                log.warning("whatsapp.template_unreadable", channel=self._channel)
        return found

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        """The number, its health by Meta's own word, and who gets its webhooks. Raises OSError if Meta cannot be asked now."""
        number = await self.get(self._number.phone_number_id, {"fields": probe.NUMBER_FIELDS})
        if number.status == 0 or (number.status >= 500 and graph_error(number.body) is None):
            raise OSError(f"Meta cannot be asked now (status {number.status})")
        findings = probe.of_number(number, self._number)
        if self.result(number) is not None:
            apps = await self.get(f"{self._number.business_account_id}/subscribed_apps")
            findings += probe.of_webhook(apps, webhook_url, self._number)
        return findings

    async def provision(self, webhook_url: str) -> str:
        """Has this account's webhooks sent to ``webhook_url``, and says in lines for people how the number stands."""
        body = {"override_callback_uri": webhook_url, "verify_token": self._number.verify_token.reveal()}
        reply = await self.post(f"{self._number.business_account_id}/subscribed_apps", body)
        if (self.result(reply) or {}).get("success") is not True:
            failure = failure_of(reply, CODES, secrets_of(self._number))
            return f"Meta refused the webhook {webhook_url}: {failure.code} {failure.detail}".rstrip()
        findings = await self.probe(webhook_url)
        return "\n".join((f"Webhook {webhook_url} set.", *(f"{one.detail} {one.remedy}".strip() for one in findings)))

    def _words(self, reply: Reply) -> dict[str, Any]:
        failure = failure_of(reply, CODES, secrets_of(self._number))
        return {"status": reply.status, "code": failure.code, "detail": failure.detail}


def _with_id(value: Any, media: str) -> Any:
    """The message with the id of its uploaded file."""
    if isinstance(value, dict):
        return {name: media if name == "id" and item == UPLOADED else _with_id(item, media) for name, item in value.items()}
    return [_with_id(item, media) for item in value] if isinstance(value, list) else value


def _checked(found: Download, info: _MediaInfo) -> FetchedMedia:
    digest = hashlib.sha256(found.data)
    if (
        found.data
        and info.sha256
        and info.sha256.lower() != digest.hexdigest()
        and info.sha256 != base64.b64encode(digest.digest()).decode()
    ):
        return FetchedMedia(problem="The file arrived damaged: its hash is not the one that Meta announced.", retry=True)
    return fetched(found, mime=info.mime_type)
