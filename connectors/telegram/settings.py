"""What the operator says about one bot."""

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from config import Secret
from connectors.signature import sign

#: ``<bot id>:<35 characters>``; the length is not checked, as it is not documented.
_TOKEN: Final = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{3,128}")
#: core.telegram.org/bots/api#setwebhook, ``secret_token``.
_SECRET_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


def _none() -> Secret:
    return Secret("")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a Telegram bot."""

    #: From @BotFather, for example ``123456789:AA…``.
    token: Annotated[Secret, Meta(title="Bot token", description="From @BotFather, for example 123456789:AA…")]
    #: ``webhook``: Telegram calls us at our public address. ``poll``: we ask Telegram; no public address is needed.
    mode: Annotated[Literal["webhook", "poll"], Meta(title="How updates arrive", description="poll needs no public address")] = "webhook"
    #: What Telegram shows with each webhook, 1 … 256 of ``A-Z a-z 0-9 _ -``. Required for ``webhook``.
    secret_token: Annotated[Secret, Meta(title="Webhook secret", description="1-256 of A-Z a-z 0-9 _ -; for mode webhook")] = field(
        default_factory=_none
    )
    #: The one before it, valid too while the secret is rotated.
    previous_secret_token: Annotated[Secret, Meta(title="Previous webhook secret", description="Still valid while you rotate")] = field(
        default_factory=_none
    )
    #: Where the Bot API is; a self-hosted server or a simulator has another address.
    api_base: Annotated[str, Meta(title="Bot API address", description="Of your own server or a simulator")] = "https://api.telegram.org"
    #: Without ``@``; for links to the bot. Empty: Telegram is asked.
    bot_username: Annotated[
        str, Meta(title="Bot's user name", description="Without @, for links; empty: Telegram is asked", pattern="^[A-Za-z0-9_]{0,64}$")
    ] = ""

    #: Where links to the bot lead; a simulator has another address.
    link_base: Annotated[str, Meta(title="Address of links to the bot", description="Of Telegram itself or a simulator")] = "https://t.me"

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        if not _TOKEN.fullmatch(self.token.reveal()):
            raise ValueError("token must look like 123456789:AA…, as @BotFather gave it")
        if self.mode == "webhook" and not self.secret_token:
            raise ValueError("secret_token is required for mode webhook; make one with: openssl rand -hex 32")
        for name, secret in (("secret_token", self.secret_token), ("previous_secret_token", self.previous_secret_token)):
            if secret and not _SECRET_TOKEN.fullmatch(secret.reveal()):
                raise ValueError(f"{name} must be 1 to 256 of A-Z a-z 0-9 _ -")
        for name, base in (("api_base", self.api_base), ("link_base", self.link_base)):
            address = urlsplit(base)
            if address.scheme not in {"http", "https"} or not address.hostname or address.username or address.query or address.fragment:
                raise ValueError(f"{name} must be an http(s) address without user, query and fragment")


def bot_id(settings: Settings) -> str:
    """The bot's user id: the part of the token before the colon, which is not secret. It is the scope of all identities."""
    return settings.token.reveal().partition(":")[0]


def accepted_secrets(settings: Settings) -> tuple[Secret, ...]:
    """What the secret header may hold. For long polls without a secret: one that only we can know, for our own requests."""
    configured = tuple(secret for secret in (settings.secret_token, settings.previous_secret_token) if secret)
    if configured or settings.mode == "webhook":
        return configured
    return (Secret(sign("sha256", settings.token, b"sportello.telegram.poll")),)
