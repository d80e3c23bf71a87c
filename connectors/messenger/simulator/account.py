"""What is simulated: a page or an Instagram account, and the app that serves it."""

from dataclasses import dataclass
from typing import Final, Literal

#: Seconds: in which everything may be answered; in which people may, with the tag; in which a comment may be answered privately.
STANDARD_WINDOW: Final = 86_400
HUMAN_WINDOW: Final = 7 * 86_400
COMMENT_WINDOW: Final = 7 * 86_400
QUICK_REPLIES: Final = 13
FILE_BYTES: Final = 25_000_000


@dataclass(slots=True, kw_only=True)
class Account:
    """One page, or one Instagram account, and its credentials."""

    platform: Literal["messenger", "instagram"]
    #: The page's or the account's id, as in webhooks.
    id: str
    access_token: str
    app_secret: str
    app_id: str = "880000000000005"
    #: Below which its messages are; empty: itself.
    node: str = ""
    name: str = "Bottega"
    #: Where webhooks go; empty: nowhere.
    webhook_url: str = ""
    #: Fields that the app is subscribed to.
    fields: tuple[str, ...] = ()
    #: Are 300 texts and 10 films a second refused?
    rate_limits: bool = True

    @property
    def object(self) -> str:
        """The object of its webhooks."""
        return "page" if self.platform == "messenger" else "instagram"

    @property
    def messages_below(self) -> str:
        """The node of its messages."""
        return self.node or self.id

    def text_fits(self, text: str) -> bool:
        """2000 characters, or 1000 bytes."""
        return len(text) <= 2000 if self.platform == "messenger" else len(text.encode()) <= 1000
