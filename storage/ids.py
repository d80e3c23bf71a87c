"""Ids: a prefix that tells what it is, then 26 characters that sort by time (ULID layout: 48 bits of milliseconds, 80 bits of hash)."""

import hashlib
import secrets
from datetime import datetime
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
_TIME_CHARS: Final = 10
_HASH_CHARS: Final = 16


def derive_id(prefix: str, at: datetime, *seed: str) -> str:
    """The id for what ``seed`` names: the same inputs always give the same id, so a rebuilt history keeps its ids."""
    digest = hashlib.blake2b("\x00".join((prefix, *seed)).encode("utf-8", "surrogatepass"), digest_size=10).digest()
    milliseconds = min(max(int(at.timestamp() * 1000), 0), 2**48 - 1)
    return f"{prefix}_{_base32(milliseconds, _TIME_CHARS)}{_base32(int.from_bytes(digest), _HASH_CHARS)}"


def random_id(prefix: str, at: datetime) -> str:
    """A fresh id, for things that nothing in the stream names (agents, tokens, commands)."""
    return derive_id(prefix, at, secrets.token_hex(16))


def id_bytes(identifier: str) -> bytes:
    """The 16 bytes behind an id, without its prefix. Raises ValueError for what :func:`derive_id` did not make."""
    chars = identifier.rpartition("_")[2]
    if len(chars) != _TIME_CHARS + _HASH_CHARS:
        raise ValueError("not an id of ours")
    numbers = [_ALPHABET.index(char) for char in chars]
    milliseconds, digest = (_number(part) for part in (numbers[:_TIME_CHARS], numbers[_TIME_CHARS:]))
    return milliseconds.to_bytes(6) + digest.to_bytes(10)


def id_of_bytes(prefix: str, data: bytes) -> str:
    """The id behind 16 bytes: the inverse of :func:`id_bytes`."""
    return f"{prefix}_{_base32(int.from_bytes(data[:6]), _TIME_CHARS)}{_base32(int.from_bytes(data[6:]), _HASH_CHARS)}"


def _number(digits: list[int]) -> int:
    number = 0
    for digit in digits:
        number = number * 32 + digit
    return number


def _base32(number: int, width: int) -> str:
    chars = []
    for _ in range(width):
        number, index = divmod(number, 32)
        chars.append(_ALPHABET[index])
    return "".join(reversed(chars))
