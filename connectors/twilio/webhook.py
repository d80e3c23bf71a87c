"""What Twilio posts, and whether it was Twilio.

Source: twilio.com/docs/usage/webhooks/webhooks-security (read 2026-11) and the judgement of the SDK's ``RequestValidator``,
to which this one is equal; a test compares them. The SDK's own is not used, because parsing must not load the SDK.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlparse, urlsplit

from config import Secret
from connectors.contract import Request
from connectors.errors import BadPayload
from connectors.signature import Encoding, hmac_matches, same
from connectors.twilio.account import TwilioSettings

SIGNATURE_HEADER: Final = "x-twilio-signature"
#: Names the algorithm when a shared key signs: ``key=…,algorithm=HMAC_SHA256``.
SETTINGS_HEADER: Final = "x-twilio-webhooks-signature-settings"
#: Empty TwiML. A text/plain body would be sent to the shopper as an answer (twilio.com/docs/messaging/twiml, read 2026-11).
NOTHING_TO_SAY: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
#: More fields than any webhook has: today's largest have some forty.
_MOST_FIELDS: Final = 500

Form = Mapping[str, str]


def is_signed(request: Request, settings: TwilioSettings) -> bool:
    """Is the signature one that Twilio makes for this account? Constant time; without a configured secret nobody is right."""
    given = request.headers.get(SIGNATURE_HEADER, "")
    try:
        fields = _fields(request.body, request.headers) if request.method.upper() == "POST" else []
        addresses = _addresses(request.url)
        hashed = parse_qs(urlparse(request.url).query).get("bodySHA256")
    except ValueError:
        return False
    if hashed is not None and not _is_form(request.headers):
        if not same(hashlib.sha256(request.body).hexdigest(), hashed[0]):
            return False
        fields = []
    algorithm, secrets = _secrets(request, fields, settings)
    if not algorithm:
        return False
    text = "".join(name + value for name, value in sorted(set(fields)))
    found = False
    for address in addresses:
        found |= hmac_matches(algorithm, secrets, (address + text).encode("utf-8", "surrogatepass"), given, encoding=Encoding.BASE64)
    return found


def read_form(request: Request) -> dict[str, str]:
    """The fields; of repeated ones the first. Raises :class:`BadPayload` on what is no form."""
    try:
        pairs = _fields(request.body, request.headers) or parse_qsl(
            urlsplit(request.url).query, keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise BadPayload(f"not a form: {error}") from None
    form: dict[str, str] = {}
    for name, value in pairs:
        # NUL cannot be stored by PostgreSQL.
        form.setdefault(name, value.replace("\0", "\ufffd"))
    return form


def _fields(body: bytes, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    if not _is_form(headers):
        return []
    text = body.decode("utf-8", "replace")
    return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, encoding="utf-8", errors="replace")


def _is_form(headers: Mapping[str, str]) -> bool:
    """Without a type it is one: that is what Twilio posts."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"", "application/x-www-form-urlencoded"}


def _addresses(url: str) -> tuple[str, ...]:
    """With and without port: "sig generation on back end is inconsistent", says the SDK."""
    parts = urlsplit(url)
    port = parts.port
    host = parts.netloc.split(":")[0] if port else parts.netloc
    default = 443 if parts.scheme == "https" else 80
    return (_at(parts, host), _at(parts, parts.netloc if port else f"{parts.netloc}:{default}"))


def _at(parts: SplitResult, netloc: str) -> str:
    return parts._replace(netloc=netloc).geturl()


def _secrets(request: Request, fields: list[tuple[str, str]], settings: TwilioSettings) -> tuple[str, tuple[Secret, ...]]:
    """The hash, and what may have signed: a shared key, or the tokens of the account that the form names."""
    for part in request.headers.get(SETTINGS_HEADER, "").split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            match value.strip().upper():
                case "HMAC_SHA256":
                    return "sha256", (settings.webhook_shared_key,)
                case "HMAC_SHA1":
                    break
                case _:
                    return "", ()
    account = next(_named(fields, request.query), settings.account_sid)
    if account in settings.subaccounts and account != settings.account_sid:
        return "sha1", (settings.subaccounts[account],)
    return "sha1", (settings.auth_token, settings.secondary_auth_token)


def _named(fields: list[tuple[str, str]], query: Mapping[str, str]) -> Iterator[str]:
    yield from (value for name, value in fields if name == "AccountSid")
    if "AccountSid" in query:
        yield query["AccountSid"]
