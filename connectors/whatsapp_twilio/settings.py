"""What the operator says about one WhatsApp sender at Twilio."""

from connectors.twilio.account import PHONE, TwilioSettings


class Settings(TwilioSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of WhatsApp over Twilio."""

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        super().__post_init__()
        if self.number and not PHONE.fullmatch(self.number):
            raise ValueError("number must be the WhatsApp sender's, like +39351000000 and without whatsapp: before it")


def sender(settings: Settings) -> str:
    """Ours as Twilio writes it; empty if the messaging service picks it."""
    return f"whatsapp:{settings.number}" if settings.number else ""
