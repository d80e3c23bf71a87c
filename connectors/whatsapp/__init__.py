"""WhatsApp by Meta's Cloud API: private chats of one business phone number."""

from typing import Final

from connectors.contract import Connector
from connectors.whatsapp.client import WhatsAppClient
from connectors.whatsapp.inbound import handshake, parse, verify
from connectors.whatsapp.limits import CAPABILITIES
from connectors.whatsapp.outbound import read_reply, render
from connectors.whatsapp.settings import Settings, account

CONNECTOR: Final = Connector(
    kind="whatsapp",
    settings=Settings,
    capabilities=CAPABILITIES,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=WhatsAppClient,
    account=account,
    handshake=handshake,
    sources=(
        "https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages (read 2026-11)",
        "https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages (read 2026-11)",
        "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes (read 2026-11)",
        "https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids (read 2026-11)",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
