"""What the conformance kit must know about WhatsApp."""

import json
from collections.abc import Sequence
from pathlib import Path

from connectors.contract import Request
from connectors.signature import sign
from connectors.whatsapp import Settings
from gateway.kit import Sample, with_header

PAYLOADS = Path(__file__).parent / "payloads"


def signed(request: Request, settings: Settings) -> Request:
    """As Meta signs: the raw bytes, with the app's secret."""
    return with_header(request, "x-hub-signature-256", "sha256=" + sign("sha256", settings.app_secret, request.body))


def merged(bodies: Sequence[bytes]) -> bytes:
    """One webhook with the entries of all."""
    entries = [entry for body in bodies for entry in json.loads(body)["entry"]]
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode()


def _named(*starts: str) -> frozenset[str]:
    names = (path.name.partition(".")[0] for path in PAYLOADS.glob("*.json"))
    return frozenset(name for name in names if name.startswith(starts))


SAMPLE = Sample(
    settings={
        "access_token": "canary-access-token-1",
        "app_secret": "canary-app-secret-1",
        "previous_app_secret": "canary-app-secret-0",
        "verify_token": "canary-verify-token-1",
        "graph_base": "http://127.0.0.1:9",
        "api_version": "v26.0",
        "phone_number_id": "106540352242922",
        "business_account_id": "102290129340398",
    },
    other_secrets=({"app_secret": "canary-app-secret-2", "previous_app_secret": "canary-app-secret-3"},),
    to="393510000001",
    to_another="IT.13491208655302741918",
    sign=signed,
    merge=merged,
    at=lambda host, port: {"graph_base": f"http://{host}:{port}"},
    own=_named("echo-"),
    # News about the account are told whole, whatever they hold; what has no id is known by its bytes; a fragment that cannot be read too.
    closed=_named(
        "account-",
        "batch-with-a-broken",
        "capability",
        "empty-change",
        "error-",
        "field-",
        "message-of-nobody",
        "moved-nowhere",
        "name-",
        "quality-",
        "reaction-without-content",
        "security-",
        "template-approved",
        "template-changed",
        "template-quality",
        "template-recategorised",
        "template-rejected",
        "form-reply",
    ),
    modules=("connectors.meta.failure", "connectors.meta.webhook"),
)
