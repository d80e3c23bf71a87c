"""One number, or one messaging service, at work."""

from connectors.contract import ClientContext
from connectors.sms.settings import Settings
from connectors.twilio.client import TwilioClient


class SmsClient(TwilioClient):
    """What every client over Twilio can do."""

    def __init__(self, settings: Settings, context: ClientContext) -> None:
        super().__init__(settings, context, settings.number)
