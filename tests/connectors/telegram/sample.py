"""What the conformance kit must know about Telegram."""

from connectors.contract import Request
from connectors.telegram import Settings
from connectors.telegram.inbound import SECRET_HEADER
from gateway.kit import Sample, with_header


def signed(request: Request, settings: Settings) -> Request:
    """Telegram shows the secret, whatever it sends."""
    return with_header(request, SECRET_HEADER, settings.secret_token.reveal())


SAMPLE = Sample(
    settings={
        "token": "700000001:canary-TOKEN-9f3a",
        "secret_token": "canary-SECRET-77",
        "previous_secret_token": "canary-SECRET-76",
        "api_base": "http://127.0.0.1:9",
    },
    other_secrets=({"secret_token": "canary-SECRET-78", "previous_secret_token": "canary-SECRET-79"},),
    to="7340112233",
    to_another="7340112234",
    sign=signed,
    at=lambda host, port: {"api_base": f"http://{host}:{port}"},
    own=frozenset({"business-message-by-our-bot", "business-message-by-owner", "message-by-a-bot"}),
    closed=frozenset(
        {
            "update-empty",
            "message-without-content",
            "edit-without-content",
            "business-message-by-owner-without-content",
            "business-message-by-owner-with-poll",
            "poll-in-message",
            "story",
        }
    ),
)
