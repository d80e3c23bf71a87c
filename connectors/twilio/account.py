"""What an operator says about an account at Twilio."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from config import Secret

API_BASE: Final = "https://api.twilio.com"
_SID: Final = r"[0-9a-fA-F]{32}"
#: E.164: a plus and 7 to 15 digits.
PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def _none() -> Secret:
    return Secret("")


class TwilioSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every channel over Twilio needs."""

    account_sid: Annotated[str, Meta(title="Account SID", description="AC…, from the first page of the Twilio Console")]
    #: Proves webhooks; also opens the REST API unless there is a key for that.
    auth_token: Annotated[Secret, Meta(title="Auth token", description="Beside the account SID; Twilio signs webhooks with it")]
    secondary_auth_token: Annotated[Secret, Meta(title="Secondary auth token", description="Valid too while you rotate")] = field(
        default_factory=_none
    )
    #: SID -> auth token: a sub-account signs with its own.
    subaccounts: Annotated[
        dict[str, Secret], Meta(title="Tokens of sub-accounts", description="SID and auth token of each whose webhooks come here too")
    ] = field(default_factory=dict)
    webhook_shared_key: Annotated[
        Secret, Meta(title="Shared key for webhooks", description="Only if Twilio signs with HMAC-SHA256 by a shared key")
    ] = field(default_factory=_none)
    rest_key_sid: Annotated[str, Meta(title="API key", description="SK…; if given, REST calls use it and not the auth token")] = ""
    rest_key_secret: Annotated[Secret, Meta(title="API key's secret", description="Shown once when the key is made")] = field(
        default_factory=_none
    )
    number: Annotated[str, Meta(title="Number", description="The sender, for example +39351000000; or give a messaging service")] = ""
    messaging_service_sid: Annotated[str, Meta(title="Messaging service", description="MG…; Twilio picks the sender from its pool")] = ""
    #: All of Twilio's hosts follow it: content and messaging are looked for beside ``api.``, or at the same address.
    api_base: Annotated[str, Meta(title="API address", description="Of a region, or of a simulator")] = API_BASE
    delete_media: Annotated[
        bool, Meta(title="Delete files at Twilio", description="After they were copied; by law or to save their price")
    ] = False

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        for name, value, prefix in (
            ("account_sid", self.account_sid, "AC"),
            ("messaging_service_sid", self.messaging_service_sid, "MG"),
            ("rest_key_sid", self.rest_key_sid, "SK"),
        ):
            if (value or name == "account_sid") and not re.fullmatch(prefix + _SID, value):
                raise ValueError(f"{name} must be {prefix} and 32 hexadecimal digits, as the Twilio Console shows it")
        if not self.auth_token:
            raise ValueError("auth_token is required: without it nobody could tell Twilio's webhooks from a stranger's")
        if bool(self.rest_key_sid) != bool(self.rest_key_secret):
            raise ValueError("rest_key_sid and rest_key_secret belong together: give both or none")
        if any(not re.fullmatch("AC" + _SID, sid) or not token for sid, token in self.subaccounts.items()):
            raise ValueError("subaccounts must name each sub-account by its SID, AC and 32 hexadecimal digits, with its auth token")
        if not self.number and not self.messaging_service_sid:
            raise ValueError("number or messaging_service_sid is required: who sends?")
        address = urlsplit(self.api_base)
        if address.scheme not in {"http", "https"} or not address.hostname or address.username or address.query or address.fragment:
            raise ValueError("api_base must be an http(s) address without user, query and fragment")


def credentials(settings: TwilioSettings) -> tuple[str, str]:
    """User and password of the REST API."""
    if settings.rest_key_sid:
        return settings.rest_key_sid, settings.rest_key_secret.reveal()
    return settings.account_sid, settings.auth_token.reveal()


def base_of(api_base: str, product: str) -> str:
    """Where a product of Twilio's (``api``, ``content``, ``messaging``) is: ``content.twilio.com`` beside ``api.twilio.com``.

    Regions have hosts like ``api.dublin.ie1.twilio.com``. An address without ``api.`` is somebody's simulator, which serves all of them.
    """
    parts = urlsplit(api_base)
    host = parts.netloc.removeprefix("api.")
    netloc = parts.netloc if host == parts.netloc else f"{product}.{host}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"
