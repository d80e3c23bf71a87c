"""What the operator says about one Instagram account."""

from typing import Annotated

from msgspec import Meta

from connectors.meta.access import check_id
from connectors.meta_messaging.account import MessagingSettings, check_messaging


class Settings(MessagingSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an Instagram professional account's messages and comments.

    With ``page_id`` the account is used through its Facebook page and that page's token. Without it through Instagram's own log-in:
    then ``access_token`` and ``app_secret`` are the Instagram app's, and ``graph_base`` is ``https://graph.instagram.com``.
    """

    #: The professional account; webhooks about others of the same app go to the channels that have them.
    account_id: Annotated[str, Meta(title="Instagram account id", description="Of the professional account, as in its webhooks")]
    page_id: Annotated[str, Meta(title="Linked page's id", description="Empty with Instagram's own log-in")] = ""

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        check_messaging(self)
        check_id("account_id", self.account_id)
        check_id("page_id", self.page_id, optional=True)
