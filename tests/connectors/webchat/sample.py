"""What the conformance kit must know about the web chat: the provider is our own page, and the gateway hands its frames on."""

from connectors.contract import Request
from connectors.webchat import Settings
from connectors.webchat.inbound import TOKEN_HEADER, USER_HEADER
from connectors.webchat.visitor import Visitor, sign_token
from gateway.kit import Sample, with_header

_CHANNEL = "web"


def signed(request: Request, settings: Settings) -> Request:
    """As the gateway does it: the token of the visitor, and of the user of the shop that the visitor turns out to be.

    A case may bring a token of its own.
    """
    if TOKEN_HEADER in request.headers:
        return request
    at = int(request.received_at.timestamp())
    made = with_header(request, TOKEN_HEADER, sign_token(Visitor(visitor="cleo", channel=_CHANNEL, iat=at), settings.secret))
    if b'"identify"' in request.body:
        made = with_header(made, USER_HEADER, sign_token(Visitor(visitor="user:42", channel=_CHANNEL, iat=at), settings.secret))
    return made


SAMPLE = Sample(
    settings={
        "origins": ["https://shop.example"],
        "secret": "canary-secret-of-the-visitors-0123456789",
        "identity_secret": "canary-secret-of-the-shop-0123456789abcd",
    },
    other_secrets=({"secret": "canary-secret-of-other-visitors-01234567"},),
    to="cleo",
    to_another="dora",
    url="https://gateway.example/chat/v1/web/messages",
    headers={"content-type": "application/json"},
    sign=signed,
    exempt={
        "own": "the visitor's page shows replies and sends none back",
        "sources": "the visitor's page is ours",
        "statuses": "the visitor's page tells the gateway what it has shown, over its own socket",
        "unknown_fields": "the visitor's page is ours: what it does not know how to say is its mistake",
    },
)
