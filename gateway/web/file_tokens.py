"""Signed addresses of files: a token names one file, one purpose and a time. It lies in no list, and no node has to remember it."""

import base64
import binascii
import hmac
import math
from datetime import UTC, datetime
from typing import Final

from config import Config
from config.secret import Secret
from gateway.web.signing import derive_key

#: Purposes; a token for one is of no use for another.
FOR_PROVIDERS: Final = "file-link"
FOR_PAGES: Final = "file-view"
#: A page's link lasts one to two of these, and is the same within one, for the browser's cache.
WINDOW_SECONDS: Final = 300
_TAG_BYTES: Final = 20
_TOKEN_CHARS: Final = 200


def make_token(secret: Secret, file_id: str, until: datetime, purpose: str = FOR_PROVIDERS) -> str:
    """A token for ``file_id`` that :func:`open_token` knows until then, for the same purpose."""
    body = f"{int(until.timestamp()):x}.{file_id}".encode()
    return base64.urlsafe_b64encode(_tag(secret, body, purpose) + body).rstrip(b"=").decode()


def open_token(secret: Secret, token: str, now: datetime, purpose: str = FOR_PROVIDERS) -> str:
    """The file's id; empty for anything that we did not sign, or not for now, or not for this."""
    if len(token) > _TOKEN_CHARS or not token.isascii():
        return ""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return ""
    tag, body = data[:_TAG_BYTES], data[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(secret, body, purpose)):
        return ""
    until, _, file_id = body.decode().partition(".")
    return file_id if now.timestamp() < int(until, 16) else ""


def page_link(config: Config, file_id: str, now: datetime) -> str:
    """Where, at the files' own origin, a browser may have the file for five to ten minutes."""
    until = (math.floor(now.timestamp() / WINDOW_SECONDS) + 2) * WINDOW_SECONDS
    token = make_token(config.server.secret_key, file_id, datetime.fromtimestamp(until, UTC), FOR_PAGES)
    return f"{config.file_origin}/media/{token}"


def _tag(secret: Secret, body: bytes, purpose: str) -> bytes:
    return hmac.digest(derive_key(secret, purpose), body, "sha256")[:_TAG_BYTES]
