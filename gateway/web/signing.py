"""Keys derived from the server's secret, and signed cursors."""

import base64
import binascii
import hmac
from typing import Final

from config import Config
from config.secret import Secret
from gateway.web.errors import Refusal

_CURSOR_CHARS: Final = 200
_TAG_BYTES: Final = 12
_SEAL_BYTES: Final = 20
_TOKEN_CHARS: Final = 300
#: What a link is for by which somebody wants no more.
UNSUBSCRIBE: Final = "unsubscribe"


def derive_key(secret: Secret, purpose: str) -> bytes:
    """A key of its own for each purpose, so that a signature for one is worth nothing for another. 32 bytes."""
    return hmac.digest(secret.reveal().encode(), b"sportello:" + purpose.encode(), "sha256")


def seal(secret: Secret, purpose: str, body: str) -> str:
    """``body`` as a part of a public address, signed: whoever has it can read it, and nobody can make one."""
    data = body.encode()
    return base64.urlsafe_b64encode(_seal_tag(secret, purpose, data) + data).rstrip(b"=").decode()


def unseal(secret: Secret, purpose: str, token: str) -> str:
    """What :func:`seal` made the token of for the same purpose; empty for anything else."""
    if len(token) > _TOKEN_CHARS or not token.isascii():
        return ""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return ""
    # One spelling only: the last character has bits that say nothing.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != token:
        return ""
    tag, body = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
    return body.decode() if hmac.compare_digest(tag, _seal_tag(secret, purpose, body)) else ""


def _seal_tag(secret: Secret, purpose: str, body: bytes) -> bytes:
    return hmac.digest(derive_key(secret, purpose), body, "sha256")[:_SEAL_BYTES]


def unsubscribe_link(config: Config, conversation_id: str) -> str:
    """The address by which the person of this conversation wants no more. It works for ever, as what was sent may be read at any time."""
    return f"{config.public_url}/unsubscribe/{seal(config.server.secret_key, UNSUBSCRIBE, conversation_id)}"


class Cursors:
    """Opaque places in a list, bound to who asked and what for."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def seal(self, place: int, audience: str) -> str:
        """The cursor for ``place``, of use only to the same ``audience`` (principal and list)."""
        body = f"{place:x}"
        return f"{body}.{self._tag(body, audience)}"

    def open(self, cursor: str, audience: str) -> int:
        """The place. An empty cursor is 0. Raises Refusal for anything that we did not seal for this audience."""
        if not cursor:
            return 0
        body, _, tag = cursor.partition(".")
        genuine = len(cursor) <= _CURSOR_CHARS and hmac.compare_digest(
            tag.encode("utf-8", "surrogatepass"), self._tag(body, audience).encode()
        )
        if not genuine:
            raise Refusal(400, "bad_cursor", "This cursor was not given out by this list, or not to you. Start without one.", field="after")
        return int(body, 16)

    def _tag(self, body: str, audience: str) -> str:
        digest = hmac.digest(derive_key(self._secret, "cursor"), f"{audience}\x00{body}".encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(digest[:_TAG_BYTES]).decode()
