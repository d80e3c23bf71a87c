"""What the operator says about one page."""

from typing import Annotated

from msgspec import Meta

from connectors.meta.access import check_id
from connectors.meta_messaging.account import MessagingSettings, check_messaging


class Settings(MessagingSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a Facebook page's Messenger and comments."""

    #: The page; webhooks about others of the same app go to the channels that have them.
    page_id: Annotated[str, Meta(title="Page id", description="The page's About section, Page transparency")]

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        check_messaging(self)
        check_id("page_id", self.page_id)
