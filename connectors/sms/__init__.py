"""SMS, MMS and RCS over Twilio."""

from typing import Final

from connectors.contract import Answer, Connector
from connectors.sms.client import SmsClient
from connectors.sms.inbound import account, parse, verify
from connectors.sms.outbound import CAPABILITIES, capabilities_for, read_reply, render
from connectors.sms.settings import Settings
from connectors.twilio.webhook import NOTHING_TO_SAY

CONNECTOR: Final = Connector(
    kind="sms",
    settings=Settings,
    capabilities=CAPABILITIES,
    capabilities_for=capabilities_for,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=SmsClient,
    account=account,
    answer=Answer(body=NOTHING_TO_SAY, content_type="text/xml"),
    sources=(
        "https://www.twilio.com/docs/messaging/guides/webhook-request (read 2026-11)",
        "https://www.twilio.com/docs/messaging/api/message-resource (read 2026-11)",
        "https://www.twilio.com/docs/usage/webhooks/webhooks-security (read 2026-11)",
        "https://www.twilio.com/docs/api/errors (read 2026-11)",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
