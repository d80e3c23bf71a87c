"""Instagram professional accounts: private messages, and comments below their posts."""

from typing import Final

from connectors.contract import Connector
from connectors.instagram.client import InstagramClient
from connectors.instagram.inbound import parse, verify
from connectors.instagram.outbound import CAPABILITIES, capabilities_for, read_reply, render
from connectors.instagram.settings import Settings
from connectors.meta.webhook import handshake


def account(settings: Settings) -> str:
    """The id that webhooks name."""
    return settings.account_id


CONNECTOR: Final = Connector(
    kind="instagram",
    settings=Settings,
    capabilities=CAPABILITIES,
    capabilities_for=capabilities_for,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=InstagramClient,
    account=account,
    handshake=handshake,
    sources=(
        "https://developers.facebook.com/documentation/business-messaging/instagram-messaging/webhooks (read 2026-11)",
        "https://developers.facebook.com/documentation/instagram-platform/webhooks/examples (comments; read 2026-11)",
        "https://developers.facebook.com/documentation/business-messaging/instagram-messaging/features/attachment-upload (read 2026-11)",
        "https://developers.facebook.com/documentation/instagram-platform/private-replies (read 2026-11)",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
