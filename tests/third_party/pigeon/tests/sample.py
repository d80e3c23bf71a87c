"""What the conformance kit must know about Pigeon."""

import json
from collections.abc import Sequence

from sportello_pigeon import Settings  # type: ignore[import-not-found]  # where it is installed, and nowhere else

from connectors.contract import Request
from connectors.signature import sign
from gateway.kit import Sample, with_header


def signed(request: Request, settings: Settings) -> Request:
    """As Pigeon signs it."""
    return with_header(request, "x-pigeon-signature", "sha256=" + sign("sha256", settings.webhook_secret, request.body))


def merged(bodies: Sequence[bytes]) -> bytes:
    """Pigeon collects entries while nobody answers."""
    return json.dumps({"entries": [entry for body in bodies for entry in json.loads(body)["entries"]]}).encode()


SAMPLE = Sample(
    settings={
        "loft": "loft-1",
        "key": "canary-key-of-the-loft",
        "webhook_secret": "canary-webhook-secret",
        "api_base": "http://127.0.0.1:9",
    },
    other_secrets=({"webhook_secret": "canary-another-webhook-secret"},),
    to="loft-17",
    to_another="loft-18",
    sign=signed,
    merge=merged,
    at=lambda host, port: {"api_base": f"http://{host}:{port}"},
)
