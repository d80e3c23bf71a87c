"""The settings that every product on the Graph API has."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from config import Secret

#: The newest, of 29 July 2026; v21.0 and later still work (developers.facebook.com/docs/graph-api/changelog, read 2026-11-22).
API_VERSION: Final = "v26.0"
GRAPH_BASE: Final = "https://graph.facebook.com"

_VERSION: Final = re.compile(r"v[0-9]{1,3}\.[0-9]{1,2}")
_ID: Final = re.compile(r"[0-9]{1,32}")


def no_secret() -> Secret:
    """For a secret that is not configured."""
    return Secret("")


class Access(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the products' settings. A subclass repeats ``frozen``, ``kw_only`` and ``forbid_unknown_fields``, calls
    :func:`check_access` in its ``__post_init__``, and adds its own ids.
    """

    #: Of a system user, so that it does not expire with a person's session.
    access_token: Annotated[Secret, Meta(title="Access token", description="Of a system user of the business, without an end")]
    #: Signs Meta's webhooks.
    app_secret: Annotated[Secret, Meta(title="App secret", description="App dashboard, App settings, Basic: signs the webhooks")]
    #: The one before it, valid too while the secret is reset.
    previous_app_secret: Annotated[Secret, Meta(title="Previous app secret", description="Still valid while you reset it")] = field(
        default_factory=no_secret
    )
    #: What Meta shows when it asks whether the webhook's address is ours; chosen by you, at least 16 characters.
    verify_token: Annotated[Secret, Meta(title="Verify token", description="Chosen by you: Meta shows it when it checks the address")]
    #: Another address for a simulator or a proxy.
    graph_base: Annotated[str, Meta(title="Graph API address", description="Of a simulator or a proxy")] = GRAPH_BASE
    #: Webhooks carry the version of the app; this one is for our calls.
    api_version: Annotated[str, Meta(title="Graph API version", description=f"For our calls, for example {API_VERSION}")] = API_VERSION


def check_access(settings: Access) -> None:
    """Raises ValueError, in words for the operator and without values, for what cannot work."""
    for name in ("access_token", "app_secret", "verify_token"):
        secret: Secret = getattr(settings, name)
        if not secret:
            raise ValueError(f"{name} must not be empty")
    if not re.fullmatch(r"[\x21-\x7e]+", settings.access_token.reveal()):
        raise ValueError("access_token must be one word of printable ASCII, as Meta gave it")
    if len(settings.verify_token.reveal()) < 16:
        raise ValueError("verify_token must have at least 16 characters; make one with: openssl rand -hex 32")
    address = urlsplit(settings.graph_base)
    if address.scheme not in {"http", "https"} or not address.hostname or address.username or address.query or address.fragment:
        raise ValueError("graph_base must be an http(s) address without user, query and fragment")
    if not _VERSION.fullmatch(settings.api_version):
        raise ValueError(f"api_version must look like {API_VERSION}")


def check_id(name: str, value: str, *, optional: bool = False) -> None:
    """Raises ValueError if ``value`` is not one of Graph's numbers."""
    if not (_ID.fullmatch(value) or (optional and not value)):
        raise ValueError(f"{name} must be a number of Meta's, digits only")


def graph_url(settings: Access, path: str) -> str:
    """The address of ``path`` (``<id>/messages``), without credentials."""
    return f"{settings.graph_base.rstrip('/')}/{settings.api_version}/{path}"
