"""For the conformance kit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.contract import Request
from gateway.kit import Sample, with_header
from tests.support.messenger import APP_SECRET, raw_settings, signed

PAYLOADS = Path(__file__).parent / "payloads"


def _signed(request: Request, settings: Any) -> Request:
    header = signed(request.body, settings.app_secret.reveal())
    return with_header(request, "x-hub-signature-256", header["x-hub-signature-256"])


def _merged(bodies: Sequence[bytes]) -> bytes:
    """Webhooks of one app are batched by entry."""
    return json.dumps({"object": "page", "entry": [entry for body in bodies for entry in json.loads(body)["entry"]]}).encode()


def _names(*types: str) -> frozenset[str]:
    found = {path.name.removesuffix(".expect.json"): path.read_text("utf-8") for path in PAYLOADS.glob("*.expect.json")}
    return frozenset(name for name, text in found.items() if any(f'"{type_}"' in text for type_ in types))


SAMPLE = Sample(
    settings=raw_settings("messenger"),
    other_secrets=({"app_secret": f"{APP_SECRET}-another"},),
    to="7200000000000042",
    to_another="7200000000000043",
    sign=_signed,
    merge=_merged,
    at=lambda host, port: {"graph_base": f"http://{host}:{port}"},
    own=frozenset(
        name for name in _names("message.echoed", "payload.ignored") if name.startswith(("echo-", "comment-of-ours", "post-of-ours"))
    ),
    # What is not used at all is known by its bytes alone; so is what cannot be read.
    closed=_names("payload.ignored", "payload.quarantined"),
    modules=tuple(f"connectors.meta_messaging.{name}" for name in ("inbound", "outbound", "parts", "fragment")),
)
