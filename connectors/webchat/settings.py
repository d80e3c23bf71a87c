"""What the operator says about one web chat."""

import re
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from config import Secret

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_SHORTEST_SECRET: Final = 32


def _none() -> Secret:
    return Secret("")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a web chat."""

    #: Pages that may show the chat: exact origins, for example ``https://shop.example.org``; never ``*``.
    origins: Annotated[tuple[str, ...], Meta(title="Allowed origins")] = ()
    #: What visitors read at the top of the chat; empty: the channel's title.
    title: Annotated[str, Meta(title="Title", max_length=80)] = ""
    #: First line that a new visitor reads; empty: none.
    greeting: Annotated[str, Meta(title="Greeting", max_length=500)] = ""
    #: Signs visitors' tokens; at least 32 characters. Empty: derived from the server's secret key.
    secret: Annotated[Secret, Meta(title="Token secret", description="At least 32 characters; empty: derived")] = field(
        default_factory=_none
    )
    #: Shared with the shop's server, which signs JSON Web Tokens (HS256) for its logged-in users. Empty: visitors are anonymous.
    identity_secret: Annotated[Secret, Meta(title="Identity secret", description="At least 32 characters; empty: anonymous only")] = field(
        default_factory=_none
    )

    #: Id of an e-mail channel: what agents answer to a visitor who has gone, and who has given an address, follows by mail.
    mail_channel: Annotated[str, Meta(title="Go on by e-mail", description="Id of an e-mail channel; empty: answers wait in the chat")] = ""
    #: Seconds for which an answer was not shown before it is mailed.
    mail_after: Annotated[int, Meta(title="Mail after", description="Seconds that an answer waits for the visitor", ge=1, le=86400)] = 120

    def __post_init__(self) -> None:
        """Messages here must not quote a value: they are shown to people."""
        if not all(_ORIGIN.fullmatch(origin) for origin in self.origins):
            raise ValueError("origins must be like https://shop.example.org: scheme, host in lower case, no path, no *")
        for name, secret in (("secret", self.secret), ("identity_secret", self.identity_secret)):
            if secret and len(secret.reveal()) < _SHORTEST_SECRET:
                raise ValueError(f"{name} must have at least {_SHORTEST_SECRET} characters")
