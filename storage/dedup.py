"""What makes two inbound events the same one."""

import hashlib
from typing import Final

#: The first number beyond a hash; after the greatest comes the smallest.
HASHES: Final = 2**63


def dedup_hash(channel: str, key: str) -> int:
    """64 bits of (channel, key), signed as databases want them."""
    text = f"{len(channel)}:{channel}{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), signed=True)


def next_hash(number: int) -> int:
    """Where a key goes whose own hash is taken by another key."""
    return number + 1 if number + 1 < HASHES else -HASHES
