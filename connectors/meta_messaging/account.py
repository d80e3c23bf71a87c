"""What the operator says about a page or an Instagram account."""

from typing import Annotated, Literal

from msgspec import Meta

from connectors.meta.access import Access, check_access, check_id


class MessagingSettings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of both products' settings."""

    #: With it, echoes of our own messages are known, and ``channel connect`` can register the webhook.
    app_id: Annotated[str, Meta(title="App id", description="App dashboard, App settings, Basic")] = ""
    #: Payload of the page's "Get started" button: pressing it opens a chat and asks for nothing.
    get_started: Annotated[str, Meta(title="Payload of Get started", description="As set in the page's profile", max_length=1000)] = (
        "GET_STARTED"
    )
    #: What people write while another app answers them: leave it to that app, or take it in as if it were ours.
    standby: Annotated[
        Literal["ignore", "receive"],
        Meta(title="Messages of another app's conversations", description="ignore: they are that app's; receive: agents see them too"),
    ] = "ignore"
    #: Meta grants it after a review; without it an answer after the first day is refused.
    human_agent: Annotated[
        bool, Meta(title="Human Agent", description="The app has this permission: people may answer for seven days and not for one")
    ] = True


def check_messaging(settings: MessagingSettings) -> None:
    """Raises ValueError, in words for the operator and without values, for what cannot work."""
    check_access(settings)
    check_id("app_id", settings.app_id, optional=True)
