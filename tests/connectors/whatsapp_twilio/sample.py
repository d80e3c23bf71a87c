"""What the conformance kit needs to judge ``whatsapp_twilio``."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

from connectors.contract import Request
from connectors.whatsapp_twilio import Settings
from gateway.kit import Sample, with_header


def signed(request: Request, settings: Settings) -> Request:
    """As Twilio signs: the address, and the fields in the order of their names."""
    fields = sorted(set(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)))
    text = request.url + "".join(name + value for name, value in fields)
    digest = hmac.new(settings.auth_token.reveal().encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return with_header(request, "x-twilio-signature", base64.b64encode(digest).decode())


SAMPLE = Sample(
    settings={
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "auth_token": "canary-twilio-auth-token-1",
        "number": "+15005550006",
        "api_base": "http://127.0.0.1:9",
    },
    other_secrets=({"auth_token": "canary-twilio-other-token"},),
    to="+393510000001",
    to_another="+393510000002",
    headers={"content-type": "application/x-www-form-urlencoded"},
    sign=signed,
    signs_port=True,
    at=lambda host, port: {"api_base": f"http://{host}:{port}"},
    # What both channels share is judged by the cases of ``sms``.
    exempt={"own": "Twilio never posts what we sent: it posts statuses"},
)
