"""What the operator says about one WhatsApp number."""

from typing import Annotated

from msgspec import Meta

from config import Secret
from connectors.meta.access import Access, check_access, check_id


class Settings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one business phone number on Meta's Cloud API."""

    #: WhatsApp Manager, Phone numbers; not the number itself.
    phone_number_id: Annotated[str, Meta(title="Phone number id", description="WhatsApp Manager, Phone numbers: digits, not the number")]
    #: WhatsApp Manager, Account overview. It is the scope of all identities.
    business_account_id: Annotated[str, Meta(title="WhatsApp business account id", description="WhatsApp Manager, Account overview")]

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        check_access(self)
        check_id("phone_number_id", self.phone_number_id)
        check_id("business_account_id", self.business_account_id)


def account(settings: Settings) -> str:
    """Webhooks name the number that they are for by its id."""
    return settings.phone_number_id


def secrets_of(settings: Settings) -> tuple[Secret, ...]:
    """What no failure and no finding may show."""
    return (settings.access_token, settings.app_secret, settings.previous_app_secret, settings.verify_token)
