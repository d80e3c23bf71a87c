"""Links by which a shopper goes on elsewhere, and is known there.

The link carries a token to the other channel, where whoever follows it says it first: ``/start <token>``. It names a conversation of
the customer's, and a time; it is signed with the server's key together with the one channel that it is for, and is good once. Anything
else in its place is only a word: nobody is joined by it.
"""

import base64
import binascii
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from config import Secret
from storage.ids import id_bytes, id_of_bytes

#: For so long a link can be followed.
LIFE: Final = timedelta(hours=24)
#: Telegram takes 64 characters of ``A-Za-z0-9_-``; these are 56. Bytes: the signature, until when, something unique, whose.
_TAG, _UNTIL, _UNIQUE, _WHOSE = 16, 4, 6, 16
_LENGTH: Final = _TAG + _UNTIL + _UNIQUE + _WHOSE
_CHARS: Final = _LENGTH * 4 // 3


class Claim(Struct, frozen=True, kw_only=True):
    """What a genuine token says."""

    conversation_id: str
    #: As which command its use is remembered.
    use: str


class Links:
    """Signs and reads tokens. While the key is not known, as only the database knows it, both raise Unavailable."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def make(self, channel: str, conversation_id: str, now: datetime) -> tuple[str, datetime]:
        """A token of 56 characters for whoever comes to ``channel`` with it, and until when it is good."""
        until = int((now + LIFE).timestamp())
        body = until.to_bytes(_UNTIL) + secrets.token_bytes(_UNIQUE) + id_bytes(conversation_id)
        token = base64.urlsafe_b64encode(self._tag(channel, body) + body).decode()
        return token, datetime.fromtimestamp(until, now.tzinfo)

    def read(self, channel: str, token: str, at: datetime) -> Claim | None:
        """None for anything that we did not sign, or not for this channel, or not for now."""
        if len(token) != _CHARS or not token.isascii():
            return None
        try:
            data = base64.b64decode(token, altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        tag, body = data[:_TAG], data[_TAG:]
        if not hmac.compare_digest(tag, self._tag(channel, body)) or at.timestamp() >= int.from_bytes(body[:_UNTIL]):
            return None
        return Claim(conversation_id=id_of_bytes("cnv", body[-_WHOSE:]), use=f"link:{body.hex()}")

    def _tag(self, channel: str, body: bytes) -> bytes:
        key = hmac.digest(self._secret.reveal().encode(), b"sportello:link", "sha256")
        return hmac.digest(key, channel.encode("utf-8", "surrogatepass") + b"\x00" + body, "sha256")[:_TAG]
