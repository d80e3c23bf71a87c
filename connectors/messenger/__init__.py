"""Facebook pages: Messenger, and comments below the page's posts."""

from typing import Final

from connectors.contract import Connector
from connectors.messenger.client import MessengerClient
from connectors.messenger.inbound import parse, verify
from connectors.messenger.outbound import CAPABILITIES, capabilities_for, read_reply, render
from connectors.messenger.settings import Settings
from connectors.meta.webhook import handshake


def account(settings: Settings) -> str:
    """The id that webhooks name."""
    return settings.page_id


CONNECTOR: Final = Connector(
    kind="messenger",
    settings=Settings,
    capabilities=CAPABILITIES,
    capabilities_for=capabilities_for,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=MessengerClient,
    account=account,
    handshake=handshake,
    sources=(
        "https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events (read 2026-11)",
        "https://developers.facebook.com/docs/messenger-platform/reference/send-api (read 2026-11)",
        "https://developers.facebook.com/docs/messenger-platform/error-codes (read 2026-11)",
        "https://developers.facebook.com/docs/graph-api/webhooks/reference/page (comments; read 2026-11)",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
