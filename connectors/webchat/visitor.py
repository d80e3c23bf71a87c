"""Who a visitor is: tokens that we sign, and JSON Web Tokens that the shop's server signs. Pure; times are given, in seconds since 1970."""

import base64
import binascii
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from config import Secret
from connectors.errors import BadPayload
from connectors.identity import Identity
from connectors.signature import Encoding, same, sign

T = TypeVar("T")

SCHEME: Final = "visitor"
#: Before the value of visitors whom the shop's server has named.
USER_PREFIX: Final = "user:"
TOKEN_SECONDS: Final = 30 * 24 * 3600
#: Name of the key that signs now; a rotated one would get the next letter.
_KEY_ID: Final = "a"
_TOKEN_CHARS: Final = 2048
_LONGEST_JWT: Final = 3600
#: Clocks of two servers may differ by this much.
_SKEW: Final = 60


class Visitor(Struct, frozen=True, kw_only=True):
    """What a token says."""

    visitor: str
    channel: str
    #: When it was made, seconds since 1970.
    iat: int

    @property
    def identity(self) -> Identity:
        """The address of this person."""
        return Identity(SCHEME, self.channel, self.visitor)

    @property
    def named(self) -> bool:
        """Has the shop's server said who it is?"""
        return self.visitor.startswith(USER_PREFIX)


class _Header(Struct):
    alg: str
    typ: str = "JWT"


class Claims(Struct):
    """What the shop's server says about its user."""

    sub: str
    aud: str
    exp: int
    iat: int = 0
    nbf: int = 0
    name: str = ""
    email: str = ""


def sign_token(visitor: Visitor, secret: Secret) -> str:
    """``<key id>.<payload>.<HMAC-SHA256>``, base64url."""
    body = f"{_KEY_ID}.{_pack(msgspec.json.encode(visitor))}"
    return f"{body}.{_mac(body, secret)}"


def read_token(token: str, secret: Secret, channel: str, now: float) -> Visitor | None:
    """The visitor of a genuine token for ``channel`` that is not too old; None for anything else."""
    body, _, mac = token.rpartition(".")
    key_id, _, payload = body.partition(".")
    if not secret or len(token) > _TOKEN_CHARS or not same(_mac(body, secret), mac) or key_id != _KEY_ID:
        return None
    visitor = token_payload(payload)
    if visitor is None or visitor.channel != channel or not visitor.iat - _SKEW <= now < visitor.iat + TOKEN_SECONDS:
        return None
    return visitor


def unsigned(token: str) -> str:
    """The token without its signature: it still says who, and opens nothing."""
    return token.rpartition(".")[0] + "."


def unverified(token: str) -> Visitor:
    """What a token says, for code that runs after the check. Raises BadPayload."""
    visitor = token_payload(token.partition(".")[2].rpartition(".")[0])
    if visitor is None:
        raise BadPayload("x-visitor: no visitor's token")
    return visitor


def token_payload(payload: str) -> Visitor | None:
    """Decode the middle part of a token."""
    return _decode(payload, Visitor)


def read_jwt(token: str, secret: Secret, channel: str, now: float) -> Claims | str:
    """The claims of a JSON Web Token (RFC 7519) signed with HS256 by the shop's server; or, as text, what is wrong with it."""
    header_text, _, rest = token.partition(".")
    claims_text, _, mac = rest.partition(".")
    header = _decode(header_text, _Header)
    if not secret or len(token) > _TOKEN_CHARS or header is None or header.alg != "HS256":
        return "not a JSON Web Token with alg HS256"
    if not same(_mac(f"{header_text}.{claims_text}", secret), mac):
        return "the signature is wrong"
    claims = _decode(claims_text, Claims)
    if claims is None:
        return "sub, aud and exp are needed"
    if claims.aud != channel:
        return "aud is not this channel"
    if not claims.sub or len(claims.sub) > 256:
        return "sub must have 1 to 256 characters"
    if claims.exp <= now:
        return "it has expired"
    if claims.exp > now + _LONGEST_JWT + _SKEW:
        return "exp is more than an hour away"
    if max(claims.iat, claims.nbf) > now + _SKEW:
        return "it is not valid yet"
    return claims


def _decode(text: str, type_: type[T]) -> T | None:
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=type_)
    except (binascii.Error, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _mac(body: str, secret: Secret) -> str:
    digest = sign("sha256", secret, body.encode("utf-8", "surrogatepass"), Encoding.BASE64)
    return digest.rstrip("=").translate({ord("+"): "-", ord("/"): "_"})
