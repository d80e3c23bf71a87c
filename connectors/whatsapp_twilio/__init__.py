"""WhatsApp over Twilio."""

from typing import Final

from connectors.contract import Answer, Connector
from connectors.twilio.webhook import NOTHING_TO_SAY
from connectors.whatsapp_twilio.client import WhatsappTwilioClient
from connectors.whatsapp_twilio.inbound import account, parse, verify
from connectors.whatsapp_twilio.outbound import CAPABILITIES, read_reply, render
from connectors.whatsapp_twilio.settings import Settings

CONNECTOR: Final = Connector(
    kind="whatsapp_twilio",
    settings=Settings,
    capabilities=CAPABILITIES,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=WhatsappTwilioClient,
    account=account,
    answer=Answer(body=NOTHING_TO_SAY, content_type="text/xml"),
    sources=(
        "https://www.twilio.com/docs/messaging/guides/webhook-request (read 2026-11)",
        "https://www.twilio.com/docs/whatsapp/key-concepts (read 2026-11)",
        "https://www.twilio.com/docs/whatsapp/guidance-whatsapp-media-messages (read 2026-11)",
        "https://www.twilio.com/docs/content/content-api-resources (read 2026-11)",
        "https://www.twilio.com/docs/whatsapp/api/typing-indicators-resource (read 2026-11)",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
