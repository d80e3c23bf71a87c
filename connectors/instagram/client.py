"""One Instagram account at work."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from connectors.contract import Call, ClientContext, Reply
from connectors.instagram.settings import Settings
from connectors.meta.access import graph_url
from connectors.meta.failure import graph_error
from connectors.meta_messaging.client import PAUSE, MessagingClient, Node

#: Webhook fields of an Instagram account (…/documentation/business-messaging/instagram-messaging/webhooks, read 2026-11).
FIELDS: Final = (
    "messages",
    "messaging_postbacks",
    "messaging_referral",
    "messaging_seen",
    "message_reactions",
    "standby",
    "comments",
    "live_comments",
)
#: A linked account's webhooks come if its page is subscribed to anything at all.
_PAGE_FIELDS: Final = ("feed",)


class InstagramClient(MessagingClient):
    """What every account's client can do, Provisioner, and files by their address."""

    def __init__(self, settings: Settings, context: ClientContext, pause: float = PAUSE) -> None:
        self._linked = bool(settings.page_id)
        node = Node(
            platform="instagram",
            object="instagram",
            account=settings.account_id,
            id=settings.page_id or settings.account_id,
            name_field="username",
            # …/documentation/business-messaging/instagram-messaging/features/user-profile (updated 2026-04).
            person_fields=(("name",), ("username",)),
            fields=FIELDS,
        )
        super().__init__(settings, context, node, pause)

    async def send(self, call: Call) -> Reply:
        """Performs one call. Instagram fetches files itself; without a public address they are uploaded first."""
        if not call.uploads:
            return await super().send(call)
        (upload,) = call.uploads
        try:
            payload = {"url": await self._context.link_file(upload.stored)}
        except OSError:
            uploaded = await self._upload(call)
            if isinstance(uploaded, Reply):
                return uploaded
            payload = {"attachment_id": uploaded}
        return await super().send(replace(call, json=_with_payload(call.json, payload), uploads=()))

    async def _upload(self, call: Call) -> str | Reply:
        """The file's id at Meta; or why there is none: then no message has gone out, whatever became of the upload."""
        url = graph_url(self._messaging, f"{self._node.id}/message_attachments")
        message = {"attachment": _with_payload(call.json, {"is_reusable": True})["message"]["attachment"]}
        reply = await super().send(replace(call, url=url, json={"platform": "instagram", "message": message}))
        found = (self.result(reply) or {}).get("attachment_id")
        if found:
            return str(found)
        if graph_error(reply.body) is not None:
            return reply
        return Reply(status=0, body=b"the file could not be uploaded: " + reply.body[:200], written=False)

    def wanted_fields(self) -> tuple[str, ...]:
        """Of a linked account the page is subscribed, and to anything."""
        return () if self._linked else FIELDS

    async def provision(self, webhook_url: str) -> str:
        """Subscribes the account; the app's webhook itself can only be set by hand. Says in lines for people how it went."""
        fields = await self.subscribed_fields()
        by_hand = (
            f"Set {webhook_url} as the callback URL of Instagram under Webhooks in the app's dashboard, with the verify_token, "
            f"and subscribe to {', '.join(FIELDS)}."
        )
        if self._linked and fields:
            return f"{by_hand}\nThe page is subscribed."
        wanted = _PAGE_FIELDS if self._linked else FIELDS
        reply = await self.post(f"{self._node.id}/subscribed_apps", {"subscribed_fields": ",".join(wanted)})
        done = self.result(reply) is not None
        return f"{by_hand}\n{'The account is subscribed.' if done else f'The account cannot be subscribed: {self._words(reply)}'}"


def _with_payload(json: Any, payload: dict[str, Any]) -> dict[str, Any]:
    """The same body with another file in it."""
    body: dict[str, Any] = msgspec.to_builtins(json)
    attachment = {**body["message"]["attachment"], "payload": payload}
    return {**body, "message": {**body["message"], "attachment": attachment}}
