"""Is it really the provider?"""

import hashlib
import hmac

import pytest

from config import Secret
from connectors.signature import Encoding, any_matches, hmac_matches, same, sign

BODY = b'{"text":"caf\xc3\xa9 \\u00e9"}'


@pytest.mark.parametrize(
    ("expected", "given", "equal"),
    [
        ("abc", "abc", True),
        ("abc", b"abc", True),
        ("é", "é", True),
        ("abc", "abC", False),
        ("abc", "", False),
        ("", "", False),
        ("abc", "é\ud800", False),
        ("abc", "abc, abc", False),
    ],
)
def test_same(expected: str, given: str | bytes, equal: bool) -> None:  # noqa: FBT001
    """B1, B2: wrong, never an exception; two empty ones prove nothing."""
    assert same(expected, given) is equal


def test_all_secrets_of_a_rotation_are_right() -> None:
    secrets = (Secret("new"), Secret("old"))
    assert [any_matches(secrets, given) for given in ("new", "old", "other", "")] == [True, True, False, False]
    assert not any_matches((), "")
    assert not any_matches((Secret(""),), "")


def test_sign_is_the_usual_hmac() -> None:
    digest = hmac.new(b"k", BODY, hashlib.sha256).digest()
    assert sign("sha256", Secret("k"), BODY) == digest.hex()
    assert sign("sha1", Secret("k"), BODY, Encoding.BASE64).endswith("=")


def test_hmac_over_the_raw_bytes() -> None:
    """B6: every single changed byte, an added BOM and an added byte are noticed."""
    secrets = (Secret("new"), Secret("old"))
    for secret in secrets:
        signature = "sha256=" + sign("sha256", secret, BODY)
        assert hmac_matches("sha256", secrets, BODY, signature, prefix="sha256=")
        assert not hmac_matches("sha256", secrets, BODY, signature.removeprefix("sha256="), prefix="sha256=")
        altered = [BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :] for at in range(len(BODY))]
        for body in [*altered, BODY + b" ", b"\xef\xbb\xbf" + BODY, b""]:
            assert not hmac_matches("sha256", secrets, body, signature, prefix="sha256=")


def test_an_empty_secret_signs_nothing() -> None:
    assert not hmac_matches("sha256", (Secret(""),), BODY, sign("sha256", Secret(""), BODY))


@pytest.mark.parametrize("given", ["", "é", "\ud800", "x" * 10_000, "sha256="])
def test_nonsense_is_wrong(given: str) -> None:
    assert not hmac_matches("sha256", (Secret("k"),), BODY, given, prefix="sha256=")
