"""One page at work."""

from typing import Final

from connectors.contract import ClientContext
from connectors.messenger.settings import Settings
from connectors.meta_messaging.client import PAUSE, MessagingClient, Node

#: Webhook fields of a page (developers.facebook.com/docs/graph-api/reference/page/subscribed_apps, read 2026-11).
FIELDS: Final = (
    "messages",
    "messaging_postbacks",
    "messaging_optins",
    "messaging_referrals",
    "messaging_handovers",
    "messaging_policy_enforcement",
    "message_deliveries",
    "message_echoes",
    "message_edits",
    "message_reactions",
    "message_reads",
    "standby",
    "feed",
)


class MessengerClient(MessagingClient):
    """What every account's client can do, and Provisioner."""

    def __init__(self, settings: Settings, context: ClientContext, pause: float = PAUSE) -> None:
        page = settings.page_id
        node = Node(
            platform="messenger",
            object="page",
            account=page,
            id=page,
            name_field="name",
            # …/documentation/business-messaging/messenger-platform/identity/user-profile (updated 2026-03).
            person_fields=(("first_name", "last_name"), ("name",)),
            fields=FIELDS,
        )
        super().__init__(settings, context, node, pause)

    async def provision(self, webhook_url: str) -> str:
        """Points the app's webhook at us and subscribes the page to all that we need; says in lines for people how it went."""
        lines = []
        settings = self._messaging
        if settings.app_id:
            wanted = {
                "object": "page",
                "callback_url": webhook_url,
                "verify_token": settings.verify_token.reveal(),
                "fields": ",".join(FIELDS),
                "include_values": True,
            }
            reply = await self.as_app("POST", f"{settings.app_id}/subscriptions", wanted)
            done = self.result(reply) is not None
            lines.append(f"Webhook {webhook_url} set." if done else f"Webhook refused: {self._words(reply)}")
        else:
            lines.append(f"Without app_id: set {webhook_url} as the callback URL of Page under Webhooks in the app's dashboard.")
        reply = await self.post(f"{self._node.id}/subscribed_apps", {"subscribed_fields": ",".join(FIELDS)})
        done = self.result(reply) is not None
        lines.append("The page is subscribed." if done else f"The page cannot be subscribed: {self._words(reply)}")
        return "\n".join(lines)
