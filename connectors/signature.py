"""Is it really the provider? Comparisons that take the same time whatever was guessed, over bytes."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum

from config import Secret


class Encoding(StrEnum):
    """How a provider writes a digest into a header."""

    HEX = "hex"
    BASE64 = "base64"


def same(expected: str | bytes, given: str | bytes) -> bool:
    """Constant-time equality. Text is compared as UTF-8, so non-ASCII and lone surrogates are merely wrong; empty never matches."""
    wanted, got = _bytes(expected), _bytes(given)
    return hmac.compare_digest(wanted, got) and bool(wanted)


def any_matches(secrets: Iterable[Secret], given: str) -> bool:
    """Does ``given`` equal one of ``secrets``? Several are valid while a secret is rotated; all are tried, so time tells nothing."""
    found = False
    for secret in secrets:
        found |= same(secret.reveal(), given)
    return found


def sign(algorithm: str, secret: Secret, message: bytes, encoding: Encoding = Encoding.HEX) -> str:
    """HMAC of ``message``; ``algorithm`` is a name that ``hashlib`` knows, for example ``sha256``."""
    digest = hmac.new(secret.reveal().encode("utf-8", "surrogateescape"), message, getattr(hashlib, algorithm)).digest()
    return digest.hex() if encoding is Encoding.HEX else base64.b64encode(digest).decode("ascii")


def hmac_matches(
    algorithm: str, secrets: Iterable[Secret], message: bytes, given: str, *, encoding: Encoding = Encoding.HEX, prefix: str = ""
) -> bool:
    """Is ``given`` the HMAC of the raw ``message`` under one of ``secrets``, with ``prefix`` (``sha256=``) before it?

    An empty secret signs nothing: it would make every stranger's signature right.
    """
    found = False
    for secret in secrets:
        found |= bool(secret) and same(prefix + sign(algorithm, secret, message, encoding), given)
    return found


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
